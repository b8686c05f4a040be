"""Some of a measurement's units, measured before it begins, to know what all of them will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from ..core.metrics import METRICS, passes_in
from ..data.inputs import Inputs
from ..errors import SampleError
from ..results.plan import Unit
from ..results.run import StoredRun
from ..solver.feature_distance import FeatureDistance
from ..solver.noise import SampleNoise
from ..solver.ru import ReconstructionError
from .engines import Work
from .prepared_network import TRIED, Job

Clock = Callable[[], float]
Layer = tuple[str, str]
"""Network, layer."""

DRAWS = {"cpu": 16, "cuda": 256}
"""Noisy inputs on which a pass is timed."""

USUAL = 1000
"""Passes that a sample takes, by a rough guess before anything is known."""


@dataclass(frozen=True)
class Seen:
    """Samples of one layer that were measured together.

    Attributes:
        seconds: that computing and storing them took.
        passes: forward and backward passes of each, SID's and RU's together.
        size: bytes that they take, compressed; `None` if they are no whole unit.
    """

    seconds: float
    passes: np.ndarray
    size: int | None


@dataclass
class Layered:
    """What is found of one layer.

    Attributes:
        most: seconds of a sample that takes all passes that are allowed, of SID and of RU.
        seen: what was measured.
    """

    most: float
    seen: list[Seen]

    @property
    def usual(self) -> float:
        """Seconds of a sample, as far as known."""
        count = sum(len(each.passes) for each in self.seen)
        return sum(each.seconds for each in self.seen) / count if count else self.most


class TooLong(Exception):
    """What is being measured does not fit into its share of the time."""


@dataclass(frozen=True)
class Hurried(Job):
    """A job that gives up at a moment of its clock."""

    clock: Clock = time.monotonic
    deadline: float = float("inf")

    def _feature(self, *given: Any) -> Callable[..., torch.Tensor]:
        compute = super()._feature(*given)

        def feature(*inputs: torch.Tensor) -> torch.Tensor:
            if self.clock() > self.deadline:
                raise TooLong
            return compute(*inputs)

        return feature


class Calibration:
    """Measures units of a run, chosen at random, for about so many seconds.

    First a pass of every layer is timed. Then one unit of every layer is measured, or a part of one where a whole would
    take more than the layer's share of the time, then another of every layer, and so on.

    Args:
        run: where whole units go.
        work: to be done.
        seconds: to be spent.
        clock: seconds from any beginning.

    Attributes:
        found: what was seen of every layer.
        seconds: that were spent.
    """

    def __init__(self, run: StoredRun, work: Work, seconds: float, clock: Clock = time.monotonic) -> None:
        self._run, self._work, self._clock, self._budget = run, work, clock, seconds
        self._begin, self._stored = clock(), set[Unit]()
        self.found = {
            (network, layer): Layered(self._time(work.jobs[network], layer), [])
            for network in run.plan.networks
            for layer in run.plan.layers[network]
        }
        self._units = {layer: self._shuffled(layer) for layer in self.found}
        self._first()
        while self._again():
            pass
        self.seconds = clock() - self._begin

    @property
    def _left(self) -> float:
        return self._budget - (self._clock() - self._begin)

    @property
    def chained(self) -> bool:
        """Whether a unit needs what was found at the layer before."""
        return self._work.settings["start"] == "before"

    @property
    def _most(self) -> int:
        """Most passes of a sample, of SID and RU together."""
        return sum(self._work.settings.get(name, 0) for name in (each.passes_key for each in METRICS.values()))

    def _shuffled(self, layer: Layer) -> Iterator[Unit]:
        """Yields a layer's units at random; all layers' alike, if the search begins at the layer before."""
        plan = self._run.plan
        place = 0 if self.chained else list(self.found).index(layer)
        starts = range(0, len(plan.samples), plan.block)
        for i in np.random.default_rng(place).permutation(len(starts)):
            yield Unit(*layer, starts[i], min(starts[i] + plan.block, len(plan.samples)))

    def _first(self) -> None:
        """Measures a unit of every layer, or as many of its samples as may be expected to fit, but at least one."""
        for place, (layer, found) in enumerate(self.found.items()):
            share = self._left / (len(self.found) - place)
            unit = next(self._units[layer])
            # Half of the share is left for what takes longer than was guessed: a unit that is given up says nothing.
            fitting = int(share / 2 / max(found.most * min(1.0, USUAL / self._most), 1e-9))
            self._measure(unit, max(1, min(unit.stop - unit.start, fitting)), share)

    def _again(self) -> bool:
        """Measures another unit of every layer, as long as there is time; returns whether there was."""
        more = False
        for layer, found in self.found.items():
            count = self._run.plan.block if found.seen else 1
            if self._left > found.usual * count and (unit := next(self._units[layer], None)):
                # However long it takes: to leave out what takes longest would promise too little.
                self._measure(unit, min(count, unit.stop - unit.start), float("inf"))
                more = True
        return more

    def _measure(self, unit: Unit, count: int, share: float) -> None:
        """Measures the first samples of a unit, unless that takes longer than its share of the time."""
        begin = self._clock()
        part = replace(unit, stop=unit.start + count)
        hurried = Hurried(**vars(self._work.jobs[unit.network]), clock=self._clock, deadline=begin + share)
        try:
            values, _ = replace(self._work, jobs={unit.network: hurried}).measured(part, *self._given(unit, part))
        except TooLong:
            return
        if part == unit:
            self._run.write(unit, values)
            self._stored.add(unit)
        seconds = self._clock() - begin
        passes = sum(each.astype(int) for each in passes_in(values))
        size = self._run.arrays.size(unit) if part == unit else None
        self.found[unit.network, unit.layer].seen.append(Seen(seconds, np.asarray(passes), size))

    def _given(self, unit: Unit, part: Unit) -> tuple[Inputs, torch.Tensor | None]:
        """Returns what some samples of a unit are computed from, as far as it is known."""
        layers = self._run.plan.layers[unit.network]
        place = layers.index(unit.layer)
        if self.chained and place and replace(unit, layer=layers[place - 1]) not in self._stored:
            return self._work.jobs[unit.network].part(part), None
        return self._work.given(self._run, part)

    def _time(self, job: Job, layer: str) -> float:
        """Returns the seconds of as many passes as a sample may take, from a few of the first that can be measured."""
        several, settings = job.first(TRIED), self._work.settings
        for row in range(len(several.names)):
            sample, seconds = several.part([row]), 0.0
            try:
                with job.layer(layer) as probe:
                    if "sid" in settings["metrics"]:
                        distance = job.distance(probe, sample, self._work.batch_size)
                        seconds += settings["max_passes"] * self._pass(distance, distance.gradient)
                    if "ru" in settings["metrics"]:
                        error = job.reconstruction(probe, sample, self._work.batch_size)
                        ones = torch.ones_like(error.inputs)
                        slopes = partial(_slopes, error, ones)
                        seconds += settings["ru_max_passes"] * self._pass(error, slopes)
                return seconds
            except SampleError:
                continue
        return 0.0

    def _pass(self, objective: FeatureDistance, compute: Callable[..., Any]) -> float:
        """Returns the seconds of a forward and backward pass of one noisy input."""
        noise, rows = SampleNoise(objective.inputs, 0, "trial"), torch.zeros(1, dtype=torch.long)
        device = objective.inputs.device
        seconds = 0.0
        for draws in (2, DRAWS.get(device.type, 16)):  # the first is for warming up, but will do where passes are slow
            begin = self._clock()
            compute(rows.to(device), 0.1 * noise.draw([0], draws))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = (self._clock() - begin) / draws
            if seconds * DRAWS.get(device.type, 16) > self._budget / 50:
                break
        return seconds


def _slopes(error: ReconstructionError, ones: torch.Tensor, rows: torch.Tensor, noise: torch.Tensor) -> None:
    error.slopes(rows, noise, ones, noise)
