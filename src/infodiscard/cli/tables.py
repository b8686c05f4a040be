"""Tables on the terminal: the layers of a network, a run's results and a comparison."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table

from ..analysis.columns import columns_of
from ..analysis.display import plain
from ..analysis.trust import distrust, of_run
from ..analysis.verdict import in_words
from ..core.metrics import METRICS
from ..core.numbers import printed

if TYPE_CHECKING:
    import pandas as pd

    from ..api.run import Run
    from ..networks.addresses import Layer

SHOWN = 10
"""Most samples that are listed by name."""

WIDEST = 1000
"""Most characters of a table's line."""


def show_layers(console: Console, layers: Iterable[Layer], title: str, default: Iterable[str]) -> None:
    """Prints the layers of a network in execution order, those that are measured by default marked."""
    table, chosen = new_table(title, None), set(default)
    for heading in ("", "layer", "type", "shape", "calls"):
        table.add_column(heading, justify="right" if heading in ("shape", "calls") else "left")
    for layer in layers:
        shape = "–" if layer.shape is None else "×".join(map(str, layer.shape))
        mark = "•" if layer.name in chosen else ""
        table.add_row(mark, escape(layer.name), escape(layer.type), shape, str(layer.calls))
    show_table(console, table)


def show_run(console: Console, run: Run) -> None:
    """Prints means over the samples, a table per network and metric, and below in words what should not be trusted."""
    summary, values, alpha = run.summary(), run.to_dataframe(), run.plan.settings.alpha
    warnings: list[str] = []
    words = run.plan.layout.words
    for network in dict.fromkeys(summary["network"]):
        layers = values[values["network"] == network].groupby("layer", sort=False)
        for metric in run.metrics:
            doubted = {str(layer): words("; ".join(distrust(rows, alpha, metric))) for layer, rows in layers}
            title = str(network) if metric == run.metrics[0] else ""
            rows = summary[summary["network"] == network]
            _show_network(console, title, metric, rows, doubted, words)
            name = f"{METRICS[metric].title} of " if len(run.metrics) > 1 else ""
            warnings += [f"{name}{network} {layer}: {text}" for layer, text in doubted.items() if text]
    console.print(f"\n{_meaning(run, summary)}", style="dim")
    _show_failures(console, run)
    show_warnings(console, warnings + of_run(run))


def progress_table(run: Run) -> pd.DataFrame:
    """Returns a row per network and layer: how many samples it has, how many are done, and how many of those failed."""
    import pandas as pd

    left: dict[tuple[str, str], int] = {}
    for unit in run.pending():
        left[unit.network, unit.layer] = left.get((unit.network, unit.layer), 0) + unit.stop - unit.start
    failures, samples = run.failures(), len(run.plan.samples)
    failed = failures.groupby(["network", "layer"], sort=False).size().to_dict()
    places = [(network, layer) for network in run.plan.networks for layer in run.plan.layers[network]]
    rows = [(*place, samples, samples - left.get(place, 0), failed.get(place, 0)) for place in places]
    return pd.DataFrame(rows, columns=["network", "layer", "samples", "done", "failed"])


def show_progress(console: Console, run: Run) -> None:
    """Prints how much of each layer is measured, and what could not be."""
    progress, table = progress_table(run), new_table("", None)
    for heading in progress.columns:
        table.add_column(heading, justify="left" if heading in ("network", "layer") else "right")
    for network, layer, samples, done, lost in progress.itertuples(index=False):
        table.add_row(escape(network), escape(layer), f"{samples:,}", f"{done:,}", f"{lost:,}" if lost else "–")
    show_table(console, table)
    _show_failures(console, run)


def _show_failures(console: Console, run: Run) -> None:
    """Prints which samples could not be measured, and why."""
    failures = run.failures()
    if failures.empty:
        return
    console.print("\nNot measured, and left out of all figures:", style="yellow")
    for (sample, why), rows in list(failures.groupby(["sample", "why"], sort=False))[:SHOWN]:
        places = sorted({f"{row.network} {row.layer}" for row in rows.itertuples()})
        at = (
            ""
            if why == "input unreadable"
            else f" at {places[0]}" + (f" and {len(places) - 1} more" if places[1:] else "")
        )
        console.print(Padding(escape(f"{sample}{at}: {why}"), (0, 0, 0, 2), expand=False), highlight=False)
    others = failures["sample"].nunique() - SHOWN
    if others > 0:
        console.print(f"  and {others:,} more; Run.failures() lists them.")


def _meaning(run: Run, summary: pd.DataFrame) -> str:
    """Returns what the columns mean."""
    alpha, tau = run.plan.settings.alpha, run.plan.settings.tau
    sentences, with_gap = [], False
    for metric in map(METRICS.__getitem__, run.metrics):
        columns, level = columns_of(metric.name, summary), metric.at_identity(alpha, tau)
        least = f"; a layer that discards nothing has {printed(level)}" if level is not None else ""
        sentences.append(f"{metric.title}: {metric.meaning}{least}.")
        if metric.corrected.get(metric.name) in columns:
            what = f"{metric.title} and concentration" if metric.concentration else metric.title
            sentences.append(f"Reached: what the search found; {what} add what that is estimated to lack.")
        with_gap |= metric.own("gap") in columns
    sentences.append(f"Distance: to be α = {alpha:g}.")
    if with_gap:
        sentences.append("Gap: what a longer search would still find, nats/pixel, as the solver estimates it.")
    return run.plan.layout.words(" ".join(sentences))


def _show_network(
    console: Console,
    title: str,
    metric: str,
    summary: pd.DataFrame,
    doubted: Mapping[str, str],
    words: Callable[[str], str],
) -> None:
    table = new_table(title)
    columns = columns_of(metric, summary)
    for heading, _ in columns.values():
        table.add_column(words(heading), justify="right")
    for row in summary.to_dict("records"):
        cells = [form(row) for _, form in columns.values()]
        add_row(table, row["layer"], cells, doubted=bool(doubted[row["layer"]]))
    show_table(console, table)


def show_comparison(console: Console, table: pd.DataFrame, metric: str) -> None:
    """Prints paired differences of a metric, a table per pair, and below in words what should not be trusted."""
    owner = METRICS.get(plain(metric))
    name = owner.title if owner else plain(metric).replace("_", " ")
    for (a, b), rows in table.groupby(["a", "b"], sort=False):
        reached = " (reached)" if (rows["basis"] == "reached").any() else ""
        paired = new_table(f"{name}{reached} of {b} minus that of {a}")
        for heading in ("reference", "other", "difference", "95 % interval", "n", "verdict"):
            paired.add_column(heading, justify="right")
        for row in rows.to_dict("records"):
            known = row["low"] == row["low"]
            interval = f"{printed(row['low'], '+.3f')} … {printed(row['high'], '+.3f')}" if known else "–"
            cells = [printed(row["mean_a"]), printed(row["mean_b"]), printed(row["difference"], "+.3f"), interval]
            add_row(paired, str(row["layer"]), [*cells, str(row["n"]), row["verdict"]], bool(row["warning"]))
        show_table(console, paired)
    show_warnings(console, by_reason(table))
    console.print()
    for (a, b), rows in table.groupby(["a", "b"], sort=False):
        console.print(escape(in_words(str(a), str(b), name, rows)), highlight=False)


def by_reason(table: pd.DataFrame) -> list[str]:
    """Returns each warning of a comparison once, with the layers that it is about."""
    pairs = len(table[["a", "b"]].drop_duplicates())
    reasons: dict[str, list[str]] = {}
    for row in table.to_dict("records"):
        for text in filter(None, row["warning"].split("; ")):
            layer = row["layer"] if pairs == 1 else f"{row['layer']} ({row['b']})"
            reasons.setdefault(re.sub(r" \([\d.]+\)$", "", text), []).append(str(layer))
    return [f"{_some(layers, len(table))}: {text}" for text, layers in reasons.items()]


def show_paths(console: Console, paths: Mapping[str, str | Path | None]) -> None:
    """Prints where things are, one a line and never broken, so that they can be copied."""
    width = max(map(len, paths), default=0)
    for what, path in paths.items():
        console.print(f"{what:<{width}}  {path}", markup=False, highlight=False, soft_wrap=True)


def show_warnings(console: Console, warnings: list[str]) -> None:
    """Prints what should not be trusted, a sentence a line."""
    if not warnings:
        return
    console.print("\nNot to be trusted as they stand (!):", style="yellow")
    for text in warnings:
        console.print(Padding(escape(f"{text}."), (0, 0, 0, 2), expand=False), highlight=False)


def new_table(title: str, first: str | None = "layer") -> Table:
    """Returns a table without rows, in the style that all have, and without columns but the first, if that is named."""
    # Two spaces between columns, none around: with concentrations the table must fit 80 columns.
    style = {"box": SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
    table = Table(title=escape(f"\n{title}" if title else " "), title_justify="left", title_style="bold", **style)  # type: ignore[arg-type]
    if first is not None:
        table.add_column(first)
    return table


def show_table(console: Console, table: Table) -> None:
    """Prints a table with every cell on one line, even where it is wider than the terminal: names are to be copied.

    What is no terminal, such as a pipe, gets columns without a frame.
    """
    if not console.is_terminal:
        table.box = None
        table.padding = (0, 2, 0, 0)
    for column in table.columns:
        column.no_wrap = True
    usual, needed = console.width, Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum
    console.width = max(usual, needed)
    console.print(table)
    console.width = usual


def p_value(p: float) -> str:
    """Prints a probability."""
    return "<0.001" if p < 0.001 else printed(p)


def add_row(table: Table, layer: str, cells: list[str], doubted: bool) -> None:
    """Adds a layer's row, marked if it is not to be trusted."""
    table.add_row(escape(f"{layer} !" if doubted else layer), *cells, style="yellow" if doubted else "")


def _some(names: list[str], total: int) -> str:
    if len(names) == total and total > 1:
        return "every layer"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
