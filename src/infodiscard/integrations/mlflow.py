"""MLflow: a run's numbers, pictures and tables in an experiment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InfodiscardError
from .tracking import measured, pictures, provenance, scalars

if TYPE_CHECKING:
    import pandas as pd

    from ..api.run import Run

EXPERIMENT = "infodiscard"


def to_mlflow(
    run: Run, experiment: str = EXPERIMENT, tracking_uri: str | Path | None = None, step: int = 0
) -> list[str]:
    """Logs what is measured of a run into MLflow, as a run of its own for each network.

    Its parameters are the settings, its tags the hashes of weights and inputs; beside the pictures, `summary.csv` and
    `values.csv` are kept as artefacts. MLflow's own current run, experiment and URI are left as they are.

    Args:
        run: a run with something measured; what is missing is omitted.
        experiment: its name; created if there is none.
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
    summary, networks = measured(run)
    try:
        client = MlflowClient(None if tracking_uri is None else str(tracking_uri))
        existing = client.get_experiment_by_name(experiment)
        number = client.create_experiment(experiment) if existing is None else existing.experiment_id
        return [_log(client, number, run, summary, network, step) for network in networks]
    except (MlflowException, OSError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise InfodiscardError(
            f"MLflow could not be written to at {tracking_uri or 'its own address'} ({reason}); give the address of a "
            "server, such as 'http://HOST:5000', or with the whole of MLflow installed 'sqlite:///FILE'."
        ) from error


def _log(client: Any, experiment: str, run: Run, summary: pd.DataFrame, network: str, step: int) -> str:
    """Logs one network; returns the id of MLflow's run, which is marked as failed if this is interrupted."""
    from mlflow.entities import Metric, Param, RunTag

    number = client.create_run(experiment, run_name=network).info.run_id
    try:
        texts = {re.sub(r"[^\w./ -]", "_", name): value for name, value in provenance(run).items()}
        params = [Param(name, value[:500]) for name, value in texts.items() if not name.startswith("hash/")]
        tags = [RunTag(name, value) for name, value in texts.items() if name.startswith("hash/")]
        values = [Metric(name, value, 0, step) for name, value in scalars(run, summary, network).items()]
        for start in range(0, len(values), 500):  # MLflow takes up to 1,000 at once
            client.log_batch(number, metrics=values[start : start + 500])
        client.log_batch(number, params=params, tags=tags)
        client.log_text(number, summary[summary["network"] == network].to_csv(index=False), "summary.csv")
        frame = run.to_dataframe()
        client.log_text(number, frame[frame["network"] == network].to_csv(index=False), "values.csv")
        for name, draw in pictures(run, network).items():
            client.log_figure(number, draw(), f"{name}.png")
    except BaseException:
        client.set_terminated(number, "FAILED")
        raise
    client.set_terminated(number)
    return number
