"""What the command line prints: the layers of a network, a run's results and a comparison, as Rich tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ..analysis.columns import columns_of, share, with_error
from ..analysis.display import plain
from ..core.metrics.variable import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.gate import Gate
    from ..api.run import Run
    from ..measurement.forecast import Forecast
    from ..networks.addresses import Layer

SHOWN = 10
"""Most samples that are listed by name."""


def show_layers(console: Console, layers: Iterable[Layer], title: str, default: Iterable[str]) -> None:
    """Prints the layers of a network in execution order, those that are measured by default marked."""
    table, chosen = _table(title), set(default)
    for heading in ("", "layer", "type", "shape", "calls"):
        table.add_column(heading, justify="right" if heading in ("shape", "calls") else "left", overflow="fold")
    for layer in layers:
        shape = "–" if layer.shape is None else "×".join(map(str, layer.shape))
        mark = "•" if layer.name in chosen else ""
        table.add_row(mark, escape(layer.name), escape(layer.type), shape, str(layer.calls))
    console.print(table)


def show_run(console: Console, run: Run) -> None:
    """Prints means over the samples, a table per network and metric, and below in words what should not be trusted."""
    from ..analysis.paired import distrust

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
            name = f"{METRICS[metric]} of " if len(run.metrics) > 1 else ""
            warnings += [f"{name}{network} {layer}: {text}" for layer, text in doubted.items() if text]
    console.print(f"\n{_meaning(run)}", style="dim")
    _show_failures(console, run)
    _show_warnings(console, warnings + _doubts(run))


def show_progress(console: Console, run: Run) -> None:
    """Prints how much of each layer is measured, and what could not be."""
    left: dict[tuple[str, str], int] = {}
    for unit in run.pending():
        left[unit.network, unit.layer] = left.get((unit.network, unit.layer), 0) + unit.stop - unit.start
    failures, samples = run.failures(), len(run.plan.samples)
    failed = failures.groupby(["network", "layer"], sort=False).size().to_dict()
    table = _table("")
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


def _meaning(run: Run) -> str:
    """Returns what the columns mean."""
    from ..plots.layer_curves import identity_level

    level, alpha = identity_level(run.plan.settings), run.plan.settings.alpha
    sentences, columns = [], [name for metric in run.metrics for name in columns_of(metric, run.summary())]
    if "sid" in run.metrics:
        least = f"; a layer that discards nothing has {level:.3f}" if level is not None else ""
        sentences.append(f"SID: higher = more of the input is discarded{least}.")
    if "sid_corrected" in columns:
        sentences.append("Reached: what the search found; SID and concentration add what that is estimated to lack.")
    if "ru" in run.metrics:
        sentences.append(
            "RU: higher = less of the input can be reconstructed; only what is above the floor, the decoder's error "
            "without noise, is the layer's doing."
        )
    if alpha:
        sentences.append(f"Distance: to be α = {alpha:g}.")
    if {"gap", "ru_gap"} & set(columns):
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
    table = _table(title)
    columns = columns_of(metric, summary)
    table.add_column("layer", overflow="fold", min_width=8)
    for heading, _ in columns.values():
        table.add_column(words(heading), justify="right", no_wrap=True)
    for row in summary.to_dict("records"):
        cells = [form(row) for _, form in columns.values()]
        _add_row(table, row["layer"], cells, doubted=bool(doubted[row["layer"]]))
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
    name = METRICS.get(plain(metric), plain(metric).replace("_", " "))
    for (a, b), rows in table.groupby(["a", "b"], sort=False):
        reached = " (reached)" if (rows["basis"] == "reached").any() else ""
        paired = _table(f"{name}{reached} of {b} minus that of {a}")
        paired.add_column("layer", overflow="fold", min_width=8)
        for heading in ("reference", "other", "difference", "95 % interval", "n"):
            paired.add_column(heading, justify="right", no_wrap=True)
        for row in rows.to_dict("records"):
            interval = "–" if row["low"] != row["low"] else f"{row['low']:+.3f} … {row['high']:+.3f}"
            means = [f"{row[name]:.3f}" for name in ("mean_a", "mean_b")]
            cells = [*means, f"{row['difference']:+.3f}", interval, str(row["n"])]
            _add_row(paired, str(row["layer"]), cells, doubted=bool(row["warning"]))
        console.print(paired)
    _show_warnings(console, _by_reason(table))


def show_forecast(console: Console, found: Forecast) -> None:
    """Prints what a measurement will take, and what that is made of."""
    from ..measurement.progress import duration

    plan, many = found.plan, len(found.plan.networks) > 1
    layers = _table(
        f"{len(found.layers)} layers × {len(plan.samples):,} samples of {plan.size}: {found.problems:,} problems in "
        f"{found.units:,} units of {plan.block}"
    )
    layers.add_column("layer", overflow="fold", min_width=8)
    for heading in (
        "share\nof time",
        "s/sample\n± se",
        "passes/\nsample",
        "passes\n/s",
        "kB/\nsample",
        "measured\nsamples",
    ):
        layers.add_column(heading, justify="right", no_wrap=True)
    for row in found.layer_table().to_dict("records"):
        rate = f"{row['passes'] / row['seconds']:,.0f}" if row["seconds"] else "–"
        cells = [share(row["share"]), with_error(row, "seconds", 3), f"{row['passes']:,.0f}", rate]
        cells += [f"{row['size'] / 1000:,.1f}", str(row["measured"])]
        name = f"{row['network']} {row['layer']}" if many else str(row["layer"])
        _add_row(layers, name, cells, doubted=bool(row["at_most"]))
    console.print(layers)
    if found.at_most:
        text = "!: at most; no sample fitted into the calibration, so all passes that are allowed are reckoned"
        console.print(f"{text}. A longer --calibrate tells more.", style="yellow")
    what = "GPU-hours" if found.device == "cuda" else "core-hours"
    times = _table("")
    for heading in ("workers", "time", "± se", what):
        times.add_column(heading, justify="right")
    for row in found.table().to_dict("records"):
        error = "?" if row["seconds_se"] != row["seconds_se"] else duration(row["seconds_se"])
        hours = row["gpu_hours" if found.device == "cuda" else "core_hours"]
        times.add_row(f"{row['workers']:,}", duration(row["seconds"]), error, f"{hours:,.3g}")
    console.print(times)
    console.print()
    for line in _forecast_notes(found):
        console.print(line, soft_wrap=True)


def _forecast_notes(found: Forecast) -> Iterator[str]:
    """Yields what else a forecast says, and what it assumes."""
    from ..measurement.progress import duration

    if found.memory is not None:
        gpu = "" if found.gpu_memory is None else f", and {_bytes(found.gpu_memory)} of the GPU's"
        yield f"Memory: {_bytes(found.memory)} of this process at its peak, data and libraries included{gpu}."
    yield f"Storage: {_bytes(found.size)} in {found.objects:,} files or objects."
    where = (
        "a GPU like this one" if found.device == "cuda" else f"{found.cores} core{'s' * (found.cores > 1)} like these"
    )
    measured = sum(each.measured for each in found.layers)
    yield (
        f"From {measured:,} of {found.problems:,} problems ({share(measured / found.problems)}), chosen at random, in "
        f"{duration(found.calibrated)}."
    )
    yield (
        f"Assumed: each worker has {where}; several reach {found.efficiency:.0%} of as many times the throughput of "
        f"one; the start takes {found.start_up:.1f} s, as here, and the wait for the last unit {found.tail:.1f} s, "
        "half of the longest."
    )


def _bytes(count: float) -> str:
    """Prints bytes as people say them."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"


def show_gate(console: Console, gate: Gate) -> None:
    """Prints what a check found: a table of the layers, what its words mean, what should not be trusted."""
    reached = " (reached)" if (gate.table["basis"] == "reached").any() else ""
    judged = _table(f"{METRICS[gate.metric]}{reached} of the candidate against that of the base, nats/{gate.unit}")
    judged.add_column("layer", overflow="fold", min_width=8)
    for heading in ("base", "candi-\ndate", "differ-\nence", "se", "bound", "p\n(Holm)", "verdict"):
        judged.add_column(heading, justify="right", no_wrap=True)
    for row in gate.table.to_dict("records"):
        cells = [f"{row['base']:.3f}", f"{row['candidate']:.3f}", f"{row['difference']:+.3f}", f"{row['se']:.3f}"]
        cells += [f"{row['bound']:+.3f}", "<0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"]
        _add_row(judged, str(row["layer"]), [*cells, row["verdict"]], doubted=bool(row["warning"]))
    console.print(judged)
    console.print(f"\n{_gate_meaning(gate)}", style="dim")
    _show_warnings(console, _by_reason(gate.table.assign(a="base", b="candidate")))


def _gate_meaning(gate: Gate) -> str:
    """Returns what was compared, and what the words of a check mean."""
    images = "–".join(str(n) for n in sorted({gate.table["n"].min(), gate.table["n"].max()}))
    # Between corrected values, all that is not known is in the standard error.
    gap = gate.table["basis"].ne("corrected").any()
    less, added = (", less the solver's estimated gap,", "with the gap added, ") if gap else ("", "")
    sentences = [
        f"Base: {gate.base}. Candidate: {gate.candidate}.",
        f"More: the paired difference over {images} images{less} exceeds {gate.max_increase:g} (as its bound shows). "
        f"Within, less: {added}it is at most {gate.max_increase:g}, below 0. One-sided t-tests at "
        f"{gate.confidence:.4g}, corrected for the number of layers ({len(gate.table)}) by Holm's method.",
    ]
    if not gap:
        sentences.append("Values are corrected; se contains the systematic error of that.")
    if gate.left_out:
        sentences.append(f"Only one of both has {', '.join(gate.left_out)}, which is not compared.")
    return escape(" ".join(sentences))


def _by_reason(table: pd.DataFrame) -> list[str]:
    """Returns each warning of a comparison once, with the layers that it is about."""
    pairs = len(table[["a", "b"]].drop_duplicates())
    reasons: dict[str, list[str]] = {}
    for row in table.to_dict("records"):
        for text in filter(None, row["warning"].split("; ")):
            layer = row["layer"] if pairs == 1 else f"{row['layer']} ({row['b']})"
            reasons.setdefault(re.sub(r" \([\d.]+\)$", "", text), []).append(str(layer))
    return [f"{_some(layers, len(table))}: {text}" for text, layers in reasons.items()]


def show_paths(console: Console, paths: Mapping[str, str | Path | None]) -> None:
    """Prints where things lie, one a line and never broken, so that they can be copied."""
    width = max(map(len, paths))
    for what, path in paths.items():
        console.print(f"{what:<{width}}  {path}", markup=False, highlight=False, soft_wrap=True)


def _show_warnings(console: Console, warnings: list[str]) -> None:
    if not warnings:
        return
    console.print("\nNot to be trusted as they stand (!):", style="yellow")
    for text in warnings:
        console.print(Padding(escape(f"{text}."), (0, 0, 0, 2), expand=False), highlight=False)


def _table(title: str) -> Table:
    # Two spaces between columns, none around: with concentrations the table must fit 80 columns.
    style = {"box": SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
    return Table(title=escape(f"\n{title}" if title else " "), title_justify="left", title_style="bold", **style)  # type: ignore[arg-type]


def _add_row(table: Table, layer: str, cells: list[str], doubted: bool) -> None:
    """Adds a layer's row, marked if it is not to be trusted."""
    table.add_row(escape(f"{layer} !" if doubted else layer), *cells, style="yellow" if doubted else "")


def _some(names: list[str], total: int) -> str:
    if len(names) == total and total > 1:
        return "every layer"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
