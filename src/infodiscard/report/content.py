"""Content of the page: the networks, layers and comparisons of one run or several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..analysis.display import called, is_reached, mean_error, shown, systematic
from ..analysis.paired import compare_sides, pair_layers
from ..analysis.side import Side, sides_of
from ..analysis.statistics import half_width
from ..analysis.summary import summarise
from ..analysis.trust import distrust
from ..analysis.verdict import verdicts
from ..core.kinds import Layout
from ..core.metrics import METRICS
from ..errors import InfodiscardError
from ..results.plan import merged
from ..results.run import StoredRun
from .scalars import Scalar, page_scalars

if TYPE_CHECKING:
    import pandas as pd

ALL_PAIRS = 6  # of up to that many networks all pairs are compared; of more, each with the first


class Mean(NamedTuple):
    """A mean over samples, half of its 95 % interval (NaN for one sample), and how many it is of."""

    value: float
    half: float
    n: int


class Entry(Side):
    """A network of a run, as it is called on the page; its table is read once."""

    @cached_property
    def table(self) -> pd.DataFrame:  # type: ignore[override]
        """What was measured of it: layer, sample and the scalar variables."""
        frame = self.run.to_dataframe()
        return frame[frame["network"] == self.network].drop(columns="network")

    @cached_property
    def groups(self) -> dict[str, pd.DataFrame]:
        """The rows of its table by layer."""
        return {str(layer): rows for layer, rows in self.table.groupby("layer", sort=False)}

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Means, standard errors and shares, a row per layer that has something measured."""
        frame = summarise(self.run)
        return frame[frame["network"] == self.network].drop(columns="network").set_index("layer")

    @property
    def alpha(self) -> float:
        """The feature distance that was to be reached."""
        return self.run.plan.settings.alpha

    @cached_property
    def row_names(self) -> dict[str, str]:
        """Sample → its class where that is known, else its own name."""
        plan = self.run.plan
        if plan.labels is None or not plan.classes:
            return {sample: sample for sample in plan.samples}
        return {sample: plan.classes[label] for sample, label in zip(plan.samples, plan.labels, strict=True)}

    def variable(self, metric: str) -> str:
        """Returns the variable that stands for a scalar on the page."""
        return shown(metric, self.table)

    def title(self, metric: str) -> str:
        """Returns what the page calls a scalar of this network, which says so where it is not corrected."""
        return called(page_scalars()[metric].title, self.variable(metric))

    def mean(self, metric: str, layer: str) -> Mean | None:
        """Returns the mean of a scalar at a layer; `None` if there is none."""
        variable = self.variable(metric)
        if layer not in self.groups or self.groups[layer][variable].isna().all():
            return None
        rows = self.groups[layer].dropna(subset=[variable])
        value, n = float(rows[variable].astype(float).mean()), len(rows)
        return Mean(value, half_width(mean_error(rows, variable), n), n)

    def step(self, metric: str, before: str, after: str) -> Mean:
        """Returns by how much a scalar is higher at one layer than at another, over the samples that have both."""
        variable = self.variable(metric)
        left, right = (self.groups[layer].set_index("sample") for layer in (before, after))
        steps = (right[variable] - left[variable]).astype(float).dropna()
        shared = math.hypot(*(systematic(rows.loc[steps.index], variable) for rows in (left, right)))
        n = len(steps)
        return Mean(float(steps.mean()), half_width(math.hypot(float(steps.std()) / math.sqrt(n), shared), n), n)

    def means(self, metric: str) -> dict[str, Mean]:
        """Returns layer → the mean of a scalar, in the order of execution."""
        means = {str(layer): self.mean(metric, str(layer)) for layer in self.summary.index}
        return {layer: mean for layer, mean in means.items() if mean is not None}

    def doubts(self, metric: str) -> dict[str, list[str]]:
        """Returns layer → what speaks against its values of a scalar."""
        words = self.run.plan.layout.words
        groups = self.groups.items()
        return {layer: [words(text) for text in distrust(rows, self.alpha, metric)] for layer, rows in groups}

    def has(self, metric: str) -> bool:
        """Says whether anything of a scalar was measured."""
        return metric in self.summary and bool(self.summary[metric].notna().any())


@dataclass(frozen=True)
class Content:
    """What the page says.

    Attributes:
        entries: the networks.
        layers: of all, in an order that respects each network's.
        scalars: those that some network has.
        layout: the kind of input.
        pairs: a row per metric, pair and layer: the columns of `compare`, verdicts being corrected for all rows of a
            metric, `layer_a` and `layer_b`.
        apart: sentences on pairs that could not be compared.
    """

    entries: list[Entry]
    layers: tuple[str, ...]
    scalars: tuple[Scalar, ...]
    layout: Layout
    pairs: pd.DataFrame
    apart: list[str]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that some network has, which have maps."""
        return tuple(scalar.name for scalar in self.scalars if scalar.is_metric)

    @property
    def titles(self) -> list[str]:
        """What the metrics are called."""
        return [METRICS[metric].title for metric in self.metrics]

    def corrected(self, throughout: bool) -> list[str]:
        """Returns the titles of metrics that are corrected of some network, or `throughout`."""
        reached = {name: self.reached(name) for name in self.metrics if name in METRICS[name].corrected}
        having = {name: sum(entry.has(name) for entry in self.entries) for name in reached}
        return [METRICS[name].title for name in reached if len(reached[name]) < (1 if throughout else having[name])]

    @property
    def less_gap(self) -> list[str]:
        """The titles of metrics from whose differences the gap is taken off."""
        rows = self.pairs[self.pairs["basis"] != "corrected"]
        return [METRICS[name].title for name in self.metrics if name in set(rows["metric"])]

    @property
    def unit(self) -> str:
        """The unit of every scalar."""
        return self.layout.words("nats/pixel")

    @property
    def wide(self) -> bool:
        """Whether maps are pictures, not lines."""
        return len(self.layout.dims) == 2

    @property
    def compared(self) -> list[tuple[str, str]]:
        """The pairs of networks that were compared, by their names."""
        return [] if self.pairs.empty else list(dict.fromkeys(zip(self.pairs["a"], self.pairs["b"], strict=True)))

    @property
    def floors(self) -> list[str]:
        """The titles of metrics that some network has a floor of."""
        floors = {METRICS[name].title: METRICS[name].floor for name in self.metrics}
        return [title for title, floor in floors.items() if floor and any(each.has(floor) for each in self.entries)]

    @property
    def options(self) -> dict[str, list[tuple[str, str]]]:
        """What lists of the page choose among, values and texts: a "scalar", a "metric", a "network", a "pair"."""
        return {
            "scalar": [(scalar.name, scalar.title) for scalar in self.scalars],
            "metric": list(zip(self.metrics, self.titles, strict=True)),
            "network": [(str(i), entry.name) for i, entry in enumerate(self.entries)],
            "pair": [(str(i), f"{b} − {a}") for i, (a, b) in enumerate(self.compared)],
        }

    def entry(self, name: str) -> Entry:
        """Returns the network of a name."""
        return next(entry for entry in self.entries if entry.name == name)

    @property
    def runs(self) -> dict[str, StoredRun]:
        """The runs by name: as given, or the names of a run's networks if it was given alone."""
        named: dict[int, tuple[list[str], StoredRun]] = {}
        for entry in self.entries:
            named.setdefault(id(entry.run), ([], entry.run))[0].append(entry.name)
        return {", ".join(names): run for names, run in named.values()}

    def reached(self, metric: str) -> list[str]:
        """Returns the networks whose values of a scalar are as the search reached them, though it can be corrected."""
        return [entry.name for entry in self.entries if entry.has(metric) and is_reached(entry.variable(metric))]

    @property
    def as_reached(self) -> list[str]:
        """The networks with a metric that is not corrected, though it can be."""
        return list(dict.fromkeys(name for metric in self.metrics for name in self.reached(metric)))

    def title(self, scalar: Scalar) -> str:
        """Returns what the page calls a scalar of all networks."""
        having = [entry.name for entry in self.entries if entry.has(scalar.name)]
        return f"{scalar.title} (reached)" if having == self.reached(scalar.name) else scalar.title

    @property
    def texts(self) -> dict[str, StoredRun]:
        """Those of the runs that are of texts."""
        return {name: run for name, run in self.runs.items() if run.plan.tokens}


def read(runs: StoredRun | str | Path | Mapping[str, StoredRun | str | Path]) -> Content:
    """Reads what the page is made of.

    Args:
        runs: one run or its directory, or name → run.

    Raises:
        InfodiscardError: there is no such run, nothing is measured, or the runs have inputs of different kinds.
    """
    entries = [Entry(side.name, side.run, side.network) for side in sides_of(runs)]
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InfodiscardError(f"Two networks would be called '{twice}'; give the runs names that tell them apart.")
    kinds = {entry.run.plan.kind: entry.name for entry in entries}
    if len(kinds) > 1:
        named = " and ".join(f"'{name}' of {kind}" for kind, name in kinds.items())
        raise InfodiscardError(
            f"The runs have inputs of different kinds ({named}), whose values share no unit; write a report of each."
        )
    measured = [entry for entry in entries if len(entry.table)]
    scalars = tuple(item for item in page_scalars().values() if any(entry.has(item.name) for entry in measured))
    if not scalars:
        raise InfodiscardError("Nothing is measured yet, so there is nothing to report; continue the run first.")
    pairs, apart = _compared(measured, scalars)
    layers = merged([[layer for layer in entry.layers if layer in entry.summary.index] for entry in measured])
    return Content(measured, layers, scalars, measured[0].run.plan.layout, pairs, apart)


def _compared(entries: Sequence[Entry], scalars: Sequence[Scalar]) -> tuple[pd.DataFrame, list[str]]:
    """Returns the table of pairs, and why some could not be compared."""
    import pandas as pd

    chosen = list(combinations(entries, 2))
    if len(entries) > ALL_PAIRS:
        chosen = [(entries[0], other) for other in entries[1:]]
    rows: list[dict[str, Any]] = []
    apart: dict[str, None] = {}
    for scalar in scalars:
        start = len(rows)
        for a, b in chosen:
            if a.has(scalar.name) and b.has(scalar.name):
                try:
                    rows += _pair(a, b, scalar.name)
                except InfodiscardError as error:
                    apart[f"{b.name} was not compared with {a.name}: {error}"] = None
        for row, found in zip(rows[start:], verdicts(rows[start:]), strict=True):  # type: ignore[arg-type]
            row["verdict"], row["p_holm"] = found
    return pd.DataFrame(rows), list(apart)


def _pair(a: Entry, b: Entry, metric: str) -> list[dict[str, Any]]:
    """Returns the rows of one pair."""
    layers = {
        left if left == right else f"{left} ~ {right}": (left, right)
        for left, right in pair_layers(a.name, a.layers, b.name, b.layers, "auto")
    }
    words = a.run.plan.layout.words
    rows = []
    for row in compare_sides(a, b, metric, "auto"):
        layer_a, layer_b = layers[row["layer"]]
        added = {"layer_a": layer_a, "layer_b": layer_b, "warning": words(row["warning"])}
        rows.append({"metric": metric, **row, **added})
    return rows
