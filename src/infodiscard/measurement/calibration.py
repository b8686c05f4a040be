"""Calibration: some of a measurement's units, measured before it begins, to predict what all of them will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..data.inputs import Inputs
from ..results.plan import Unit
from ..results.run import StoredRun
from ..solver.stage import Stage
from .engines import Work
from .first_look import UNSURE, Clock, FirstLook, look
from .pace import Layer
from .unit import Follower, passes_of


@dataclass(frozen=True)
class Timing:
    """Samples of one layer that were measured together.

    Attributes:
        seconds: that computing and storing them took.
        passes: forward and backward passes of each, those of all metrics together.
        size: bytes that they take, compressed; `None` if they are not a whole unit.
    """

    seconds: float
    passes: np.ndarray
    size: int | None


@dataclass
class LayerTimings:
    """What is known of one layer.

    Attributes:
        look: the first at it.
        timings: of what was measured.
        given_up: seconds of a sample, by how far a search was when it was given up.
    """

    look: FirstLook
    timings: list[Timing] = field(default_factory=list)
    given_up: float | None = None

    @property
    def usual(self) -> float:
        """Seconds of a sample: as measured, or as expected by what is known."""
        count = sum(len(each.passes) for each in self.timings)
        if count:
            return sum(each.seconds for each in self.timings) / count
        return self.look.cost() if self.given_up is None else self.given_up

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most seconds of a sample that are likely where none was measured."""
        if self.given_up is None:
            return self.look.range
        return self.given_up / UNSURE, self.given_up * UNSURE


class TooLong(Exception):
    """What is being measured does not fit into its share of the time."""


class Calibration:
    """Measures units of a run, chosen at random, for about the given time.

    First a few passes of every layer are timed. Then one unit of every layer is measured, or a part of one where a
    whole would take more than the layer's share of the time, then another of every layer, and so on. A search that
    takes longer than its share is given up; how far it was tells how long it would have taken.

    Args:
        run: where whole units go.
        work: to be done.
        seconds: to be spent.
        clock: seconds from any beginning.

    Attributes:
        layers: (network, layer) → what is known of it.
        seconds: that were spent.
    """

    def __init__(self, run: StoredRun, work: Work, seconds: float, clock: Clock = time.monotonic) -> None:
        self._run, self._work, self._clock, self._budget = run, work, clock, seconds
        self._begin, self._stored = clock(), set[Unit]()
        self.layers = {
            (network, layer): LayerTimings(look(work.networks[network], layer, work.settings, work.batch_size, clock))
            for network in run.plan.networks
            for layer in run.plan.layers[network]
        }
        self._units = {layer: self._shuffled(layer) for layer in self.layers}
        self._first()
        while self._again():
            pass
        self.seconds = clock() - self._begin

    @property
    def _left(self) -> float:
        return self._budget - (self._clock() - self._begin)

    @property
    def chained(self) -> bool:
        """Whether a unit needs the values of the layer before."""
        return self._work.settings.start == "before"

    def _shuffled(self, layer: Layer) -> Iterator[Unit]:
        """Yields a layer's units at random; in the same order for all if the search begins at the layer before."""
        plan = self._run.plan
        place = 0 if self.chained else list(self.layers).index(layer)
        starts = range(0, len(plan.samples), plan.block)
        for i in np.random.default_rng(place).permutation(len(starts)):
            yield Unit(*layer, starts[i], min(starts[i] + plan.block, len(plan.samples)))

    def _first(self) -> None:
        """Measures a unit of every layer, or as many of its samples as may be expected to fit, but at least one."""
        for place, (layer, known) in enumerate(self.layers.items()):
            share = self._left / (len(self.layers) - place)
            unit = next(self._units[layer])
            # Half of the share is left for what takes longer than guessed: a unit that is given up says nothing.
            fitting = int(share / 2 / max(known.usual, 1e-9))
            self._measure(unit, max(1, min(unit.stop - unit.start, fitting)), share)

    def _again(self) -> bool:
        """Measures another unit of every layer, as long as there is time; returns whether there was."""
        more = False
        for layer, known in self.layers.items():
            count = self._run.plan.block if known.timings else 1
            if self._left > known.usual * count and (unit := next(self._units[layer], None)):
                # However long it takes: to omit what takes longest would promise too little.
                self._measure(unit, min(count, unit.stop - unit.start), float("inf"))
                more = True
        return more

    def _measure(self, unit: Unit, count: int, share: float) -> None:
        """Measures the first samples of a unit, unless that takes longer than its share of the time."""
        begin, known = self._clock(), self.layers[unit.network, unit.layer]
        part = replace(unit, stop=unit.start + count)

        def tell(_metric: str, samples: tuple[str, ...], stage: Stage) -> None:
            """Gives up after the share of the time, and notes what would have been left."""
            if (gone := self._clock() - begin) > share:
                spent, expected = float(stage.spent.sum()), float(stage.expected.nan_to_num(np.inf).sum())
                if np.isfinite(expected):
                    known.given_up = gone / spent * expected / len(samples)
                raise TooLong

        work = replace(self._work, observer=_Hurry(Follower(tell, lambda *_: None)))
        try:
            values, _ = work.measured(part, *self._sources(unit, part))
        except TooLong:
            return
        if part == unit:
            self._run.write(unit, values)
            self._stored.add(unit)
        seconds = self._clock() - begin
        size = self._run.arrays.size(unit) if part == unit else None
        known.timings.append(Timing(seconds, passes_of(values), size))

    def _sources(self, unit: Unit, part: Unit) -> tuple[Inputs, torch.Tensor | None]:
        """Returns what some samples of a unit are computed from; without σ where the layer before is not measured."""
        layers = self._run.plan.layers[unit.network]
        place = layers.index(unit.layer)
        if self.chained and place and replace(unit, layer=layers[place - 1]) not in self._stored:
            return self._work.networks[unit.network].part(part), None
        return self._work.sources(self._run, part)


@dataclass(frozen=True)
class _Hurry:
    """Observer with the same follower for every unit."""

    one: Follower

    def follower(self, unit: Unit) -> Follower:
        """Returns the follower."""
        return self.one
