"""One layer at one noise level: what every procedure of the benchmark is given, and the judge of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from infodiscard.entropy import gaussian_entropy
from infodiscard.noise import SampleNoise, SigmaSpace
from infodiscard.objectives import FeatureDistance
from infodiscard.solver import Effort, calibrate, expected_distance

JUDGE_SEED = 1_000_003
"""Of the noise on which all procedures are compared; none of them has seen it."""

ROUNDS = 8
"""Most searches for the scale of one σ."""

TOLERANCE = 0.03
"""Largest |log (E / α δ_f²)| at which an entropy counts as one at equal constraint."""


class Counted:
    """A distance that counts what it is asked for, per sample.

    Attributes:
        passes: forward-and-backward passes, `n`.
        forwards: forward passes alone, `n`.
    """

    def __init__(self, distance: FeatureDistance) -> None:
        self._distance = distance
        self.reset()

    def reset(self) -> None:
        """Starts counting anew."""
        none = torch.zeros(len(self._distance.inputs), dtype=torch.long, device=self._distance.inputs.device)
        self.passes, self.forwards = none, none.clone()

    def __call__(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        self.forwards[rows] += noise.shape[1]
        return self._distance(rows, noise)

    def gradient(self, rows: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.passes[rows] += noise.shape[1]
        return self._distance.gradient(rows, noise)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._distance, name)

    @property
    def total(self) -> torch.Tensor:
        """Passes, a forward pass counting one third: `n`, float."""
        return self.passes + self.forwards / 3


@dataclass(frozen=True)
class Problem:
    """What is to be solved.

    Attributes:
        feature: the network up to the layer.
        inputs: `n × C × H × W`, in the network's input space.
        cap: largest σ allowed.
        alpha, tau: the target distance in units of δ_f², and the variance of the noise that defines δ_f².
        judge_draws: noisy inputs per sample on which an entropy is judged.
        batch_size: noisy inputs in one forward pass; the device's usual number by default.
    """

    feature: Callable[[torch.Tensor], torch.Tensor]
    inputs: torch.Tensor
    cap: float
    alpha: float = 1.5
    tau: float = 0.01
    judge_draws: int = 512
    batch_size: int | None = None

    def space(self, name: str = "pixel") -> SigmaSpace:
        """Where σ is free."""
        channels, height, width = self.inputs.shape[1:]
        return SigmaSpace.parse(name, (channels, height, width))

    @cached_property
    def distance(self) -> Counted:
        """The constraint."""
        return Counted(FeatureDistance(self.feature, self.inputs, self.batch_size))

    def uniform(self, space: SigmaSpace, factor: float = 1.0) -> torch.Tensor:
        """log σ of σ² = factor · τ everywhere, `n × planes × rows × columns`."""
        value = math.log(factor * self.tau) / 2
        return torch.full((len(self.inputs), *space.shape), value, dtype=self.inputs.dtype, device=self.inputs.device)

    @cached_property
    def target(self) -> torch.Tensor:
        """α δ_f² of each sample on the judge's noise, `n`."""
        space = self.space()
        noise = SampleNoise(self.inputs, JUDGE_SEED, "variation")
        draws = 4 * self.judge_draws
        return self.alpha * expected_distance(self.distance, space, self.uniform(space), noise, 0.0, draws).mean

    def calibrated(self, log_sigma: torch.Tensor, space: SigmaSpace) -> torch.Tensor:
        """Scales σ by one number per sample so that E = α δ_f² on the judge's noise, the same draws for all.

        Args:
            log_sigma: `n × planes × rows × columns` of `space`.

        Returns:
            log σ per pixel, `n × 1 (or C) × H × W`; NaN for a sample whose distance could not be reached.
        """
        # A precision of zero is never reached, so that everyone gets the same number of draws.
        effort, log_cap = Effort(precision=0.0, max_passes=5 * self.judge_draws), math.log(self.cap)
        found = space.expand(log_sigma).expand(-1, space.shape[0], *self.inputs.shape[2:])
        whole = self.space("unit" if space.shape[0] > 1 else "pixel")
        for _ in range(ROUNDS):
            # One search moves σ by a factor of e² or so at most; some procedures end further away than that.
            found = calibrate(self.distance, whole, found, self.target, log_cap, JUDGE_SEED, effort)[0]
            if (self._miss(found, whole).abs() < 0.05).all():
                break
        # What is left of the last step's curvature, half a percent at the logits, would count as entropy.
        shift = self._miss(found, whole) / 2
        found = torch.where(found >= log_cap, found, (found - shift[:, None, None, None]).clamp(max=log_cap))
        missed = self._miss(found, whole).abs() > TOLERANCE
        # No entropy is better than one at another distance: a σ that cannot be scaled there is no solution.
        return torch.where(missed[:, None, None, None], torch.nan, found)

    def _miss(self, log_sigma: torch.Tensor, space: SigmaSpace) -> torch.Tensor:
        """log (E / α δ_f²) on the judge's noise, `n`."""
        noise = SampleNoise(self.inputs, JUDGE_SEED, "scale")
        return (
            expected_distance(self.distance, space, log_sigma, noise, 0.0, self.judge_draws).mean / self.target
        ).log()

    def entropy(self, log_sigma: torch.Tensor, space: SigmaSpace) -> torch.Tensor:
        """Entropy at equal constraint, nats per input unit: `n`; −∞ where the distance could not be reached."""
        return entropy_of(self.calibrated(log_sigma, space))


def entropy_of(calibrated: torch.Tensor) -> torch.Tensor:
    """Mean entropy of what the judge has scaled, over the last three dimensions; −∞ for what it could not scale."""
    return gaussian_entropy(calibrated.exp()).mean((-3, -2, -1)).nan_to_num(nan=-math.inf)


def shape_of(log_sigma: torch.Tensor) -> torch.Tensor:
    """log σ without its mean, which the constraint fixes."""
    return log_sigma - log_sigma.mean((1, 2, 3), keepdim=True)
