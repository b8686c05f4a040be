"""A run for those who keep their experiments elsewhere: its numbers and pictures in TensorBoard or MLflow.

Both get, for every network, each column of `Run.summary` as a scalar per layer: `sid_corrected/LAYER`,
`sid_corrected_se/LAYER`, `sid/LAYER` (as reached) and so on, as `MeasureLayers` names them. The layer curve and the
sheets of maps come as pictures, with one colour scale for the maps of all networks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.files import told
from ..core.metrics import METRICS
from ..errors import InfodiscardError
from ..plots import layer_curve, map_sheet, reconstruction_sheet
from ..plots.style import CLIP, pixels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..api.run import Run

EXPERIMENT = "infodiscard"


def to_tensorboard(run: Run, directory: str | Path, step: int = 0) -> list[Path]:
    """Writes what is measured of a run as TensorBoard's event files, in a folder for each network.

    Args:
        run: a run with something measured; what is missing is left out.
        directory: where to; TensorBoard's `--logdir`. Writing twice adds a second file, which TensorBoard shows too.
        step: at which step the values stand, such as the epoch of the training that the network is from.

    Returns:
        The folders.

    Raises:
        InfodiscardError: nothing is measured, TensorBoard is missing, or the folder cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InfodiscardError(
            "This needs TensorBoard; install it with pip install 'infodiscard[tensorboard]'."
        ) from error
    summary = _summary(run)
    root, folders = Path(directory).expanduser(), []
    for network, folder in _distinct(_networks(run, summary), r"[^\w.+-]+").items():
        with told("write for TensorBoard in", root), SummaryWriter(str(root / folder)) as writer:
            for name, value in _scalars(run, summary, network).items():
                writer.add_scalar(name, value, step)
            for name, picture in _pictures(run, network).items():
                writer.add_image(name, pixels(picture()), step, dataformats="HWC")
            writer.add_text("made", _table(_made(run)), step)
        folders.append(root / folder)
    return folders


def to_mlflow(
    run: Run, experiment: str = EXPERIMENT, tracking_uri: str | Path | None = None, step: int = 0
) -> list[str]:
    """Logs what is measured of a run into MLflow, as a run of its own for each network.

    Its parameters are the settings, its tags the hashes of weights and inputs; beside the pictures, `summary.csv` and
    `values.csv` are kept as artefacts. MLflow's own current run, experiment and URI are left as they are.

    Args:
        run: a run with something measured; what is missing is left out.
        experiment: its name; made if there is none.
        tracking_uri: of the server, such as `http://HOST:5000`; by default MLflow's own (`MLFLOW_TRACKING_URI`).
            What MLflow takes besides, such as `sqlite:///FILE`, needs more of it than the extra installs.
        step: at which step the values stand.

    Returns:
        MLflow's ids of the runs, in the order of the networks.

    Raises:
        InfodiscardError: nothing is measured, MLflow is missing, or it cannot be written to.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise InfodiscardError("This needs MLflow; install it with pip install 'infodiscard[mlflow]'.") from error
    summary = _summary(run)
    try:
        client = MlflowClient(None if tracking_uri is None else str(tracking_uri))
        found = client.get_experiment_by_name(experiment)
        number = client.create_experiment(experiment) if found is None else found.experiment_id
        return [_logged(client, number, run, summary, network, step) for network in _networks(run, summary)]
    except (MlflowException, OSError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise InfodiscardError(
            f"MLflow could not be written to at {tracking_uri or 'its own address'} ({reason}); give the address of a "
            "server, such as 'http://HOST:5000', or with the whole of MLflow installed 'sqlite:///FILE'."
        ) from error


def _logged(client: Any, experiment: str, run: Run, summary: pd.DataFrame, network: str, step: int) -> str:
    """Logs one network; returns the id of MLflow's run, which has failed if that is interrupted."""
    from mlflow.entities import Metric, Param, RunTag

    number = client.create_run(experiment, run_name=network).info.run_id
    try:
        made = {re.sub(r"[^\w./ -]", "_", name): value for name, value in _made(run).items()}
        params = [Param(name, value[:500]) for name, value in made.items() if not name.startswith("hash/")]
        tags = [RunTag(name, value) for name, value in made.items() if name.startswith("hash/")]
        values = [Metric(name, value, 0, step) for name, value in _scalars(run, summary, network).items()]
        for start in range(0, len(values), 500):  # MLflow takes up to 1,000 at once
            client.log_batch(number, metrics=values[start : start + 500])
        client.log_batch(number, params=params, tags=tags)
        client.log_text(number, summary[summary["network"] == network].to_csv(index=False), "summary.csv")
        frame = run.to_dataframe()
        client.log_text(number, frame[frame["network"] == network].to_csv(index=False), "values.csv")
        for name, picture in _pictures(run, network).items():
            client.log_figure(number, picture(), f"{name}.png")
    except BaseException:
        client.set_terminated(number, "FAILED")
        raise
    client.set_terminated(number)
    return number


def _summary(run: Run) -> pd.DataFrame:
    summary = run.summary()
    if summary.empty:
        raise InfodiscardError("Nothing of this run is measured yet; continue it first.")
    return summary


def _networks(run: Run, summary: pd.DataFrame) -> list[str]:
    """Returns the networks of which something is measured, in the order of the plan."""
    return [name for name in run.plan.networks if name in set(summary["network"])]


def _scalars(run: Run, summary: pd.DataFrame, network: str) -> dict[str, float]:
    """Returns `COLUMN/LAYER` → value; what is not a number, such as the error of a single sample, is left out."""
    tags = _distinct(run.plan.union(), r"[^\w./ -]")  # what both libraries take in a name
    rows = summary[summary["network"] == network].set_index("layer").drop(columns="network")
    values = {f"{column}/{tags[str(layer)]}": float(value) for column in rows for layer, value in rows[column].items()}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _distinct(names: Sequence[str], forbidden: str) -> dict[str, str]:
    """Returns what each name is called where some characters are forbidden: no two are called the same."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(forbidden, "_", name).strip(". ") or "_"
        found[name] = plain
        number = 2
        while list(found.values()).count(found[name]) > 1:
            found[name], number = f"{plain}-{number}", number + 1
    return found


def _pictures(run: Run, network: str) -> dict[str, Callable[[], Figure]]:
    """Returns name → how to draw it. Maps of one metric have one scale, whichever the network."""
    pictures: dict[str, Callable[[], Figure]] = {}
    data = run.dataset.sel(network=network)
    for metric in run.metrics:
        if not np.isfinite(data[metric].values).any():
            continue
        pictures[f"{metric}_by_layer"] = lambda metric=metric: layer_curve(run, metric)  # type: ignore[misc]
        limits = _limits(run, metric)
        pictures[f"{metric}_map"] = lambda metric=metric, limits=limits: map_sheet(  # type: ignore[misc]
            run, network, metric=metric, limits=limits
        )
        if METRICS[metric].needs_decoders:
            pictures["reconstruction"] = lambda: reconstruction_sheet(run, network)
    return pictures


def _limits(run: Run, metric: str) -> tuple[float, float] | None:
    """Returns the ends of a scale for all maps of a metric; `None` if they are one value."""
    values = run.dataset[f"{metric}_map"].values
    low, high = np.percentile(values[np.isfinite(values)], CLIP)
    return (float(low), float(high)) if high > low else None


def _made(run: Run) -> dict[str, str]:
    """Returns how a run was made: name → value."""
    plan = run.plan
    made = {name: value if isinstance(value, str) else json.dumps(value) for name, value in plan.settings.items()}
    made |= {"samples": str(len(plan.samples)), "size": plan.size, "path": str(run.path or "in memory")}
    return made | {f"hash/{name}": str(value) for name, value in plan.hashes.items()}


def _table(made: Mapping[str, str]) -> str:
    """Returns names and values as a table in Markdown, as TensorBoard shows it."""
    rows = [f"| {name} | `{value}` |" for name, value in made.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])
