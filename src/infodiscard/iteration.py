"""One step after another towards the optimum: what the solver remembers of its draws, and what it makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .filtering import Scales, filtered, live_mean, mean
from .noise import SigmaSpace

MEMORY = 2.0
"""Iterates are averaged with weights that grow as the step number to this power, so that early ones are forgotten."""

TREND = (1.0, 5.0)
"""The same for the two averages of the entropy whose difference is its trend."""

DECAY = 2 / 3
"""The gap is taken to shrink as passes ** -DECAY: between 1, that of pure noise, and ½, where σ has far to travel."""


def _rate(step: int, memory: float) -> float:
    """The weight of the newest of `step` values in an average with weights step ** memory (1 for the first)."""
    return (memory + 1) / (step + memory)


@dataclass
class Iteration:
    """The iteration's memory; every tensor has a row per sample (and two halves in `slope`)."""

    log_sigma: torch.Tensor
    slope: torch.Tensor  # running average of g, in two halves
    size: torch.Tensor  # running average of (∂L/∂z)² / L, in two halves
    place: torch.Tensor  # running average of the iterates
    level: torch.Tensor  # running average of L
    trend: list[torch.Tensor]  # running averages of the entropy at the target distance
    jitter: torch.Tensor  # running average of the squared sampling error of one such entropy
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
            trend=[none.clone(), none.clone()],
            jitter=none.clone(),
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
        power = self._power(rows)
        targets = self._newton_targets(rows, live, power)
        shape, variance = filtered(targets, self._predictions(rows, live), self.scales)
        miss = (level / self.target[rows]).log()
        correction = max(1 / self.steps, 0.05) * (miss / 2).clamp(-0.5, 0.5)
        wanted = shape - live_mean(shape, live) + live_mean(now, live) - correction[:, None, None, None]
        moved = now + (wanted - now).clamp(-1.5, 1.5)
        # What no draw has ever reacted to is ignored altogether: its σ is unbounded.
        self.log_sigma[rows] = torch.where(live > 0, moved, self.log_cap).clamp(max=self.log_cap)
        jitter = draws.var(1) / draws.shape[1] / (level * power).square()
        self._estimate_gap(rows, now.mean((1, 2, 3)) - miss / power, jitter, variance)

    def _power(self, rows: torch.Tensor) -> torch.Tensor:
        """d log E / d log(scale of σ): 2 in the linear regime, less where E saturates; kept away from 0."""
        total = self.slope[rows].mean(1).sum((1, 2, 3))
        return (total / self.level[rows]).clamp(0.25, 4)

    def _newton_targets(self, rows: torch.Tensor, live: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        """s − ½ (g / ḡ − 1), averaged over the past, from either half of the draws (dimension 1)."""
        free = (live * (self.log_sigma[rows] < self.log_cap) * self.weights).sum((1, 2, 3)).clamp(min=1)
        expected = (power * self.level[rows] / free)[:, None, None, None]
        ratio = self.slope[rows] / (expected * self.weights)[:, None]
        targets = (self.place[rows][:, None] - 0.5 * (ratio - 1)).clamp(max=self.log_cap + 0.5)
        # Dead pixels must not spread into their neighbourhood: for the filter they are average ones.
        return torch.where(live[:, None] > 0, targets, live_mean(targets, live[:, None]))

    def _predictions(self, rows: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        """What the gradient's size says of log σ, −½ log E[(∂L/∂z)² / L], in halves; exact in the linear regime."""
        size, live = self.size[rows] / self.weights, live[:, None]
        # Relative to the mean, so that a feature in other units gives the same numbers to the last bit.
        predicted = -0.5 * (size / mean(size)).clamp(min=1e-4).log()
        return torch.where(live > 0, predicted, live_mean(predicted, live))

    def _estimate_gap(
        self, rows: torch.Tensor, entropy: torch.Tensor, jitter: torch.Tensor, variance: torch.Tensor
    ) -> None:
        """Estimates how far the entropy is from its optimum: the noise left in s, and what the trend still promises.

        If the gap is G now and shrinks as step ** -d, an average of the entropy with weights step ** a lies
        G (a + 1) / (a + 1 - d) below the optimum, so that the difference of two such averages gives G. The standard
        error of this difference is added, lest the solver stop at the first moment when luck makes it small.
        """
        for average, memory in zip(self.trend, TREND, strict=True):
            average[rows] += _rate(self.steps, memory) * (entropy - average[rows])
        self.jitter[rows] += (jitter - self.jitter[rows]) / self.steps
        (a, b), (old, new) = TREND, (average[rows] for average in self.trend)
        lag = (a + 1) / (a + 1 - DECAY) - (b + 1) / (b + 1 - DECAY)
        spread = (a + 1) ** 2 / (2 * a + 1) + (b + 1) ** 2 / (2 * b + 1) - 2 * (a + 1) * (b + 1) / (a + b + 1)
        error = (self.jitter[rows] * spread / self.steps).sqrt()
        self.gap[rows] = variance + ((new - old).clamp(min=0) + error) / lag if self.steps > 1 else math.inf
