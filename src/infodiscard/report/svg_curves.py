"""The curves by layer, and where things stand in their SVG: they are there without JavaScript."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

from ..analysis.trust import diagnostics
from ..plots.layer_curves import SETTLED
from .colours import network_class
from .content import Content, Entry
from .rendering import formatted
from .scalars import Scalar

LETTER = 6.6  # width of one
NARROWEST, UPRIGHT = 46.0, 640  # least width of a layer, and up to which width of all names are not slanted
MARKS = {  # how the points of a network look, around the origin; other networks of a colour have other marks
    "circle": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "square": "M-3.6,-3.6h7.2v7.2h-7.2z",
    "triangle": "M0,-4.8L4.6,3.6H-4.6z",
    "diamond": "M0,-5.2L5.2,0L0,5.2L-5.2,0z",
    "cross": "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
}


class Point(NamedTuple):
    """A mean: where, half of its 95 % interval (NaN for one sample), its samples, and whether enough converged."""

    mean: float
    half: float
    n: int
    settled: bool

    def words(self, unit: str) -> str:
        """Returns the point in words."""
        error = "" if math.isnan(self.half) else f" ± {self.half:.3f}"
        return f"{formatted(self.mean)}{error} {unit} (n = {self.n}{'' if self.settled else ', not converged'})"

    @property
    def interval(self) -> list[float]:
        """Its ends, if it has one."""
        return [] if math.isnan(self.half) else [self.mean - self.half, self.mean + self.half]


class Series(NamedTuple):
    """One network's curve: class and mark, how far it stands aside, in steps, its points by layer, and its floor."""

    entry: Entry
    colour: str
    mark: str
    shift: float
    points: list[Point | None]
    floor: list[float | None]

    @property
    def means(self) -> list[float | None]:
        """Its means by layer."""
        return [point and point.mean for point in self.points]


@dataclass(frozen=True)
class Curve:
    """The picture of one scalar by layer: as wide as the page, so that across it stands in percent, and down in pixels.

    `ends` are of the vertical axis, in values; `levels` are values to compare with, and what they are.
    """

    height: ClassVar = 300  # of the plot
    top: ClassVar = 14
    axis: ClassVar = 86  # width of the vertical one, which stays where it is

    scalar: Scalar
    title: str
    names: tuple[str, ...]
    series: list[Series]
    levels: dict[float, str]
    ticks: list[float]
    ends: tuple[float, float]

    @property
    def layers(self) -> list[str]:
        """The names of layers, short enough to stand below."""
        return [layer if len(layer) <= 22 else f"{layer[:10]}…{layer[-10:]}" for layer in self.names]

    @property
    def slot(self) -> float:
        """The least that a layer is wide, in pixels."""
        return NARROWEST if self.slanted else max(NARROWEST, self._longest + 8)

    @property
    def slanted(self) -> bool:
        """Whether the names of layers are too long to stand side by side."""
        return (self._longest + 8) * len(self.layers) > UPRIGHT

    @property
    def _longest(self) -> float:
        return max(map(len, self.layers)) * LETTER

    @property
    def tall(self) -> float:
        """Height of the whole picture, with what is below."""
        return self.height + 44 + (0.72 * self._longest if self.slanted else 8)

    def x(self, place: float) -> float:
        """Returns where a layer is, by its number, in percent."""
        return round(100 * (place + 0.5) / len(self.layers), 2)

    def y(self, value: float) -> float:
        """Returns where a value is."""
        low, high = self.ends
        return round(self.top + (high - value) / (high - low) * (self.height - self.top), 1)

    def lines(self, series: Series, values: Sequence[float | None]) -> list[tuple[float, float, float, float]]:
        """Returns the lines through a network's values by layer, each from x, y to x, y."""
        places = [(self.x(j + series.shift), self.y(v)) for j, v in enumerate(values) if v is not None]
        return [(*before, *after) for before, after in pairwise(places)]

    def tick(self, value: float) -> str:
        """Returns a value with as many digits as the ticks need."""
        fits = (n for n in range(12) if n == 11 or all(abs(round(tick, n) - tick) < 1e-9 for tick in self.ticks))
        return formatted(value, f".{next(fits)}f")


def points(entry: Entry, metric: str, layers: Sequence[str]) -> list[Point | None]:
    """Returns the points of one network's curve, `None` for layers that it lacks."""
    return [_point(entry, metric, layer) if entry.has(metric) else None for layer in layers]


def _point(entry: Entry, metric: str, layer: str) -> Point | None:
    if (mean := entry.mean(metric, layer)) is None:
        return None
    trust = diagnostics(entry.groups[layer].dropna(subset=[entry.variable(metric)]), metric)
    return Point(*mean, settled="converged" not in trust or bool(trust["converged"].mean() >= SETTLED))


def layer_curve(content: Content, scalar: Scalar) -> Curve:
    """Returns the picture of one scalar by layer."""
    series, many = [], len(content.entries)
    for number, entry in enumerate(content.entries):
        each, below = points(entry, scalar.name, content.layers), scalar.metric.floor if scalar.is_metric else None
        floors = dict(entry.summary[below].astype(float)) if below and entry.has(below) else {}
        floors_of = [floors.get(layer) if point else None for layer, point in zip(content.layers, each, strict=True)]
        mark = list(MARKS.values())[number % len(MARKS)]
        shift = min(0.3, 0.08 * (many - 1)) * (number / max(1, many - 1) - 0.5)
        series.append(Series(entry, network_class(number), mark, shift, each, floors_of))
    levels = _levels(content, scalar)
    return Curve(scalar, content.title(scalar), content.layers, series, levels, *_axis(series, levels))


def _axis(series: Sequence[Series], levels: dict[float, str]) -> tuple[list[float], tuple[float, float]]:
    """Returns where the vertical axis has ticks, and its ends."""
    from matplotlib.ticker import MaxNLocator

    values = [*levels]
    for each in series:
        values += [value for point in each.points if point for value in point.interval or [point.mean]]
        values += [value for value in each.floor if value is not None]
    margin = 0.05 * (max(values) - min(values)) or 0.1
    low, high = min(values) - margin, max(values) + margin
    ticks = [float(tick) for tick in MaxNLocator(6).tick_values(low, high)]
    return [0.0 if abs(tick) < 1e-12 else tick for tick in ticks if low <= tick <= high], (low, high)


def _levels(content: Content, scalar: Scalar) -> dict[float, str]:
    """Returns the levels that a reader compares with, and what they are."""
    levels = {} if scalar.is_metric else {0.0: ""}
    for settings in (entry.run.plan.settings for entry in content.entries if scalar.is_metric):
        if (level := scalar.metric.at_identity(settings.alpha, settings.tau)) is not None:
            levels[level] = f"identity layer (α = {settings.alpha:g}, τ = {settings.tau:g})"
    return levels if len(levels) > 1 else {level: name.partition(" (")[0] for level, name in levels.items()}
