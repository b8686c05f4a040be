"""Tracking of experiments: a run's numbers and pictures, under the names that every tracker gets.

Each network of a run has every column of `Run.summary` as a scalar per layer: `sid_corrected/LAYER`,
`sid_corrected_se/LAYER`, `sid/LAYER` (as reached) and so on, as `MeasureLayers` names them. The layer curve and the
sheets of maps are pictures, with one colour scale for the maps of all networks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..core.metrics import METRICS
from ..errors import InfodiscardError
from ..plots import layer_curve, map_sheet, reconstruction_sheet
from ..plots.style import CLIP

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..api.run import Run


def measured(run: Run) -> tuple[pd.DataFrame, list[str]]:
    """Returns a run's summary, and the networks of which something is measured, in the order of the plan.

    Raises:
        InfodiscardError: nothing is measured.
    """
    summary = run.summary()
    if summary.empty:
        raise InfodiscardError("Nothing of this run is measured yet; continue it first.")
    return summary, [name for name in run.plan.networks if name in set(summary["network"])]


def scalars(run: Run, summary: pd.DataFrame, network: str) -> dict[str, float]:
    """Returns `COLUMN/LAYER` → value, without what is not a number, such as the error of a single sample."""
    tags = distinct(run.plan.union(), r"[^\w. -]")  # what TensorBoard and MLflow take; a slash parts names
    rows = summary[summary["network"] == network].set_index("layer").drop(columns=["network", "trust"])
    values = {f"{column}/{tags[str(layer)]}": float(value) for column in rows for layer, value in rows[column].items()}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def distinct(names: Sequence[str], forbidden: str) -> dict[str, str]:
    """Returns name → what it is called where some characters (a regular expression) are forbidden, each differently."""
    called: dict[str, str] = {}
    for name in names:
        plain = re.sub(forbidden, "_", name).strip(". ") or "_"
        called[name] = plain
        number = 2
        while list(called.values()).count(called[name]) > 1:
            called[name], number = f"{plain}-{number}", number + 1
    return called


def pictures(run: Run, network: str) -> dict[str, Callable[[], Figure]]:
    """Returns name → how to draw it. Maps of one metric have one scale, whichever the network."""
    draws: dict[str, Callable[[], Figure]] = {}
    data = run.dataset.sel(network=network)
    for metric in run.metrics:
        if not np.isfinite(data[metric].values).any():
            continue
        draws[f"{metric}_by_layer"] = partial(layer_curve, run, metric)
        draws[f"{metric}_map"] = partial(map_sheet, run, network, metric=metric, limits=_limits(run, metric))
        if METRICS[metric].needs_decoders:
            draws["reconstruction"] = partial(reconstruction_sheet, run, network)
    return draws


def _limits(run: Run, metric: str) -> tuple[float, float] | None:
    """Returns the ends of a scale for all maps of a metric; `None` if they are one value."""
    values = run.dataset[f"{metric}_map"].values
    low, high = np.percentile(values[np.isfinite(values)], CLIP)
    return (float(low), float(high)) if high > low else None


def provenance(run: Run) -> dict[str, str]:
    """Returns how a run was made, name → value: its settings, samples and path, and `hash/NAME` of what it is from."""
    plan = run.plan
    settings = plan.settings.stored()
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    texts |= {"samples": str(len(plan.samples)), "size": plan.size, "path": str(run.path or "in memory")}
    return texts | {f"hash/{name}": str(value) for name, value in plan.hashes.items()}
