"""Judge of the benchmark: the problem of one layer at one noise level, and the entropy of any σ at equal distance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch

from infodiscard.solver.entropy import gaussian_entropy
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Distance, Problem
from infodiscard.solver.sample_noise import SampleNoise
from infodiscard.solver.sigma_space import SigmaSpace

JUDGE_SEED = 1_000_003
"""Of the noise on which all procedures are compared; none of them has seen it."""

SEARCH_DRAWS = 64
"""Noisy inputs per sample on which the scale of a σ is searched, before it is judged on many others; at most a quarter
of those."""

CHUNK = 32
"""Noisy inputs of a sample that are held at once; also what makes the judge's draws the same on every machine."""

ROUNDS = 8
"""Most steps of the search, and of the judge after it."""

NEAR, FINE = 0.2, 0.02
"""Steps of log σ below which the search ends, and below which a step is trusted without looking again."""


class Snapshot(NamedTuple):
    """Where a procedure is after some passes.

    Attributes:
        passes: forward-and-backward passes per image.
        log_sigma: `n × planes × rows × columns`.
        seconds: since the start, for all images.
    """

    passes: int
    log_sigma: torch.Tensor
    seconds: float


class Counted:
    """A distance that counts its passes, per sample.

    Attributes:
        passes: forward-and-backward passes, `n`.
        forwards: forward passes alone, `n`.
    """

    def __init__(self, distance: FeatureDistance) -> None:
        self._distance = distance
        self.reset()

    def reset(self) -> None:
        """Starts counting again."""
        none = torch.zeros(len(self._distance.inputs), dtype=torch.long, device=self._distance.inputs.device)
        self.passes, self.forwards = none, none.clone()

    def __call__(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        self.forwards[rows] += noise.shape[1]
        return self._distance(rows, noise)

    def gradient(self, rows: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.passes[rows] += noise.shape[1]
        return self._distance.gradient(rows, noise)

    def normalise(self, noise: torch.Tensor) -> None:
        self.forwards += noise.shape[1]
        self._distance.normalise(noise)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._distance, name)


@dataclass(frozen=True)
class JudgedProblem:
    """One layer at one noise level, and the scaling of any σ to its constraint on noise that no procedure has seen.

    Attributes:
        feature: the network up to the layer.
        inputs: `n × C × H × W`, in the network's input space.
        cap: largest σ allowed.
        alpha, tau: the target distance in units of δ_f², and the variance of the noise that defines δ_f².
        judge_draws: noisy inputs per sample on which an entropy is judged.
    """

    feature: Callable[[torch.Tensor], torch.Tensor]
    inputs: torch.Tensor
    cap: float
    alpha: float = 1.5
    tau: float = 0.01
    judge_draws: int = 512

    def space(self, name: str = "pixel") -> SigmaSpace:
        """Where σ is free."""
        channels, height, width = self.inputs.shape[1:]
        return SigmaSpace.parse(name, (channels, height, width))

    def unsolved(self, space: SigmaSpace, seed: int = 0, distance: Distance | None = None) -> Problem:
        """The same for the solver; `distance` by default."""
        return Problem(distance or self.distance, space, self.alpha, self.tau, self.cap, seed)

    @cached_property
    def distance(self) -> Counted:
        """The constraint, in the feature's own units, as `target` is."""
        return self.constraint()

    def constraint(self) -> Counted:
        """The constraint for a whole solve alone, which chooses units of its own."""
        return Counted(FeatureDistance(self.feature, self.inputs))

    def uniform(self, space: SigmaSpace, factor: float = 1.0) -> torch.Tensor:
        """log σ of σ² = factor · τ everywhere, `n × planes × rows × columns`."""
        value = math.log(factor * self.tau) / 2
        return torch.full((len(self.inputs), *space.shape), value, dtype=self.inputs.dtype, device=self.inputs.device)

    @cached_property
    def target(self) -> torch.Tensor:
        """α δ_f² of each sample on the judge's noise, `n`."""
        small = self.uniform(self.space())
        return self.alpha * self.levels(small, "variation", 4 * self.judge_draws).mean(1).to(small)

    def levels(
        self, log_sigma: torch.Tensor, stream: str, draws: int, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """L of each draw of one of the judge's streams, the same draws for every σ.

        Args:
            log_sigma: per pixel or unit, `n × 1 (or C) × H × W`.
            rows: the samples that are wanted; all by default.

        Returns:
            `n × draws`; NaN for the other samples.
        """
        levels = torch.full((len(log_sigma), draws), math.nan, dtype=torch.float64, device=log_sigma.device)
        rows = torch.arange(len(log_sigma), device=log_sigma.device) if rows is None else rows
        noise = SampleNoise(self.inputs, JUDGE_SEED, stream)
        for group in rows.split(max(1, self.distance.batch_size // CHUNK)):
            for start in range(0, draws, CHUNK):
                unit = noise.draw(group.tolist(), min(CHUNK, draws - start))
                level = self.distance(group, log_sigma[group].exp()[:, None] * unit)
                levels[group, start : start + unit.shape[1]] = level.double()
        return levels

    def reached(self, log_sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """E(σ) / α δ_f² of a σ per pixel as it is, on common noise, and its standard error; each `n`."""
        level, small = (
            self.levels(place, "distance", self.judge_draws) for place in (log_sigma, self.uniform(self.space()))
        )
        ratio = level.mean(1) / small.mean(1)
        se = (level - ratio[:, None] * small).std(1) / self.judge_draws**0.5 / small.mean(1)
        return ratio / self.alpha, se / self.alpha

    def calibrated(self, log_sigma: torch.Tensor, space: SigmaSpace) -> torch.Tensor:
        """Scales σ by one number per sample so that E = α δ_f² on the judge's noise, the same draws for all.

        A search on few draws also tells p = d log E / d log(scale). One estimate on many other draws follows, and the
        step −log(E / α δ_f²) / p; only where that step is not small, which p may have been too inexact for, another.

        Args:
            log_sigma: `n × planes × rows × columns` of `space`.

        Returns:
            log σ per pixel, `n × 1 (or C) × H × W`; NaN for a sample whose distance could not be reached.
        """
        place = space.expand(log_sigma).expand(-1, space.shape[0], *self.inputs.shape[2:])
        shift, power = self._search(place)
        old, old_miss = torch.full_like(shift, math.nan), torch.full_like(shift, math.nan)
        rows = torch.arange(len(place), device=place.device)
        for _ in range(ROUNDS):
            miss = self._miss(self._scaled(place, shift), rows, "scale", self.judge_draws)
            slope = (miss - old_miss) / (shift - old)
            power = torch.where(slope > 0.25, slope, power)
            old, old_miss = shift.clone(), miss
            step = (-miss / power).clamp(-1, 1)
            shift[rows] += step[rows]
            rows = rows[~(step.abs() <= FINE)[rows]]
            if not len(rows):
                break
        scaled = self._scaled(place, shift)
        # No entropy is better than one at another distance: a σ that cannot be scaled there is no solution.
        scaled[rows] = math.nan
        return scaled

    def _search(self, place: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns by how much log σ is to be moved, about, and p there, each `n`."""
        shift, power = torch.zeros_like(self.target), torch.zeros_like(self.target)
        draws = min(SEARCH_DRAWS, max(16, self.judge_draws // 4))
        rows = torch.arange(len(place), device=place.device)
        for _ in range(ROUNDS):
            low, high = (self._miss(self._scaled(place, shift + move), rows, "search", draws) for move in (-0.1, 0.1))
            # Between a plateau (p near 0) and a cliff: never trust a slope that would throw σ far away.
            power[rows] = ((high - low) / 0.2).clamp(0.25, 6)[rows]
            step = (-(low + high) / 2 / power).clamp(-1, 1)
            shift[rows] += step[rows]
            rows = rows[(step.abs() > NEAR)[rows]]
            if not len(rows):
                break
        return shift, power

    def _scaled(self, log_sigma: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Moves log σ by `shift` (`n`), except at the cap, whose value is no σ's own."""
        log_cap = math.log(self.cap)
        moved = (log_sigma + shift[:, None, None, None]).clamp(max=log_cap)
        return torch.where(log_sigma >= log_cap, log_sigma, moved)

    def _miss(self, log_sigma: torch.Tensor, rows: torch.Tensor, stream: str, draws: int) -> torch.Tensor:
        """log (E / α δ_f²) on `draws` draws of one of the judge's streams, `n`; NaN except for `rows`."""
        return (self.levels(log_sigma, stream, draws, rows).mean(1) / self.target).log().to(log_sigma)

    def entropy(self, log_sigma: torch.Tensor, space: SigmaSpace) -> torch.Tensor:
        """Entropy at equal constraint, nats per input unit: `n`; −∞ where the distance could not be reached."""
        return entropy_of(self.calibrated(log_sigma, space))


def entropy_of(calibrated: torch.Tensor) -> torch.Tensor:
    """Mean entropy of what the judge has scaled, over the last three dimensions; −∞ for what it could not scale."""
    return gaussian_entropy(calibrated.exp()).mean((-3, -2, -1)).nan_to_num(nan=-math.inf)
