"""What the page is made of, read from runs by the ways that any reader of a run has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..analysis.display import called, is_reached, mean_error, shown
from ..analysis.paired import compare_sides, pair_layers
from ..analysis.side import Side, sides_of
from ..analysis.statistics import half_width, holm, t_tail
from ..analysis.summary import summarise
from ..analysis.trust import distrust
from ..core.kinds import Layout
from ..core.metrics import METRICS
from ..errors import InfodiscardError
from ..results.plan import merged
from ..results.run import StoredRun

if TYPE_CHECKING:
    import pandas as pd

SCALARS = {
    "sid": "SID",
    "ru": "RU",
    "concentration": "Concentration",
    "ru_concentration": "Concentration of RU",
}
"""What has a curve → what the page calls it."""

MEANS = {  # scalar → the ends of its axis in words, lower and higher
    "sid": ("keeps more", "discards more"),
    "ru": ("is restored better", "is restored worse"),
    "concentration": ("on the background", "on the object"),
    "ru_concentration": ("on the background", "on the object"),
}
ALL_PAIRS = 6  # of so many networks all pairs are compared; of more, each with the first
LEVEL = 0.05
MORE, LESS, UNKNOWN = "more", "less", "not significant"


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
    def alpha(self) -> float | None:
        """The feature distance that was to be reached."""
        return self.run.plan.settings.get("alpha")

    def variable(self, metric: str) -> str:
        """Returns the variable that stands for a scalar on the page."""
        return shown(metric, self.table)

    def said(self, metric: str) -> str:
        """Returns what the page calls a scalar of this network, which says so where it is not corrected."""
        return called(SCALARS[metric], self.variable(metric))

    def mean(self, metric: str, layer: str) -> Mean | None:
        """Returns the mean of a scalar at a layer; `None` if there is none."""
        variable = self.variable(metric)
        if layer not in self.groups or self.groups[layer][variable].isna().all():
            return None
        rows = self.groups[layer].dropna(subset=[variable])
        value, n = float(rows[variable].astype(float).mean()), len(rows)
        return Mean(value, half_width(mean_error(rows, variable), n), n)

    def means(self, metric: str) -> dict[str, Mean]:
        """Returns layer → the mean of a scalar, in the order of execution."""
        found = {str(layer): self.mean(metric, str(layer)) for layer in self.summary.index}
        return {layer: mean for layer, mean in found.items() if mean is not None}

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
        scalars: which of `SCALARS` some network has.
        metrics: which of `store.METRICS` have maps.
        layout: the kind of input.
        pairs: a row per metric, pair and layer: the columns of `compare`, `layer_a`, `layer_b`, `p_holm` and `verdict`
            (whether b has significantly more than a).
        apart: sentences on pairs that could not be compared.
    """

    entries: list[Entry]
    layers: tuple[str, ...]
    scalars: tuple[str, ...]
    metrics: tuple[str, ...]
    layout: Layout
    pairs: pd.DataFrame
    apart: list[str]

    @property
    def unit(self) -> str:
        """Of SID, RU and concentrations."""
        return self.layout.words("nats/pixel")

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

    def said(self, metric: str) -> str:
        """Returns what the page calls a scalar of all networks."""
        having = [entry.name for entry in self.entries if entry.has(metric)]
        return f"{SCALARS[metric]} (reached)" if having == self.reached(metric) else SCALARS[metric]

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
    scalars = tuple(name for name in SCALARS if any(entry.has(name) for entry in measured))
    if not scalars:
        raise InfodiscardError("Nothing is measured yet, so there is nothing to report; continue the run first.")
    pairs, apart = _compared(measured, scalars)
    layers = merged([[layer for layer in entry.layers if layer in entry.summary.index] for entry in measured])
    metrics = tuple(name for name in METRICS if name in scalars)
    return Content(measured, layers, scalars, metrics, measured[0].run.plan.layout, pairs, apart)


def _compared(entries: Sequence[Entry], scalars: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Returns the table of pairs, and why some could not be compared."""
    import pandas as pd

    chosen = list(combinations(entries, 2))
    if len(entries) > ALL_PAIRS:
        chosen = [(entries[0], other) for other in entries[1:]]
    rows: list[dict[str, Any]] = []
    apart: dict[str, None] = {}
    for metric in scalars:
        start = len(rows)
        for a, b in chosen:
            if a.has(metric) and b.has(metric):
                try:
                    rows += _pair(a, b, metric)
                except InfodiscardError as error:
                    apart[f"{b.name} was not compared with {a.name}: {error}"] = None
        _judge(rows[start:], metric)
    return pd.DataFrame(rows), list(apart)


def _pair(a: Entry, b: Entry, metric: str) -> list[dict[str, Any]]:
    """Returns the rows of one pair."""
    rows = compare_sides(a, b, metric, "auto")
    layers = {
        left if left == right else f"{left} ~ {right}": (left, right)
        for left, right in pair_layers(a.name, a.layers, b.name, b.layers, "auto")
    }
    words = a.run.plan.layout.words
    for row in rows:
        row["layer_a"], row["layer_b"] = layers[row["layer"]]
        row["warning"] = words(row["warning"])
    return [{"metric": metric, **row} for row in rows]


def _judge(rows: list[dict[str, Any]], metric: str) -> None:
    """Adds to the rows of one metric `p_holm` and `verdict`: two-sided paired t-tests, corrected for their number.

    The gap counts against a difference, as in `gate.check`.
    """
    p = []
    for row in rows:
        gap = row["gap"] if metric in METRICS else 0.0
        excess = abs(row["difference"]) - gap
        row["within_gap"] = metric in METRICS and excess <= 0
        if row["n"] < 2:
            p.append(1.0)  # one sample shows nothing
        elif row["se"] == 0:
            p.append(0.0 if excess > 0 else 1.0)
        else:
            p.append(min(1.0, 2 * t_tail(excess / row["se"], row["n"] - 1)))
    for row, corrected in zip(rows, holm(p), strict=True):
        row["p_holm"] = corrected
        row["verdict"] = UNKNOWN if corrected > LEVEL else (MORE if row["difference"] > 0 else LESS)
