"""The curves by layer, as SVG: they are there without JavaScript, and in colours of the style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ..analysis.trust import diagnostics
from ..plots.layer_curves import SETTLED, identity_level
from . import colours
from .content import MEANS, Content, Entry
from .markup import element, figure

HEIGHT, TOP, LEFT, RIGHT = 300, 14, 86, 16  # of a plot, in the picture's own units
LETTER = 6.6  # width of one
Place = Callable[[float], float]
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


def points(entry: Entry, metric: str, layers: Sequence[str]) -> list[Point | None]:
    """Returns the points of one network's curve, `None` for layers that it lacks."""
    if not entry.has(metric):
        return [None] * len(layers)
    made: list[Point | None] = []
    for layer in layers:
        if (mean := entry.mean(metric, layer)) is None:
            made.append(None)
            continue
        trust = diagnostics(entry.groups[layer].dropna(subset=[entry.variable(metric)]), metric)
        settled = "converged" not in trust or bool(trust["converged"].mean() >= SETTLED)
        made.append(Point(*mean, settled))
    return made


def mark(number: int, hollow: bool = False) -> Element:
    """Returns the mark of a network."""
    shape = list(MARKS.values())[number % len(MARKS)]
    return element("path", d=shape, class_="mark hollow" if hollow else "mark")


def swatch(number: int) -> Element:
    """Returns a network's line and mark, for a legend."""
    line = element("path", d="M-12,0H12", class_="line")
    return element("svg", line, mark(number), viewBox="-13 -7 26 14", width=26, height=14, aria_hidden="true",
                   class_=network_class(number))  # fmt: skip


def network_class(number: int) -> str:
    """Returns the class that gives a network its colour."""
    return f"n{number % len(colours.NETWORKS)}"


def label(content: Content, metric: str) -> str:
    """Returns what an axis is called."""
    return f"{content.said(metric)} ({content.unit})"


def curve(content: Content, metric: str) -> Element:
    """Returns the picture of one scalar by layer."""
    series = [points(entry, metric, content.layers) for entry in content.entries]
    step = max(52.0, min(150.0, 640 / len(content.layers)))
    names = [_short(layer) for layer in content.layers]
    longest = max(map(len, names)) * LETTER
    slanted = longest > step - 6
    width = LEFT + step * len(content.layers) + RIGHT
    below = 44 + (0.72 * longest if slanted else 8)
    low, high, ticks = _axis(content, metric, series)

    def x(place: float) -> float:
        return round(LEFT + step * (place + 0.5), 1)

    def y(value: float) -> float:
        return round(TOP + (high - value) / (high - low) * (HEIGHT - TOP), 1)

    parts = [_grid(ticks, y, width), *_levels(content, metric, y, width)]
    for j, name in enumerate(names):
        turn = f"rotate(-45 {x(j)} {HEIGHT + 14})" if slanted else None
        parts.append(element("text", name, x=x(j), y=HEIGHT + (16 if slanted else 20), transform=turn,
                             text_anchor="end" if slanted else "middle"))  # fmt: skip
    parts.append(element("path", d=f"M0,{TOP}V{HEIGHT}", class_="cursor", hidden=True))
    many = len(content.entries)
    for i, (entry, each) in enumerate(zip(content.entries, series, strict=True)):
        shift = min(0.3, 0.08 * (many - 1)) * (i / max(1, many - 1) - 0.5)
        parts.append(_series(entry, i, each, content, metric, shift, x, y))
    middle = (TOP + HEIGHT) / 2
    parts.append(element("text", label(content, metric), x=16, y=middle, transform=f"rotate(-90 16 {middle})",
                         text_anchor="middle", class_="axis"))  # fmt: skip
    down, up = MEANS[metric]
    parts += [
        element("text", f"{up} →", x=32, y=TOP, transform=f"rotate(-90 32 {TOP})", text_anchor="end", class_="end"),
        element("text", f"← {down}", x=32, y=HEIGHT, transform=f"rotate(-90 32 {HEIGHT})", class_="end"),
        element("text", "layer, in execution order", x=(LEFT + width) / 2, y=HEIGHT + below - 6, text_anchor="middle",
                class_="axis"),
    ]  # fmt: skip
    title = f"{label(content, metric)} by layer, with 95 % intervals; the values are in the table of values"
    return element("svg", *parts, viewBox=f"0 0 {width:g} {HEIGHT + below:g}", role="img", aria_label=title,
                   width=f"{width:g}", height=f"{HEIGHT + below:g}", data_step=f"{step:g}", data_left=LEFT)  # fmt: skip


def _short(layer: str) -> str:
    return layer if len(layer) <= 22 else f"{layer[:10]}…{layer[-10:]}"


def _axis(content: Content, metric: str, series: Sequence[Sequence[Point | None]]) -> tuple[float, float, list[float]]:
    """Returns the ends of the vertical axis and where it has ticks."""
    from matplotlib.ticker import MaxNLocator

    known = [point for each in series for point in each if point]
    reach = [0.0 if math.isnan(point.half) else point.half for point in known]
    ends = [point.mean + sign * half for point, half in zip(known, reach, strict=True) for sign in (-1, 1)]
    ends += [level for level, _ in _references(content, metric)]
    if metric == "ru":
        ends += [
            float(value) for entry in content.entries if entry.has("ru_floor") for value in entry.summary["ru_floor"]
        ]
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) or 0.1
    ticks = [float(tick) for tick in MaxNLocator(6).tick_values(low - margin, high + margin)]
    ticks = [0.0 if abs(tick) < 1e-12 else tick for tick in ticks]
    low, high = low - margin, high + margin
    return low, high, [tick for tick in ticks if low <= tick <= high]


def _references(content: Content, metric: str) -> list[tuple[float, str]]:
    """Returns the levels that a reader compares with, and what they are."""
    if metric.endswith("concentration"):
        return [(0.0, "")]
    levels: dict[float, str] = {}
    for settings in (entry.run.plan.settings for entry in content.entries if metric == "sid"):
        level = identity_level(settings)
        if level is not None:
            levels[level] = f" (α = {settings.alpha:g}, τ = {settings.tau:g})"
    return [(level, f"identity layer{which if len(levels) > 1 else ''}") for level, which in levels.items()]


def _grid(ticks: Sequence[float], y: Place, width: float) -> Element:
    places = [(tick, y(tick)) for tick in ticks]
    lines = [element("path", d=f"M{LEFT},{at}H{width - RIGHT:g}") for _, at in places]
    digits = next(n for n in range(12) if n == 11 or all(abs(round(tick, n) - tick) < 1e-9 for tick in ticks))
    texts = [
        element("text", figure(tick, f".{digits}f"), x=LEFT - 8, y=at + 4, text_anchor="end") for tick, at in places
    ]
    return element("g", *lines, *texts, class_="grid")


def _levels(content: Content, metric: str, y: Place, width: float) -> list[Element]:
    parts = []
    for level, name in _references(content, metric):
        at = y(level)
        parts.append(element("path", d=f"M{LEFT},{at}H{width - RIGHT:g}", class_="level"))
        parts.append(element("text", name, x=width - RIGHT, y=at - 5, text_anchor="end", class_="end"))
    return parts


def _series(entry: Entry, number: int, each: Sequence[Point | None], content: Content, metric: str, shift: float,
            x: Place,
            y: Place) -> Element:  # fmt: skip
    """Returns one network's curve, with its intervals, marks and, for RU, the floor."""
    known = [(x(j + shift), point, content.layers[j]) for j, point in enumerate(each) if point]
    line = "M" + "L".join(f"{at},{y(point.mean)}" for at, point, _ in known)
    parts = [element("path", d=line, class_="line")] if known else []
    if metric == "ru" and known:
        floors = entry.summary["ru_floor"]
        floor = "M" + "L".join(f"{at},{y(float(floors[layer]))}" for at, _, layer in known)
        parts.append(element("path", d=floor, class_="line floor"))
    for at, point, layer in known:
        if point.half == point.half:
            ends = y(point.mean - point.half), y(point.mean + point.half)
            parts.append(element("path", d=f"M{at},{ends[0]}V{ends[1]}M{at - 3},{ends[0]}h6M{at - 3},{ends[1]}h6",
                                 class_="interval"))  # fmt: skip
        text = f"{entry.name}, {layer}: {shown(point, content.unit)}"
        spot = element("g", element("title", text), mark(number, not point.settled))
        spot.set("transform", f"translate({at} {y(point.mean)})")
        parts.append(spot)
    return element("g", *parts, class_=f"series {network_class(number)}", data_entry=number)


def shown(point: Point, unit: str) -> str:
    """Returns a point in words."""
    error = "" if math.isnan(point.half) else f" ± {point.half:.3f}"
    doubt = "" if point.settled else ", not converged"
    return f"{figure(point.mean)}{error} {unit} (n = {point.n}{doubt})"
