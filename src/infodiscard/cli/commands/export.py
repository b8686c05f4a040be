"""Command that exports a run to other tools: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...api.run import open_run
from ...errors import InfodiscardError
from ...integrations.mlflow import to_mlflow
from ...integrations.tensorboard import to_tensorboard
from ..console import plain_console
from ..tables import show_paths


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)],
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write event files for TensorBoard here.")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="Log into MLflow at this address, such as 'http://HOST:5000'.")
    ] = None,
    experiment: Annotated[str, typer.Option(metavar="NAME", help="MLflow's experiment.")] = "infodiscard",
    step: Annotated[int, typer.Option(help="The step that the values stand at, such as an epoch.")] = 0,
) -> None:
    """Writes a run's numbers and pictures for TensorBoard, or logs them into MLflow."""
    if tensorboard is None and mlflow is None:
        raise InfodiscardError("Nowhere to export to; give --tensorboard DIR or --mlflow URI.")
    opened, console = open_run(run), plain_console()
    if tensorboard is not None:
        show_paths(console, {path.name: path for path in to_tensorboard(opened, tensorboard, step)})
    if mlflow is not None:
        for number in to_mlflow(opened, experiment, mlflow, step):
            console.print(f"MLflow run {number} in '{experiment}'", markup=False, soft_wrap=True)
