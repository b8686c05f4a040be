"""One step after another towards the optimum: what the solver remembers of its draws, and what it makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .filtering import Scales, filtered, live_mean, mean
from .noise import SigmaSpace

MEMORY = 1.0
"""Iterates are averaged with weights that grow as the step number to this power, so that early ones are forgotten."""

CAUTION = 2.5
"""Standard errors that are added to the gap's estimate."""


def _rate(step: int, memory: float) -> float:
    """The weight of the newest of `step` values in an average with weights step ** memory (1 for the first)."""
    return (memory + 1) / (step + memory)


def _curvature(power: torch.Tensor) -> torch.Tensor:
    """c = ∂²(λE)/∂s_i² at the optimum, along a single s_i.

    It is 2 where E is quadratic. Where E as a whole grows with a smaller power p of σ, it lies between 2 and p, as more
    or less of that is each pixel's own doing; the middle is taken.
    """
    return 1 + power.clamp(max=2) / 2


@dataclass
class Iteration:
    """The iteration's memory; every tensor has a row per sample (and two halves in `slope`)."""

    log_sigma: torch.Tensor
    slope: torch.Tensor  # running average of g, in two halves
    size: torch.Tensor  # running average of (∂L/∂z)² / L, in two halves
    place: torch.Tensor  # running average of the iterates
    level: torch.Tensor  # running average of L
    residual: torch.Tensor  # running average of the gap that each step's draws show, times their certainty
    certainty: torch.Tensor  # running average of one over the variance of such a gap
    spread: torch.Tensor  # the variance of `residual`
    gap: torch.Tensor
    passes: torch.Tensor
    target: torch.Tensor
    weights: torch.Tensor
    log_cap: float
    scales: Scales
    steps: int = 0

    @classmethod
    def begin(cls, start: torch.Tensor, space: SigmaSpace, target: torch.Tensor, log_cap: float) -> Iteration:
        """The state before the first step."""
        none = torch.zeros_like(target)
        return cls(
            log_sigma=start.clamp(max=log_cap),
            slope=torch.zeros_like(torch.stack([start, start], 1)),
            size=torch.zeros_like(torch.stack([start, start], 1)),
            place=torch.zeros_like(start),
            level=none.clone(),
            residual=none.clone(),
            certainty=none.clone(),
            spread=none.clone(),
            gap=torch.full_like(target, math.inf),
            passes=torch.zeros(len(start), dtype=torch.long, device=start.device),
            target=target,
            weights=space.weights().to(start),
            log_cap=log_cap,
            scales=Scales(start),
        )

    def step(self, rows: torch.Tensor, slope: torch.Tensor, size: torch.Tensor, draws: torch.Tensor) -> None:
        """One step of the samples `rows`.

        Args:
            rows: indices, `r`.
            slope: ∂L/∂s averaged over the draws, in two halves: `r × 2 × planes × rows × columns`.
            size: (∂L/∂z)² / L, likewise.
            draws: L of each draw, `r × draws`.
        """
        self.steps += 1
        rate = _rate(self.steps, MEMORY)
        now, level = self.log_sigma[rows], draws.mean(1)
        averages = ((self.slope, slope), (self.size, size), (self.place, now), (self.level, level))
        for average, value in averages:
            average[rows] += rate * (value - average[rows])
        self.passes[rows] += draws.shape[1]

        live = (self.size[rows].sum(1) > 0).to(now)
        power = self.power()[rows]
        self._test_optimum(rows, slope / self._expected(rows, live, power), power)
        targets = self._newton_targets(rows, live, power)
        shape = filtered(targets, self._predictions(rows, live), self.scales)
        miss = (level / self.target[rows]).log()
        correction = max(1 / self.steps, 0.05) * (miss / 2).clamp(-0.5, 0.5)
        wanted = shape - live_mean(shape, live) + live_mean(now, live) - correction[:, None, None, None]
        moved = now + (wanted - now).clamp(-1.5, 1.5)
        # What no draw has ever reacted to is ignored altogether: its σ is unbounded.
        self.log_sigma[rows] = torch.where(live > 0, moved, self.log_cap).clamp(max=self.log_cap)

    def power(self) -> torch.Tensor:
        """p = d log E / d log(scale of σ), `n`: 2 in the linear regime, less where E saturates; kept away from 0."""
        return (self.slope.mean(1).sum((1, 2, 3)) / self.level).clamp(0.25, 4)

    def _free(self, rows: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        """1 where σ is free to move: not dead, nor at the cap."""
        return live * (self.log_sigma[rows] < self.log_cap)

    def _expected(self, rows: torch.Tensor, live: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        """ḡ: what every g would be at the optimum, for either half."""
        count = (self._free(rows, live) * self.weights).sum((1, 2, 3)).clamp(min=1)
        return ((power * self.level[rows] / count)[:, None, None, None] * self.weights)[:, None]

    def _test_optimum(self, rows: torch.Tensor, ratio: torch.Tensor, power: torch.Tensor) -> None:
        """Takes g / ḡ of fresh draws to the gap that it means, mean((g / ḡ − 1)²) / 2c, and to its standard error.

        The square is a product of two halves of the draws, so that their noise, which is independent, drops out. Steps
        count by the inverse of their variance: at the last layers a single draw may outweigh a hundred others.
        """
        if self.steps == 1:
            return  # How far the start is from the optimum says nothing of what will be found.
        free = self._free(rows, (self.size[rows].sum(1) > 0).to(ratio))
        count, curvature = free.sum((1, 2, 3)).clamp(min=1), 2 * _curvature(power)
        first, second = ((half - live_mean(half, free)) * free for half in ratio.unbind(1))
        gap = (first * second).sum((1, 2, 3)) / count / curvature
        noise = (first - second).square().sum((1, 2, 3)) / count / curvature / 2
        fresh = count / noise.square().clamp(min=1e-30)
        rate = _rate(self.steps - 1, MEMORY)
        residual = self.residual[rows] + rate * (gap * fresh - self.residual[rows])
        certainty = self.certainty[rows] + rate * (fresh - self.certainty[rows])
        spread = (1 - rate) ** 2 * self.spread[rows] + rate**2 * fresh
        self.residual[rows], self.certainty[rows], self.spread[rows] = residual, certainty, spread
        self.gap[rows] = (residual / certainty).clamp(min=0) + CAUTION * spread.sqrt() / certainty

    def _newton_targets(self, rows: torch.Tensor, live: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        """s − (g / ḡ − 1) / c, averaged over the past, from either half of the draws (dimension 1)."""
        ratio = self.slope[rows] / self._expected(rows, live, power)
        step = (ratio - 1) / _curvature(power)[:, None, None, None, None]
        targets = (self.place[rows][:, None] - step).clamp(max=self.log_cap + 0.5)
        # Dead pixels must not spread into their neighbourhood: for the filter they are average ones.
        return torch.where(live[:, None] > 0, targets, live_mean(targets, live[:, None]))

    def _predictions(self, rows: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        """What the gradient's size says of log σ, −½ log E[(∂L/∂z)² / L], in halves; exact in the linear regime."""
        size, live = self.size[rows] / self.weights, live[:, None]
        # Relative to the mean, so that a feature in other units gives the same numbers to the last bit.
        predicted = -0.5 * (size / mean(size)).clamp(min=1e-4).log()
        return torch.where(live > 0, predicted, live_mean(predicted, live))
