"""Where the stages of a network and their connections stand in its picture: below each other, as they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..results.plan import Plan

TRACKS = 8
"""Tracks beside the stages for connections that skip some; further ones share the outermost."""

KNOWN = "lines: what is computed from what, as one forward pass shows; grey: not measured"
UNKNOWN = "layers in execution order; how they are connected is not recorded in this run"


class Row(NamedTuple):
    """A stage: its name, and whether it is a layer of the run."""

    name: str
    is_layer: bool


class Arc(NamedTuple):
    """A connection from a row down to another: 0 if it is straight to the next, else the track that it is on."""

    start: int
    stop: int
    track: int


class Layout(NamedTuple):
    """The picture of a network.

    Attributes:
        rows: from the input down.
        arcs: between them.
        known: whether the connections are the network's; else they are those of a chain.
    """

    rows: tuple[Row, ...]
    arcs: tuple[Arc, ...]
    known: bool

    @property
    def tracks(self) -> int:
        """How many tracks there are beside the rows."""
        return max((arc.track for arc in self.arcs), default=0)

    @property
    def says(self) -> str:
        """Which of both it shows, in words."""
        return KNOWN if self.known else UNKNOWN


def layout(plan: Plan, network: str) -> Layout:
    """Returns the picture of a run's network: of its stages, or where the run has none, of its layers as a chain."""
    layers, stages = plan.layers[network], plan.stages.get(network, ())
    known = {*layers} <= {name for name, _ in stages[1:]}
    if not known:
        stages = (("input", ()), *((layer, (place,)) for place, layer in enumerate(layers)))
    rows = tuple(Row(name, place > 0 and name in layers) for place, (name, _) in enumerate(stages))
    pairs = [(source, place) for place, (_, sources) in enumerate(stages) for source in sources]
    return Layout(rows, tuple(_arcs(pairs)), known)


def _arcs(pairs: Sequence[tuple[int, int]]) -> list[Arc]:
    """Returns connections with the nearest track that is free: short ones lie inside long ones."""
    arcs: list[Arc] = []
    for start, stop in sorted(pairs, key=lambda pair: (pair[1] - pair[0], pair)):
        beside = {arc.track for arc in arcs if arc.start < stop and start < arc.stop}
        free = next(track for track in range(1, len(arcs) + 2) if track not in beside)
        arcs.append(Arc(start, stop, 0 if stop == start + 1 else min(free, TRACKS)))
    return sorted(arcs)
