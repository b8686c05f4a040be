"""First look at a layer: what a pass costs there, and how many passes a sample is likely to take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from ..core.settings import Settings
from ..errors import NotCalledError, SampleError
from ..solver.effort import Effort
from ..solver.expectation import relative_variance
from ..solver.sample_noise import SampleNoise
from .memory import Need, kept_for_backward, weights_size
from .prepared_network import PreparedNetwork
from .unit import SOLVERS, LayerSamples

Clock = Callable[[], float]

TRIED = 4
"""Samples that a layer is looked at with, one after another until one can be measured."""

DRAWS = {"cpu": 8, "cuda": 64}
"""Noisy inputs on which a pass is timed."""

FEWEST, STEEP, LINEAR, SATURATED = 75, 0.1, 2.0, 8.0
"""Passes of the shortest solve, and those that another r⁴ and r² take, r the relative standard deviation of a draw's g,
at the default tolerance: more r² where E does not grow as σ². By solves at 25 layers of six networks, two thirds of
which took 0.5 … 2 times as many."""

WARM, NOISES = 2, 4
"""Noisy inputs of the first pass; and maps of an input's size beside its activations: noisy input, noise, gradients."""

UNSURE = 2.0
"""Factor within which the number of passes is expected."""


@dataclass(frozen=True)
class FirstLook:
    """What a layer costs, by metric.

    Attributes:
        seconds: of a forward and backward pass of one noisy input.
        passes: that a sample is expected to take.
        most: passes that it may take.
        need: memory for the metric that needs most; `None` where no sample can be measured.
    """

    seconds: Mapping[str, float]
    passes: Mapping[str, float]
    most: Mapping[str, int]
    need: Need | None = None

    def cost(self, factor: float = 1.0) -> float:
        """Returns the seconds of a sample that takes `factor` times the passes that are expected."""
        passes = {name: min(most, max(factor * self.passes[name], FEWEST)) for name, most in self.most.items()}
        return sum(self.seconds[name] * passes[name] for name in passes)

    @property
    def expected(self) -> float:
        """Passes that a sample is expected to take, those of all metrics together."""
        return sum(min(most, self.passes[name]) for name, most in self.most.items())

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most seconds of a sample that are likely."""
        return self.cost(1 / UNSURE), self.cost(UNSURE)


def look(
    network: PreparedNetwork,
    layer: str,
    settings: Settings,
    batch_size: int | None = None,
    clock: Clock = time.monotonic,
) -> FirstLook:
    """Takes a few noisy inputs of the first sample that can be measured forward and backward.

    Args:
        network: of the layer.
        layer: its address.
        settings: of the run.
        batch_size: noisy inputs in one forward pass.
        clock: seconds from any beginning.
    """
    seconds, passes, needs = dict[str, float](), dict[str, float](), list[Need]()
    for sample in islice(network.each(layer), TRIED):
        try:
            with network.layer(layer) as probe:
                at = LayerSamples(network, probe, sample, settings, batch_size)
                for metric, most in settings.max_passes.items():
                    seconds[metric], passes[metric], need = _pass(at, metric, most, clock)
                    needs.append(need)
            break
        except (SampleError, NotCalledError):
            continue
    none = dict.fromkeys(settings.max_passes, 0.0)  # where no sample can be measured, none takes any time
    most_needed = max(needs, key=lambda need: need.whole, default=None)
    return FirstLook(none | seconds, none | passes, settings.max_passes, most_needed)


def _pass(at: LayerSamples, metric: str, most: int, clock: Clock) -> tuple[float, float, Need]:
    """Returns the seconds of a pass of one noisy input, the passes expected of a sample, and the memory needed."""
    objective, compute = SOLVERS[metric].one_pass(at)
    device, draws = objective.inputs.device, DRAWS.get(objective.inputs.device.type, 16)
    noise, rows = SampleNoise(objective.inputs, 0, "trial"), torch.zeros(1, dtype=torch.long, device=device)

    def drawn(count: int) -> torch.Tensor:
        return (at.settings.alpha * at.settings.tau) ** 0.5 * noise.draw([0], count)

    with kept_for_backward(at.network.module) as sizes:  # warms up, too
        compute(rows, drawn(WARM))
    need = _need(at, sum(sizes) // WARM, objective.batch_size)
    z = drawn(draws)
    begin = clock()
    result: Any = compute(rows, z)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = (clock() - begin) / draws
    if metric != "sid":
        return seconds, float(most), need
    level, gradient = result
    slope = at.space.gather(z * gradient)
    variance, power = float(relative_variance(slope)), float(slope.sum() / level.sum())
    each = LINEAR + SATURATED * min(2 * abs(power - 2), 1.0)
    harder = (Effort.tolerance / at.settings.tolerance) ** 1.5
    passes = FEWEST + harder * min(STEEP * variance**2, each * variance)
    return seconds, passes if math.isfinite(passes) else float(most), need


def _need(at: LayerSamples, each: int, inputs: int) -> Need:
    """The memory for a batch of so many `inputs`, with `each` bytes of activations; noise and gradients beside it."""
    noise = NOISES * at.part.values[0].numel() * 4
    return Need(weights_size(at.network.module), inputs * (each + noise), inputs)
