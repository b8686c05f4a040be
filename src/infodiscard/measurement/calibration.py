"""Calibration: some of a measurement's units, measured before it begins, to predict what all of them will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import torch

from ..data.inputs import Inputs
from ..errors import NotCalledError, SampleError
from ..networks.probe import Probe
from ..results.plan import Unit
from ..results.run import StoredRun
from ..solver.feature_distance import FeatureDistance
from ..solver.sample_noise import SampleNoise
from .engines import Work
from .prepared_network import PreparedNetwork
from .unit import SOLVERS, LayerSamples, Pass, passes_of

Clock = Callable[[], float]
Layer = tuple[str, str]
"""Network, layer."""

TRIED = 4
"""Samples that a layer is timed on, one after another until one can be measured."""

DRAWS = {"cpu": 16, "cuda": 256}
"""Noisy inputs on which a pass is timed."""

USUAL = 1000
"""Passes that a sample takes, by a rough guess before anything is known."""


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
        most: seconds of a sample that takes all passes that are allowed, those of all metrics together.
        timings: of what was measured.
    """

    most: float
    timings: list[Timing] = field(default_factory=list)

    @property
    def usual(self) -> float:
        """Seconds of a sample; the most, before one is measured."""
        count = sum(len(each.passes) for each in self.timings)
        return sum(each.seconds for each in self.timings) / count if count else self.most


class TooLong(Exception):
    """What is being measured does not fit into its share of the time."""


@dataclass(frozen=True)
class Hurried(PreparedNetwork):
    """A network whose measurement gives up at a moment of its clock."""

    clock: Clock = time.monotonic
    deadline: float = float("inf")

    def feature(self, probe: Probe, part: Inputs) -> Callable[..., torch.Tensor]:
        """The same function, from `m × C × H × W` to `m × …`, which raises `TooLong` after the deadline."""
        compute = super().feature(probe, part)

        def feature(*inputs: torch.Tensor) -> torch.Tensor:
            if self.clock() > self.deadline:
                raise TooLong
            return compute(*inputs)

        return feature


class Calibration:
    """Measures units of a run, chosen at random, for about the given time.

    First a pass of every layer is timed. Then one unit of every layer is measured, or a part of one where a whole would
    take more than the layer's share of the time, then another of every layer, and so on.

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
            (network, layer): LayerTimings(self._time(work.networks[network], layer))
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
        most = sum(self._work.settings.max_passes.values())
        for place, (layer, known) in enumerate(self.layers.items()):
            share = self._left / (len(self.layers) - place)
            unit = next(self._units[layer])
            # Half of the share is left for what takes longer than guessed: a unit that is given up says nothing.
            fitting = int(share / 2 / max(known.most * min(1.0, USUAL / most), 1e-9))
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
        begin = self._clock()
        part = replace(unit, stop=unit.start + count)
        network = self._work.networks[unit.network]
        hurried = Hurried(**vars(network), clock=self._clock, deadline=begin + share)
        try:
            values, _ = replace(self._work, networks={unit.network: hurried}).measured(part, *self._sources(unit, part))
        except TooLong:
            return
        if part == unit:
            self._run.write(unit, values)
            self._stored.add(unit)
        seconds = self._clock() - begin
        size = self._run.arrays.size(unit) if part == unit else None
        self.layers[unit.network, unit.layer].timings.append(Timing(seconds, passes_of(values), size))

    def _sources(self, unit: Unit, part: Unit) -> tuple[Inputs, torch.Tensor | None]:
        """Returns what some samples of a unit are computed from; without σ where the layer before is not measured."""
        layers = self._run.plan.layers[unit.network]
        place = layers.index(unit.layer)
        if self.chained and place and replace(unit, layer=layers[place - 1]) not in self._stored:
            return self._work.networks[unit.network].part(part), None
        return self._work.sources(self._run, part)

    def _time(self, network: PreparedNetwork, layer: str) -> float:
        """Returns the seconds of as many passes as a sample may take, from a few of the first that can be measured."""
        settings = self._work.settings
        for sample in islice(network.each(layer), TRIED):
            seconds = 0.0
            try:
                with network.layer(layer) as probe:
                    at = LayerSamples(network, probe, sample, settings, self._work.batch_size)
                    for metric, most in settings.max_passes.items():
                        seconds += most * self._pass(*SOLVERS[metric].one_pass(at))
                return seconds
            except (SampleError, NotCalledError):
                continue
        return 0.0

    def _pass(self, objective: FeatureDistance, compute: Pass) -> float:
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
