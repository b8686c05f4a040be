"""Command that forecasts a measurement: plan."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ...api.forecast import forecast
from ...measurement.execution import CALIBRATION, EFFICIENCY, WORKERS, Execution
from ..answer import Answer, answers
from ..console import plain_console
from ..forecast_tables import show_forecast
from ..loading import inputs_of, load
from ..options import WHERE, ImageData, Measuring, Specs, TextFile, Truncate, measures, typed
from ..parsing import whole_numbers
from ..tables import show_paths

NOT_TAKEN = ("out", *Execution.names("run"), "address", "workers", "gpus")
"""Options of measuring that a forecast does without."""


@partial(measures, but=NOT_TAKEN)
@answers
def plan(
    context: typer.Context,
    networks: Specs,
    options: Measuring,
    answer: Answer,
    data: ImageData = None,
    text: TextFile = None,
    truncate: Truncate = False,
    calibrate: Annotated[float, typer.Option(metavar="SECONDS", help="How long to measure some of it.")] = CALIBRATION,
    workers: Annotated[
        str, typer.Option(metavar="N,N,N", help="Workers to tell the time for.", rich_help_panel=WHERE)
    ] = ",".join(map(str, WORKERS)),
    cores: Annotated[
        int | None,
        typer.Option(help="Of each worker, 1 for Ray's; by default all that torch uses.", rich_help_panel=WHERE),
    ] = None,
    efficiency: Annotated[float, typer.Option(help="Of several workers, 0 … 1.", rich_help_panel=WHERE)] = EFFICIENCY,
) -> None:
    """Says what a measurement will take, in time, memory and storage, from a short calibration; stores nothing."""
    loaded = load(networks, options)
    inputs, options = inputs_of(loaded, data, text, truncate, options, typed(context))
    typer.echo(f"Calibrating on {options.device}, for about {calibrate:g} s …", err=True)
    chosen = {name: value for name, value in options.arguments().items() if name not in NOT_TAKEN}
    forecasted = forecast(
        loaded,
        inputs,
        seconds=calibrate,
        workers=whole_numbers(workers, "workers"),
        cores=cores,
        efficiency=efficiency,
        **chosen,
    )
    console = plain_console()
    show_forecast(console, forecasted)
    times = forecasted.table().to_dict("records")
    known = {"workers": times, "memory": forecasted.memory, "storage": forecasted.size}
    if written := answer.give(forecasted.layer_table(), **known):
        show_paths(console, written)
