"""Sides of a comparison: the networks of runs, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InfodiscardError
from ..results.run import StoredRun

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Side:
    """One network of one run, under the name it has in the table."""

    name: str
    run: StoredRun
    network: str

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers it was planned for, in execution order."""
        return self.run.plan.layers[self.network]

    @property
    def table(self) -> pd.DataFrame:
        """What was measured of it: layer, sample and the scalar variables."""
        frame = self.run.to_dataframe()
        return frame[frame["network"] == self.network].drop(columns="network")

    @property
    def correct(self) -> dict[str, bool]:
        """Sample → whether the network classifies it as labelled, where labels and predictions are known."""
        plan = self.run.plan
        if plan.labels is None or self.network not in plan.predictions:
            return {}
        rows = zip(plan.samples, plan.labels, plan.predictions[self.network], strict=True)
        return {sample: label == predicted for sample, label, predicted in rows if predicted >= 0}

    @property
    def missing(self) -> int:
        """The number of its units that are not measured yet."""
        return sum(unit.network == self.network for unit in self.run.pending())


Source = StoredRun | str | Path
"""A run, or where it is stored."""

Sources = Mapping[str, Source] | Source
"""Runs by name, or one run of several networks."""


def as_run(value: Source) -> StoredRun:
    """Returns a run as it is, and opens the path of one.

    Raises:
        InfodiscardError: it is neither.
    """
    if isinstance(value, StoredRun):
        return value
    if isinstance(value, str | Path):
        return StoredRun.open(value)
    raise InfodiscardError(f"Cannot compare a {type(value).__name__}; give a run, the directory of one, or a network.")


def sides_of(runs: Sources) -> list[Side]:
    """Returns one entry per network of the runs given to `compare_runs`."""
    if not isinstance(runs, Mapping):
        run = as_run(runs)
        return [Side(network, run, network) for network in run.plan.networks]
    sides = []
    for name, value in runs.items():
        run = as_run(value)
        several = len(run.plan.networks) > 1
        sides += [Side(f"{name}/{item}" if several else str(name), run, item) for item in run.plan.networks]
    return sides
