"""Pace of a run: how fast it goes, what is left of it, and both in words."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..results.plan import Unit
from .engines import Finished

Layer = tuple[str, str]
"""Network, layer."""

SPREAD = 0.5
"""Relative spread of the seconds of a sample of a layer, by which a forecast from one or several is widened."""

MOST_OF_IT = 0.5
"""Share of the time from which on a layer is named."""


class Pace:
    """How fast a run goes, from first looks at its layers and from what has been finished since it was started.

    Layers differ in cost many times over, so what is left is estimated layer by layer.

    Args:
        left: (network, layer) → cells that are not measured yet.
        looks: (network, layer) → the least and the most seconds of a sample, before one is measured.
        clock: seconds from any beginning; one that never goes back.
    """

    def __init__(
        self,
        left: Mapping[Layer, int],
        looks: Mapping[Layer, tuple[float, float]] | None = None,
        clock: Any = time.monotonic,
    ) -> None:
        self._left, self._looks, self._clock, self._begin = dict(left), looks or {}, clock, clock()
        self._cells: dict[Layer, int] = defaultdict(int)
        self._seconds: dict[Layer, float] = defaultdict(float)
        self._present: _Present | None = None
        self.passes = 0

    def begin(self, unit: Unit) -> None:
        """Notes that the measurement of a unit begins in this process."""
        self._present = _Present(unit, self._clock())

    def advance(self, spent: float, expected: float) -> None:
        """Notes how many passes the unit that is being measured has taken, and how many it is expected to take."""
        if self._present is not None:
            self._present.spent, self._present.expected = spent, expected

    def record(self, finished: Finished) -> None:
        """Records a unit."""
        unit, cells = finished.unit, finished.unit.stop - finished.unit.start
        layer = unit.network, unit.layer
        self._left[layer] -= cells
        self._cells[layer] += cells
        self._seconds[layer] += finished.seconds
        self.passes += finished.passes
        self._present = None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._begin

    @property
    def cells(self) -> int:
        """Samples × layers finished since the start."""
        return sum(self._cells.values())

    @property
    def rate(self) -> float:
        """Passes a second, those of the unit that is being measured among them."""
        present = self._present.spent if self._present else 0.0
        return (self.passes + present) / max(self.elapsed, 1e-9)

    @property
    def remaining(self) -> tuple[float, float] | None:
        """The least and the most seconds that are likely until all is finished; `None` before anything is known."""
        low = high = 0.0
        for layer, cells in self._left.items():
            if not cells:
                continue
            known = self._range(layer)
            if known is None:
                return None
            present = self._present
            if present is not None and present.layer == layer:
                cells -= present.cells
                low, high = (
                    total + each
                    for total, each in zip((low, high), present.remaining(self._clock(), known), strict=True)
                )
            low, high = low + cells * known[0], high + cells * known[1]
        spent = sum(self._seconds.values())
        workers = 1.0 if self._present or not spent else max(1.0, spent / max(self.elapsed, 1e-9))
        return low / workers, high / workers

    def _range(self, layer: Layer) -> tuple[float, float] | None:
        """The least and the most seconds of a sample of a layer."""
        if count := self._cells.get(layer):
            mean, factor = self._seconds[layer] / count, 1 + SPREAD / count**0.5
            return mean / factor, mean * factor
        if layer in self._looks:
            return self._looks[layer]
        if not self.cells:
            return None
        usual = sum(self._seconds.values()) / self.cells
        return usual / 4, usual * 4

    def rates(self) -> dict[str, float | None]:
        """Cells and passes a second, seconds gone and left: what is likely, and the most."""
        remaining = self.remaining
        return {
            "seconds": round(self.elapsed, 3),
            "cells_per_second": self.cells / max(self.elapsed, 1e-9),
            "passes_per_second": self.rate,
            "seconds_left": None if remaining is None else (remaining[0] * remaining[1]) ** 0.5,
            "seconds_left_most": None if remaining is None else remaining[1],
        }


@dataclass
class _Present:
    """The unit that is being measured: since when, the passes taken and those expected of all its samples."""

    unit: Unit
    begin: float
    spent: float = 0.0
    expected: float = math.inf

    @property
    def layer(self) -> Layer:
        return self.unit.network, self.unit.layer

    @property
    def cells(self) -> int:
        return self.unit.stop - self.unit.start

    def remaining(self, now: float, known: tuple[float, float]) -> tuple[float, float]:
        """The least and the most seconds until its end; `known` is the range of a sample by what else is known."""
        gone = now - self.begin
        if self.expected < math.inf and self.spent > 0:
            left = gone / self.spent * max(self.expected - self.spent, 0.0)
            return left / (1 + SPREAD), left * (1 + SPREAD)
        low, high = (max(0.0, self.cells * each - gone) for each in known)
        return low, high


def duration(seconds: float | None) -> str:
    """Formats seconds: 45 s, 12 min, 3 h 20 min, 5 days 2 h."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} days {hours % 24} h"


def duration_range(low: float, high: float) -> str:
    """Formats a range of seconds: 40 s to 3 min; as one where both read the same."""
    first, last = duration(low), duration(high)
    return first if first == last else f"{first} to {last}"


def dearest(seconds: Mapping[str, float]) -> str:
    """Returns which of several layers takes most of the time, in words, and what is left without it; or nothing.

    Args:
        seconds: layer → what all its samples take.
    """
    total, name = sum(seconds.values()), max(seconds, key=lambda each: seconds[each])
    if len(seconds) < 2 or seconds[name] <= MOST_OF_IT * total:
        return ""
    return f"'{name}' takes {seconds[name] / total:.0%} of it; without it about {duration(total - seconds[name])}"
