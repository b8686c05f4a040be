"""The networks at a glance: as graphs, each layer in the colour of what it discards, and as a heat map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..analysis.display import called
from ..plots.graph_layout import Layout, layout
from ..plots.network_graphs import MOST, Mark, colour_limits
from . import colours
from .content import Content, Entry
from .map_sections import Scale, bar

ROW, NARROW = 36, 21  # heights: of a layer, and of a stage that was not measured
TRACK, BOX, TEXT = 11, 62, 178  # widths: of a track, of a layer's box, and of names
DOT, APART = 5, 4  # radius of a grey stage; how far below its middle a skip begins, and above which it ends
LETTERS = 26


class Box(NamedTuple):
    """A stage in the picture: its name, short and whole; where its middle is; and what is drawn of it, if measured."""

    name: str
    title: str
    y: float
    mark: Mark | None
    shade: str


class Graph(NamedTuple):
    """One network as a graph, in pixels: the boxes from the input down, the paths of its connections, and its size."""

    name: str
    boxes: list[Box]
    lines: list[str]
    skips: list[str]
    says: str
    left: float
    size: tuple[float, float]

    box: float = BOX
    dot: float = DOT

    @property
    def middle(self) -> float:
        """Where the middle of all stages is."""
        return self.left + BOX / 2


class Cell(NamedTuple):
    """A cell of the heat map: its text, the class of its colour, and what speaks against it."""

    text: str
    shade: str
    doubts: str


class Glance(NamedTuple):
    """All networks on one scale.

    Attributes:
        title: what is shown.
        graphs: of the first networks.
        against: the network that verdicts compare with; "" without any.
        left: how many networks have no graph.
        heat: layer → a cell per network; empty of a single one.
        names: of all networks.
        says: what the connections in the graphs are.
        doubtful: whether anything is not to be trusted as it stands.
        scale: the colours.
    """

    title: str
    graphs: list[Graph]
    against: str
    left: int
    heat: dict[str, list[Cell | None]]
    names: list[str]
    says: list[str]
    doubtful: bool
    scale: Scale


def glance(content: Content) -> Glance:
    """Returns the networks on the scale of the first scalar: SID, where that was measured."""
    scalar = content.scalars[0]
    metric = scalar.name
    entries = [entry for entry in content.entries if entry.has(metric)]
    marks = {entry.name: _marks(content, entry, entries[0], metric) for entry in entries}
    means = [mark.mean for each in marks.values() for mark in each.values()]
    limits = colour_limits(means, metric, entries[0].run.plan.settings)
    title = f"{called(scalar.title, entries[0].variable(metric))}, {content.unit}"
    graphs = [_graph(entry.name, layout(entry.run.plan, entry.network), marks[entry.name], limits)
              for entry in entries[:MOST]]  # fmt: skip
    compared = any(mark.verdict for each in marks.values() for mark in each.values())
    heat = {}
    if len(entries) > 1:
        for layer in content.layers:
            found = [each.get(layer) for each in marks.values()]
            heat[layer] = [mark and Cell(mark.text, _shade(mark.mean, limits), mark.doubts) for mark in found]
    return Glance(
        title=title,
        graphs=graphs,
        against=entries[0].name if compared else "",
        left=len(entries) - len(graphs),
        heat=heat,
        names=list(marks),
        says=[f"{says.capitalize()}." for says in dict.fromkeys(graph.says for graph in graphs)],
        doubtful=any(mark.doubts for each in marks.values() for mark in each.values()),
        scale=bar(limits, colours.SEQUENTIAL, f"{title}{'; one scale for all networks' if heat else ''}", scalar.ends),
    )


def _marks(content: Content, entry: Entry, first: Entry, metric: str) -> dict[str, Mark]:
    """Returns layer → its mean, what speaks against it, and the verdict on its difference from the first network."""
    pairs, doubts = content.pairs, entry.doubts(metric)
    verdicts: Mapping[str, str] = {}
    if not pairs.empty:
        rows = pairs[(pairs["metric"] == metric) & (pairs["a"] == first.name) & (pairs["b"] == entry.name)]
        verdicts = dict(zip(rows["layer_b"], rows["verdict"], strict=True))
    means = entry.means(metric)
    return {layer: Mark(mean.value, "; ".join(doubts[layer]), verdicts.get(layer, "")) for layer, mean in means.items()}


def _graph(name: str, each: Layout, marks: Mapping[str, Mark], limits: tuple[float, float]) -> Graph:
    """Returns the picture of one network."""
    heights = np.array([ROW if row.is_layer else NARROW for row in each.rows])
    places = [float(place) for place in np.cumsum(heights) - heights / 2]
    left = 10.0 + TRACK * each.tracks
    middle = left + BOX / 2
    boxes = []
    for row, y in zip(each.rows, places, strict=True):
        mark = marks.get(row.name) if row.is_layer else None
        boxes.append(Box(_short(row.name), row.name, y, mark, _shade(mark.mean, limits) if mark else ""))
    lines = [f"M{middle:g},{places[arc.start]:g}V{places[arc.stop]:g}" for arc in each.arcs if not arc.track]
    skips = []
    for arc in (arc for arc in each.arcs if arc.track):
        x, start, stop = left - TRACK * arc.track, places[arc.start] + APART, places[arc.stop] - APART
        end = left if boxes[arc.stop].mark else middle - DOT
        # A corner is rounded; an arrow's head ends it.
        skips.append(f"M{middle:g},{start:g}H{x + 5:g}q-5,0 -5,5V{stop - 5:g}q0,5 5,5H{end - 1:g}m-4,-3l4,3l-4,3")
    return Graph(name, boxes, lines, skips, each.says, left, (left + BOX + TEXT, float(heights.sum()) + 2))


def _shade(mean: float, limits: tuple[float, float]) -> str:
    low, high = limits
    return colours.shade_class((mean - low) / (high - low))


def _short(name: str) -> str:
    half = (LETTERS - 1) // 2
    return name if len(name) <= LETTERS else f"{name[:half]}…{name[-half:]}"
