"""Tables on the terminal: the layers of a network, a run's results and a comparison."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ..analysis.columns import columns_of
from ..analysis.display import plain
from ..analysis.trust import distrust
from ..core.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from ..api.run import Run
    from ..networks.addresses import Layer

SHOWN = 10
"""Most samples that are listed by name."""


def show_layers(console: Console, layers: Iterable[Layer], title: str, default: Iterable[str]) -> None:
    """Prints the layers of a network in execution order, those that are measured by default marked."""
    table, chosen = new_table(title), set(default)
    for heading in ("", "layer", "type", "shape", "calls"):
        table.add_column(heading, justify="right" if heading in ("shape", "calls") else "left", overflow="fold")
    for layer in layers:
        shape = "–" if layer.shape is None else "×".join(map(str, layer.shape))
        mark = "•" if layer.name in chosen else ""
        table.add_row(mark, escape(layer.name), escape(layer.type), shape, str(layer.calls))
    console.print(table)


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
    show_warnings(console, warnings + _doubts(run))


def show_progress(console: Console, run: Run) -> None:
    """Prints how much of each layer is measured, and what could not be."""
    left: dict[tuple[str, str], int] = {}
    for unit in run.pending():
        left[unit.network, unit.layer] = left.get((unit.network, unit.layer), 0) + unit.stop - unit.start
    failures, samples = run.failures(), len(run.plan.samples)
    failed = failures.groupby(["network", "layer"], sort=False).size().to_dict()
    table = new_table("")
    for heading in ("network", "layer", "samples", "done", "failed"):
        table.add_column(heading, justify="left" if heading in ("network", "layer") else "right", overflow="fold")
    for network in run.plan.networks:
        for layer in run.plan.layers[network]:
            done, lost = samples - left.get((network, layer), 0), failed.get((network, layer), 0)
            table.add_row(escape(network), escape(layer), f"{samples:,}", f"{done:,}", f"{lost:,}" if lost else "–")
    console.print(table)
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
        least = f"; a layer that discards nothing has {level:.3f}" if level is not None else ""
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
    table.add_column("layer", overflow="fold", min_width=8)
    for heading, _ in columns.values():
        table.add_column(words(heading), justify="right", no_wrap=True)
    for row in summary.to_dict("records"):
        cells = [form(row) for _, form in columns.values()]
        add_row(table, row["layer"], cells, doubted=bool(doubted[row["layer"]]))
    console.print(table)


def _doubts(run: Run) -> list[str]:
    """Returns what speaks against the run as a whole."""
    left, total = len(run.pending()), len(run.plan.units())
    doubts = [f"the run is not finished: {left} of {total} units are missing"] if left else []
    if len(run.plan.samples) == 1:
        doubts.append("one sample has no standard error; measure more to tell networks or layers apart")
    return doubts


def show_comparison(console: Console, table: pd.DataFrame, metric: str) -> None:
    """Prints paired differences of a metric, a table per pair, and below in words what should not be trusted."""
    owner = METRICS.get(plain(metric))
    name = owner.title if owner else plain(metric).replace("_", " ")
    for (a, b), rows in table.groupby(["a", "b"], sort=False):
        reached = " (reached)" if (rows["basis"] == "reached").any() else ""
        paired = new_table(f"{name}{reached} of {b} minus that of {a}")
        paired.add_column("layer", overflow="fold", min_width=8)
        for heading in ("reference", "other", "difference", "95 % interval", "n"):
            paired.add_column(heading, justify="right", no_wrap=True)
        for row in rows.to_dict("records"):
            interval = "–" if row["low"] != row["low"] else f"{row['low']:+.3f} … {row['high']:+.3f}"
            means = [f"{row[name]:.3f}" for name in ("mean_a", "mean_b")]
            cells = [*means, f"{row['difference']:+.3f}", interval, str(row["n"])]
            add_row(paired, str(row["layer"]), cells, doubted=bool(row["warning"]))
        console.print(paired)
    show_warnings(console, by_reason(table))


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
    width = max(map(len, paths))
    for what, path in paths.items():
        console.print(f"{what:<{width}}  {path}", markup=False, highlight=False, soft_wrap=True)


def show_warnings(console: Console, warnings: list[str]) -> None:
    """Prints what should not be trusted, a sentence a line."""
    if not warnings:
        return
    console.print("\nNot to be trusted as they stand (!):", style="yellow")
    for text in warnings:
        console.print(Padding(escape(f"{text}."), (0, 0, 0, 2), expand=False), highlight=False)


def new_table(title: str) -> Table:
    """Returns a table without columns or rows, in the style that all have."""
    # Two spaces between columns, none around: with concentrations the table must fit 80 columns.
    style = {"box": SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
    return Table(title=escape(f"\n{title}" if title else " "), title_justify="left", title_style="bold", **style)  # type: ignore[arg-type]


def add_row(table: Table, layer: str, cells: list[str], doubted: bool) -> None:
    """Adds a layer's row, marked if it is not to be trusted."""
    table.add_row(escape(f"{layer} !" if doubted else layer), *cells, style="yellow" if doubted else "")


def _some(names: list[str], total: int) -> str:
    if len(names) == total and total > 1:
        return "every layer"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
