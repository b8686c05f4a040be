"""The curves by layer, where everything stands in their SVG: they are there without JavaScript."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..core.metrics.variable import diagnostics
from ..plots.layer_curves import SETTLED, identity_level
from .colours import network_class
from .content import Content, Entry
from .rendering import formatted
from .scalars import IDENTITY, Scalar, floor

LETTER = 6.6  # width of one
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


class Look(NamedTuple):
    """How a network is drawn: the class that gives its colour, and the path of its mark."""

    colour: str
    mark: str


class Label(NamedTuple):
    """A text at a place of an axis, in the picture's own units."""

    at: float
    text: str


class Dot(NamedTuple):
    """A point as it is drawn: where, its text, whether it is hollow, and the ends of its interval, if it has one."""

    x: float
    y: float
    text: str
    hollow: bool
    interval: tuple[float, float] | None


class Series(NamedTuple):
    """One network's curve: how it looks, its points, the path through them, and that of its floor; "" for none."""

    look: Look
    dots: list[Dot]
    line: str
    floor: str


@dataclass(frozen=True)
class Curve:
    """The picture of one scalar by layer; lengths are in its own units.

    Attributes:
        label: of the vertical axis.
        ends: of that axis in words, lower and higher.
        low: the value at its lower end.
        high: the value at its upper end.
        step: from one layer to the next.
        layers: the names below, and where.
        slanted: whether they are.
        below: how much room there is for them.
        ticks: of the vertical axis.
        levels: lines to compare with, and what they are.
        series: by network.
    """

    height: ClassVar = 300  # of the plot
    top: ClassVar = 14
    left: ClassVar = 86
    right: ClassVar = 16

    label: str
    ends: tuple[str, str]
    low: float
    high: float
    step: float
    layers: list[Label]
    slanted: bool
    below: float
    ticks: list[Label]
    levels: list[Label]
    series: list[Series]

    @property
    def width(self) -> float:
        """The width of the whole picture."""
        return self.left + self.step * len(self.layers) + self.right


def points(entry: Entry, metric: str, layers: Sequence[str]) -> list[Point | None]:
    """Returns the points of one network's curve, `None` for layers that it lacks."""
    return [_point(entry, metric, layer) if entry.has(metric) else None for layer in layers]


def _point(entry: Entry, metric: str, layer: str) -> Point | None:
    if (mean := entry.mean(metric, layer)) is None:
        return None
    trust = diagnostics(entry.groups[layer].dropna(subset=[entry.variable(metric)]), metric)
    return Point(*mean, settled="converged" not in trust or bool(trust["converged"].mean() >= SETTLED))


def look(number: int) -> Look:
    """Returns how the network of a number is drawn."""
    return Look(network_class(number), list(MARKS.values())[number % len(MARKS)])


def layer_curve(content: Content, scalar: Scalar) -> Curve:
    """Returns the picture of one scalar by layer."""
    points_of = [points(entry, scalar.name, content.layers) for entry in content.entries]
    levels = _levels(content, scalar.name)
    low, high, ticks = _axis(content, scalar.name, [point for each in points_of for point in each if point], levels)
    step = max(52.0, min(150.0, 640 / len(content.layers)))
    names = [_short(layer) for layer in content.layers]
    longest = max(map(len, names)) * LETTER
    digits = next(n for n in range(12) if n == 11 or all(abs(round(tick, n) - tick) < 1e-9 for tick in ticks))
    curve = Curve(
        label=f"{content.title(scalar)} ({content.unit})",
        ends=scalar.ends,
        low=low,
        high=high,
        step=step,
        layers=[Label(_x(j, step), name) for j, name in enumerate(names)],
        slanted=longest > step - 6,
        below=44 + (0.72 * longest if longest > step - 6 else 8),
        ticks=[Label(_y(tick, low, high), formatted(tick, f".{digits}f")) for tick in ticks],
        levels=[Label(_y(level, low, high), name) for level, name in levels],
        series=[],
    )
    many = len(content.entries)
    for i, each in enumerate(points_of):
        shift = min(0.3, 0.08 * (many - 1)) * (i / max(1, many - 1) - 0.5)
        curve.series.append(_series(curve, content, i, scalar.name, each, shift))
    return curve


def _x(place: float, step: float) -> float:
    return round(Curve.left + step * (place + 0.5), 1)


def _y(value: float, low: float, high: float) -> float:
    return round(Curve.top + (high - value) / (high - low) * (Curve.height - Curve.top), 1)


def _short(layer: str) -> str:
    return layer if len(layer) <= 22 else f"{layer[:10]}…{layer[-10:]}"


def _axis(
    content: Content, metric: str, known: Sequence[Point], levels: Sequence[tuple[float, str]]
) -> tuple[float, float, list[float]]:
    """Returns the ends of the vertical axis and where it has ticks."""
    from matplotlib.ticker import MaxNLocator

    reach = [0.0 if math.isnan(point.half) else point.half for point in known]
    ends = [point.mean + sign * half for point, half in zip(known, reach, strict=True) for sign in (-1, 1)]
    ends += [level for level, _ in levels]
    for entry in content.entries:
        if entry.has(floor(metric)):
            ends += entry.summary[floor(metric)].astype(float).tolist()
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) or 0.1
    ticks = [float(tick) for tick in MaxNLocator(6).tick_values(low - margin, high + margin)]
    ticks = [0.0 if abs(tick) < 1e-12 else tick for tick in ticks]
    low, high = low - margin, high + margin
    return low, high, [tick for tick in ticks if low <= tick <= high]


def _levels(content: Content, metric: str) -> list[tuple[float, str]]:
    """Returns the levels that a reader compares with, and what they are."""
    if metric not in content.metrics:
        return [(0.0, "")]
    levels: dict[float, str] = {}
    for settings in (entry.run.plan.settings for entry in content.entries if metric == IDENTITY):
        level = identity_level(settings)
        if level is not None:
            levels[level] = f" (α = {settings['alpha']:g}, τ = {settings['tau']:g})"
    return [(level, f"identity layer{which if len(levels) > 1 else ''}") for level, which in levels.items()]


def _series(
    curve: Curve, content: Content, number: int, metric: str, points: Sequence[Point | None], shift: float
) -> Series:
    """Returns one network's curve; `shift`: how far it stands beside the layers' places, in steps."""
    entry, dots, floors = content.entries[number], [], []

    def y(value: float) -> float:
        return _y(value, curve.low, curve.high)

    for j, (layer, point) in enumerate(zip(content.layers, points, strict=True)):
        if point:
            x, text = _x(j + shift, curve.step), f"{entry.name}, {layer}: {point.words(content.unit)}"
            ends = None if math.isnan(point.half) else (y(point.mean - point.half), y(point.mean + point.half))
            dots.append(Dot(x, y(point.mean), text, not point.settled, ends))
            if entry.has(floor(metric)):
                floors.append(f"{x},{y(float(entry.summary[floor(metric)][layer]))}")
    line = "L".join(f"{dot.x},{dot.y}" for dot in dots)
    return Series(look(number), dots, line and f"M{line}", "M" + "L".join(floors) if floors else "")
