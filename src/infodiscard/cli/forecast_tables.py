"""A forecast on the terminal: what a measurement will take by layer and by the number of workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ..analysis.columns import share, with_error
from ..measurement.pace import dearest, duration, duration_range
from .tables import add_row, new_table, show_table

if TYPE_CHECKING:
    from ..measurement.forecast import Forecast

HEADINGS = ("share\nof time", "s/sample\n± se", "passes/\nsample", "passes\n/s", "kB/\nsample", "measured\nsamples")


def show_forecast(console: Console, forecast: Forecast) -> None:
    """Prints what a measurement will take, and what that is made of."""
    show_table(console, _layers(forecast))
    if forecast.guessed:
        text = "!: no sample fitted into the calibration; likely within a factor of two, by a first look"
        console.print(f"{text}. A longer --calibrate tells more.", style="yellow")
    show_table(console, _times(forecast))
    console.print()
    for line in _notes(forecast):
        console.print(line, soft_wrap=True)


def _layers(forecast: Forecast) -> Table:
    """Returns what each layer takes."""
    plan, several = forecast.plan, len(forecast.plan.networks) > 1
    table = new_table(
        f"{len(forecast.layers)} layers × {len(plan.samples):,} samples of {plan.size}: {forecast.problems:,} problems "
        f"in {forecast.units:,} units of {plan.block}"
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in forecast.layer_table().to_dict("records"):
        rate = f"{row['passes'] / row['seconds']:,.0f}" if row["seconds"] else "–"
        cells = [share(row["share"]), with_error(row, "seconds", ".3f"), f"{row['passes']:,.0f}", rate]
        cells += [f"{row['size'] / 1000:,.1f}", str(row["measured"])]
        name = f"{row['network']} {row['layer']}" if several else str(row["layer"])
        add_row(table, name, cells, doubted=bool(row["guessed"]))
    return table


def _times(forecast: Forecast) -> Table:
    """Returns the time by the number of workers."""
    on_gpu, table = forecast.device == "cuda", new_table("", None)
    for heading in ("workers", "time", "likely", "GPU-hours" if on_gpu else "core-hours"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in forecast.table().to_dict("records"):
        likely = duration_range(row["seconds_low"], row["seconds_high"])
        hours = row["gpu_hours" if on_gpu else "core_hours"]
        table.add_row(f"{row['workers']:,}", duration(row["seconds"]), likely, f"{hours:,.3g}")
    return table


def _notes(forecast: Forecast) -> Iterator[str]:
    """Yields what else a forecast says, and what it assumes."""
    several, count = len(forecast.plan.networks) > 1, len(forecast.plan.samples)
    layers = {
        f"{each.network} {each.layer}" if several else each.layer: each.seconds * count for each in forecast.layers
    }
    if named := dearest(layers):
        yield f"{named}."
    if forecast.memory is not None:
        gpu = "" if forecast.gpu_memory is None else f", and {_bytes(forecast.gpu_memory)} of the GPU's"
        yield f"Memory: {_bytes(forecast.memory)} of this process at its peak, data and libraries included{gpu}."
    if forecast.need is not None:
        yield f"At the largest layer: {forecast.need}."
    yield f"Storage: {_bytes(forecast.size)} in {forecast.objects:,} files or objects."
    where = (
        "a GPU like this one"
        if forecast.device == "cuda"
        else f"{forecast.cores} core{'s' * (forecast.cores > 1)} like these"
    )
    measured = sum(each.measured for each in forecast.layers)
    yield (
        f"From {measured:,} of {forecast.problems:,} problems ({share(measured / forecast.problems)}), chosen at "
        f"random, in {duration(forecast.calibrated)}."
    )
    yield (
        f"Assumed: each worker has {where}; several reach {forecast.efficiency:.0%} of as many times the throughput of "
        f"one; the start takes {forecast.start_up:.1f} s, as here, and the wait for the last unit "
        f"{forecast.tail:.1f} s, half of the longest."
    )


def _bytes(count: float) -> str:
    """Prints bytes as people say them."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
