"""Stochastic ascent to the optimum: running averages of the draws, and preconditioned Newton steps from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .correction import FAINT, UNFELT, curvature, linear_way
from .expectation import draw_gradients
from .problem import Problem
from .rows import Rows
from .sample_noise import SampleNoise
from .sigma_space import SigmaSpace
from .wavelets import Scales, filtered, live_mean, mean

MEMORY = 1.0
"""Iterates are averaged with weights that grow as the step number to this power, so that early ones are forgotten."""

LONGEST = 1.5
"""Most that one step may change a log σ by, up or down."""

LEAST = 0.3
"""Least g of a parameter in units of ḡ: what seems to matter still less may only seem to."""

FIRST = 8
"""Number of the step from which on the linear target weighs more than the exact one."""

FARTHER, SETTLED = 1.0, 20
"""How much longer than the Newton step one without noise is made, from this step's number on, before in proportion."""

NEAR = 2.0
"""Up to this g in units of ḡ the linear target may be used, and from twice as much on never."""

CARRIED, AGREE = 0.5, 1.5
"""Fall of log σ in a step beyond which old draws are carried along, and how far the halves may disagree on g there."""

QUIET = 2.0
"""Growth of log σ in a step where no draw has reacted to it yet."""

FAR = 0.7
"""Error of log E from which on the common scale of σ is brought back at once."""

RECENT, CAUTION = 3.0, 1.0
"""The gap that the steps' draws show is averaged with weights that grow as the step number to the first, so that
it does not lag far behind; the second, in standard errors, is added, lest luck ends the search."""

OUTLIER = 8.0
"""Draws and parameters beyond this many times the usual size of g count as this many; it grows with the square root of
the draws, so that what is rare counts once it can be known, and the average is unbiased in the end."""

TINY = 1e-30


def advance(problem: Problem, state: AscentState, stream: SampleNoise, rows: Rows, draws: int) -> None:
    """Takes one step of the samples `rows`, all or none of which have taken two steps.

    Args:
        problem: what is maximised.
        state: of all samples; changed in place.
        stream: source of the draws.
        rows: which samples.
        draws: noisy inputs per sample; half as many in the first two steps.
    """
    if state.taken[rows.numbers[0]] < 2:
        draws = max(2, draws // 2)
    slopes, sizes, levels = [], [], []
    for group, _, slope, gradient, level in draw_gradients(problem, state.log_sigma, stream, rows, draws):
        sizes.append(_halves(problem.space.gather(gradient.square()) / (level[..., None, None, None] + TINY)))
        slope, level = without_outliers(slope, level, state.passes[group.index])
        slopes.append(_halves(slope))
        levels.append(level)
    state.step(rows, torch.cat(slopes), torch.cat(sizes), torch.cat(levels))


def _halves(draws: torch.Tensor) -> torch.Tensor:
    """Averages even and odd draws apart, `r × draws × …` → `r × 2 × …`: two independent estimates of the same."""
    return torch.stack([draws[:, ::2].mean(1), draws[:, 1::2].mean(1)], 1)


def _rate(step: torch.Tensor, memory: float) -> torch.Tensor:
    """The weight of the newest of `step` (`r`) values in an average with weights step ** memory (1 for the first)."""
    return (memory + 1) / (step + memory)


def without_outliers(
    slope: torch.Tensor, level: torch.Tensor, passes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bounds the contribution of single draws and parameters, relative to what is usual among the draws of one step.

    Args:
        slope: g of each draw, `r × draws × planes × rows × columns`.
        level: L of each draw, `r × draws`.
        passes: draws of the sample until now, `r`.

    Returns:
        Both, bounded.
    """
    most = OUTLIER * (passes / 16).clamp(min=1).sqrt().to(level)
    usual = slope.abs().mean((2, 3, 4)).median(1).values
    bound = (most * usual)[:, None, None, None, None]
    return slope.clamp(-bound, bound), torch.minimum(level, (most * level.median(1).values)[:, None])


@dataclass
class AscentState:
    """The running averages of an ascent, and where it is.

    Every tensor has a row per sample: those of parameters have the shape `n × planes × rows × columns`, in halves `n ×
    2 × planes × rows × columns` with independent draws in either half, the others `n`.
    """

    log_sigma: torch.Tensor  # parameters
    slope: torch.Tensor  # parameters in halves: running average of g
    size: torch.Tensor  # parameters in halves: running average of (∂L/∂z)² / L
    place: torch.Tensor  # parameters: running average of the iterates
    level: torch.Tensor  # running average of L
    total: torch.Tensor  # running average of Σ g, whatever has become of g in `slope`
    residual: torch.Tensor  # running average of the gap that each step's draws show, times their certainty
    certainty: torch.Tensor  # running average of one over the variance of such a gap
    spread: torch.Tensor  # the variance of `residual`
    left: torch.Tensor  # the gap, as the steps' own draws show it before they move σ; it lags behind
    passes: torch.Tensor  # noisy inputs taken forward and backward
    steps: torch.Tensor
    taken: list[int]  # the same for the host
    target: torch.Tensor  # α δ_f²
    weights: torch.Tensor  # input units per parameter, the same for every sample
    log_cap: torch.Tensor  # largest log σ allowed, `n × 1 × 1 × 1`
    scales: Scales

    @classmethod
    def begin(cls, start: torch.Tensor, space: SigmaSpace, target: torch.Tensor, log_cap: torch.Tensor) -> AscentState:
        """Returns the state before the first step, at log σ = `start` (`n × planes × rows × columns`).

        `log_cap` is `n × 1 × 1 × 1`.
        """
        none = torch.zeros_like(target)
        return cls(
            log_sigma=start.clamp(max=log_cap),
            slope=torch.zeros_like(torch.stack([start, start], 1)),
            size=torch.zeros_like(torch.stack([start, start], 1)),
            place=torch.zeros_like(start),
            level=none.clone(),
            total=none.clone(),
            residual=none.clone(),
            certainty=none.clone(),
            spread=none.clone(),
            left=torch.full_like(target, math.inf),
            passes=torch.zeros(len(start), dtype=torch.long, device=start.device),
            steps=torch.zeros(len(start), dtype=torch.long, device=start.device),
            taken=[0] * len(start),
            target=target,
            weights=space.weights(start),
            log_cap=log_cap,
            scales=Scales(start),
        )

    def step(self, samples: Rows, slope: torch.Tensor, size: torch.Tensor, draws: torch.Tensor) -> None:
        """Takes one step of some samples.

        Args:
            samples: which, r of them.
            slope: ∂L/∂s averaged over the draws, in two halves: `r × 2 × planes × rows × columns`.
            size: (∂L/∂z)² / L, the same.
            draws: L of each draw, `r × draws`.
        """
        rows = samples.index
        for number in samples.numbers:
            self.taken[number] += 1
        self.steps[rows] += 1
        self.passes[rows] += draws.shape[1]
        now, level = self.log_sigma[rows], draws.mean(1)
        self._average(rows, now, slope, size, level)
        live, power = self._live(rows), self.power()[rows]
        self._test_optimum(rows, slope / self._expected(rows, live, power), power)
        ratio = self._ratio(rows, live, power)
        moved = self._moved(rows, live, ratio, power, FARTHER) - self._off(rows, level)[:, None, None, None]
        # What no draw has reacted to yet may be ignored altogether, or been missed: it grows while they stay quiet.
        self.log_sigma[rows] = torch.where(live > 0, moved, now + QUIET).clamp(max=self.log_cap[rows])
        self._carry(rows, (moved - now) * live, ratio, power)

    def _average(
        self, rows: torch.Tensor, now: torch.Tensor, slope: torch.Tensor, size: torch.Tensor, level: torch.Tensor
    ) -> None:
        """Adds a step's iterate (`now`), g, (∂L/∂z)² / L and L to the running averages; shapes as in these."""
        rate = _rate(self.steps[rows], MEMORY).to(level)
        total = slope.mean(1).sum((1, 2, 3))
        averages = (self.slope, slope), (self.size, size), (self.place, now), (self.level, level), (self.total, total)
        for average, value in averages:
            wide = rate.view(-1, *[1] * (value.ndim - 1))
            average[rows] += wide * (value - average[rows])

    def _carry(self, rows: torch.Tensor, change: torch.Tensor, ratio: torch.Tensor, power: torch.Tensor) -> None:
        """Carries old draws along where σ has fallen by more than CARRIED, as if g grew with its power c.

        Their g belongs to the old σ; a mean over both would stay above what either says, and drive σ further down.
        Where the halves of the draws disagree, the fall may be noise, and carrying would destroy evidence.

        Args:
            rows: samples, `r`.
            change: of log σ in this step, `r × planes × rows × columns`.
            ratio: g / ḡ, `r × 2 × planes × rows × columns`.
            power: p, `r`.
        """
        sure = (ratio.amin(1) > 2 * NEAR) & (ratio.amax(1) < AGREE * ratio.amin(1))
        fall = (change + CARRIED).clamp(max=0) * sure
        self.place[rows] += fall
        self.slope[rows] *= (curvature(power)[:, None, None, None] * fall).exp()[:, None]

    def estimate(self, rows: torch.Tensor) -> torch.Tensor:
        """Returns the best estimate of log σ of the samples `rows`, `r × planes × rows × columns`, up to its scale.

        It is nearer than the next step, whose length overshoots where the curvature is as the Newton step has it.
        """
        live, power, now = self._live(rows), self.power()[rows], self.log_sigma[rows]
        moved = self._moved(rows, live, self._ratio(rows, live, power), power, FARTHER / 2)
        return torch.where(live > 0, moved, now).clamp(max=self.log_cap[rows])

    def go_to(self, rows: torch.Tensor, log_sigma: torch.Tensor) -> None:
        """Continues at another log σ (`n × planes × rows × columns`) of the samples `rows` (`r`).

        Where it is now at the cap, what old draws said of g there does not hold.
        """
        there = log_sigma[rows]
        cap = self.log_cap[rows]
        capped = (there >= cap) & (self.log_sigma[rows] < cap)
        self.place[rows] = torch.where(capped, there, self.place[rows] + there - self.log_sigma[rows])
        self.slope[rows] = torch.where(capped[:, None], 0.0, self.slope[rows])
        self.log_sigma[rows] = there

    def _live(self, rows: torch.Tensor) -> torch.Tensor:
        """1 where a draw has reacted, else 0, `r × planes × rows × columns`."""
        return (self.size[rows].sum(1) > 0).to(self.log_sigma)

    def _moved(
        self, rows: torch.Tensor, live: torch.Tensor, ratio: torch.Tensor, power: torch.Tensor, farther: float
    ) -> torch.Tensor:
        """log σ moved to the shape that all draws tell, its mean unchanged; steps may be longer by `farther`.

        Shapes, here and below: `live`, `shape` and the result as `_live`; `ratio` as `_ratio`; `power` `r`.
        """
        now = self.log_sigma[rows]
        more = farther * (self.steps[rows] / SETTLED).clamp(max=1).to(now)
        place, ways = self._newton_steps(rows, live, ratio, power)
        shape = filtered(place, ways, self._predictions(rows, live), self.scales, more)
        shape = self._bent(rows, shape, live, power)
        # A few parameters that would have to move far must not carry all others the other way.
        change = (shape - now - live_mean(shape - now, live)).clamp(-LONGEST, LONGEST)
        return now + change - live_mean(change, live)

    def _bent(self, rows: torch.Tensor, shape: torch.Tensor, live: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        """Converts the filtered Newton target (`shape`), s − (r − 1) / c with r = g / ḡ, to s − log(r) / c.

        That is exact where h is linear, however far the optimum is. It must come after the filter: the logarithm of a
        noisy r has a mean of its own. It matters on the way; near the optimum it would only amplify what noise is left.
        """
        place, c = self.place[rows], curvature(power)[:, None, None, None]
        step = shape - place - live_mean(shape - place, live)
        ratio = torch.where(step > 1 / c, 1.0, 1 - c * step).clamp(min=LEAST)  # beyond 1 / c, it is no Newton step
        early = (FIRST / (FIRST + self.steps[rows])).to(step)[:, None, None, None]
        weight = torch.maximum(early, ((ratio - NEAR) / NEAR).clamp(0, 1))
        return place + step + torch.where(step > 1 / c, 0.0, weight) * (-ratio.log() / c - step)

    def _off(self, rows: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """By how much to lower log σ as a whole towards E's target: less and less, unless E is far off; both `r`."""
        miss = (level / self.target[rows]).log()
        rate = (1 / self.steps[rows]).clamp(min=0.05).to(miss)
        return torch.where(miss.abs() > FAR, rate.clamp(min=0.5), rate) * (miss / 2).clamp(-1, 1)

    def power(self) -> torch.Tensor:
        """p = d log E / d log(scale of σ), `n`: 2 in the linear regime, less where E saturates; kept away from 0."""
        return (self.total / self.level).nan_to_num(2.0).clamp(0.25, 4)  # 0 / 0 while nothing has reacted

    def growing(self) -> torch.Tensor:
        """Whether parameters that no draw has reacted to are still on their way to the cap, `n`."""
        return ((self.size.sum(1) == 0) & (self.log_sigma < self.log_cap)).flatten(1).any(1)

    def _free(self, rows: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        """1 where σ is free to move, neither dead nor at the cap; shaped as `live`."""
        return live * (self.log_sigma[rows] < self.log_cap[rows])

    def _expected(self, rows: torch.Tensor, live: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        """ḡ: what every g would be at the optimum, for either half, `r × 1 × planes × rows × columns`."""
        count = (self._free(rows, live) * self.weights).sum((1, 2, 3)).clamp(min=1)
        return ((power * self.level[rows] / count).clamp(min=TINY)[:, None, None, None] * self.weights)[:, None]

    def _ratio(self, rows: torch.Tensor, live: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        """g / ḡ of the averages, in halves, `r × 2 × planes × rows × columns`.

        ḡ is the mean of g as it was taken along with σ; but that may be all noise, so that it counts as a quarter of
        what the draws themselves had at least.
        """
        slope, expected = self.slope[rows], self._expected(rows, live, power)
        units = self._free(rows, live) * self.weights
        usual = live_mean(slope.mean(1) / self.weights, units)[:, None] * self.weights
        return slope / ((usual / expected).clamp(0.25, 1) * expected)

    def _test_optimum(self, rows: torch.Tensor, ratio: torch.Tensor, power: torch.Tensor) -> None:
        """Converts g / ḡ of new draws to the gap that it means, mean((g / ḡ − 1)²) / 2c; `ratio` as `_ratio`.

        The square is a product of two halves of the draws, so that their noise, which is independent, drops out. Steps
        count by the inverse of their variance: at the last layers a single draw may outweigh a hundred others. This
        tells only when to look closer, as σ has moved since.
        """
        later = self.steps[rows] > 1  # How far the start is from the optimum says nothing of the end.
        free = self._free(rows, self._live(rows))
        count, twice = free.sum((1, 2, 3)).clamp(min=1), 2 * curvature(power)
        first, second = ((half - live_mean(half, free)) * free for half in ratio.unbind(1))
        gap = (first * second).sum((1, 2, 3)) / count / twice
        noise = (first - second).square().sum((1, 2, 3)) / count / twice / 2
        fresh = count / noise.square().clamp(min=TINY)
        rate = _rate((self.steps[rows] - 1).clamp(min=1), RECENT).to(gap)
        residual = self.residual[rows] + rate * (gap * fresh - self.residual[rows])
        certainty = self.certainty[rows] + rate * (fresh - self.certainty[rows])
        spread = (1 - rate) ** 2 * self.spread[rows] + rate**2 * fresh
        left = (residual / certainty).clamp(min=0) + CAUTION * spread.sqrt() / certainty
        values = (self.residual, residual), (self.certainty, certainty), (self.spread, spread), (self.left, left)
        for average, value in values:
            average[rows] = torch.where(later, value, average[rows])

    def _newton_steps(
        self, rows: torch.Tensor, live: torch.Tensor, ratio: torch.Tensor, power: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The average of s, as `live`, and the steps −(g / ḡ − 1) / c from there by either half, as `ratio`.

        Dead pixels must not spread into their neighbourhood: for the filter they are average ones.
        """
        place = self.place[rows]
        step = -(ratio - 1) / curvature(power)[:, None, None, None, None]
        # Some are felt so little that a step of 1 / c would not do, and their g is noise: the gradient's size knows.
        size, units = self.size[rows].mean(1) / self.weights, self._free(rows, live) * self.weights
        far = linear_way(size, place, ratio.mean(1), units)[:, None]
        contradicted = ratio.mean(1, keepdim=True) - (ratio[:, :1] - ratio[:, 1:]).abs() > UNFELT
        step = torch.where((far > FAINT) & ~contradicted, torch.maximum(step, far), step)
        step = torch.minimum(step, self.log_cap[rows, None] + 0.5 - place[:, None])
        alive = live > 0
        step = torch.where(alive[:, None], step, live_mean(step, live[:, None]))
        return torch.where(alive, place, live_mean(place, live)), step

    def _predictions(self, rows: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        """log σ as the gradient's size predicts it, −½ log E[(∂L/∂z)² / L]; as `_ratio`; exact where h is linear."""
        size, live = self.size[rows] / self.weights, live[:, None]
        # Relative to the mean, so that a feature in other units gives the same numbers to the last bit.
        predicted = -0.5 * (size / mean(size).clamp(min=TINY)).clamp(min=1e-4).log()
        return torch.where(live > 0, predicted, live_mean(predicted, live))
