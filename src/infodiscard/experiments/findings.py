"""Findings of a study: tables of means by layer, figures, and a verdict for each claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..analysis.display import basis, mean_error, shown
from ..analysis.trust import distrust
from ..api.run import Run
from ..core.metrics import METRICS
from .lab import TrainedNetwork
from .verdicts import Claim

OWN, GIVEN = "trained here", "given"
"""What a claim rests on: networks that the study trains, or networks that the user gives it."""


@dataclass(frozen=True)
class Findings:
    """The result of a study.

    Attributes:
        study: its name.
        title: the question.
        claims: of the paper, with a verdict each.
        table: one row per network, layer and measure.
        figures: by the name of their file.
        notes: what a reader must know besides the numbers.
        evidence: `OWN`, networks trained for the study; or `GIVEN`, ones that others trained.
    """

    study: str
    title: str
    claims: tuple[Claim, ...]
    table: pd.DataFrame = field(repr=False)
    figures: Mapping[str, Figure] = field(repr=False, default_factory=dict)
    notes: tuple[str, ...] = ()
    evidence: str = OWN


def layer_means(
    trained: TrainedNetwork, *runs: Run, layers: Sequence[str] = (), extra: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Returns one row per layer and measure of a network: its mean over the images.

    Args:
        trained: the network.
        runs: of this network alone.
        layers: which; all that were measured if none are named.
        extra: further columns.

    Returns:
        The columns network, seed, accuracy and the further ones, and those of `frame_means`.
    """
    about = {"network": trained.name, "seed": trained.seed, "accuracy": trained.accuracy, **(extra or {})}
    tables = []
    for run in runs:
        known = [layer for layer in run.plan.layers[run.plan.networks[0]] if not layers or layer in layers]
        tables.append(frame_means(run.to_dataframe(), known, run.plan.settings.alpha, about))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def frame_means(frame: pd.DataFrame, layers: Sequence[str], alpha: float, about: Mapping[str, Any]) -> pd.DataFrame:
    """Returns one row per layer and measure of the table of one network: its mean over the images.

    Args:
        frame: of `Run.to_dataframe`.
        layers: which, in their order.
        alpha: the feature distance that it should be reported at.
        about: what all rows say of the network.

    Returns:
        The columns of `about`, layer, position (0 for the first layer), measure (`sid`, `ru`, `concentration`, …),
        mean, se (over images, with the systematic error of a correction), n, basis (`corrected` or `reached`; empty for
        what has no such difference), reached (the mean as the search reached it), warning.
    """
    rows = []
    for measure in (name for metric in METRICS.values() for name in metric.scalars):
        if measure not in frame:
            continue
        variable = shown(measure, frame)
        for position, layer in enumerate(layers):
            part = frame[frame["layer"] == layer]
            values = part[variable].dropna()
            row = {**about, "layer": layer, "position": position, "measure": measure, "mean": values.mean()}
            row |= {"se": mean_error(part, variable), "n": len(values)}
            row |= {"basis": basis(variable), "reached": part[measure].mean()}
            rows.append({**row, "warning": "; ".join(distrust(part, alpha, measure))})
    return pd.DataFrame(rows)


def mean_of(table: pd.DataFrame, network: str, seed: int | None, measure: str, layers: Iterable[str] = ()) -> float:
    """Returns the mean of a measure over some layers of one trained network (over all of them if none are named)."""
    rows = table[(table["network"] == network) & (table["measure"] == measure)]
    rows = rows[rows["seed"].isna()] if seed is None else rows[rows["seed"] == seed]
    wanted = list(layers)
    return float((rows[rows["layer"].isin(wanted)] if wanted else rows)["mean"].mean())


def accuracies(table: pd.DataFrame) -> str:
    """Returns the test accuracies of the networks of a table, in words."""
    trained = table.drop_duplicates(["network", "seed"]).dropna(subset=["accuracy"])
    parts = [
        f"{name} {' / '.join(f'{share:.1%}' for share in group['accuracy'])}"
        for name, group in trained.groupby("network", sort=False)
    ]
    return "Test accuracy by seed: " + ", ".join(parts) + "."
