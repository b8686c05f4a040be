"""One constrained maximiser of entropy: maximise Σ log σ_i subject to E(σ) = α δ_f² (docs/solver.md derives it).

It knows tensors and callables, nothing of networks, files or command lines. In s = log σ the condition of the optimum
is that g_j = ∂E/∂s_j is the same for every input unit. The Newton step towards it is −(g_j / ḡ − 1) / c with the
curvature c = 1 + ½ min(p, 2), where E grows with the power p of σ: 2 in the linear regime. Its noise is white across
pixels, while the solution is smooth on many scales, so the average Newton target is estimated scale by scale: each
scale is kept as far as its signal stands above its noise (a Wiener filter, both powers measured from two independent
halves of the draws), around a prediction from the gradient's size.

The search ends where fresh draws tell the value at the optimum well enough (`correction`), not where σ has stopped
moving.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from ..errors import SampleError
from .ascent import Iteration, without_outliers
from .correction import GROUPS, SYSTEMATIC, Correction, Witnesses, moments, ratio_of
from .sample_noise import SampleNoise
from .sigma_space import SigmaSpace


class Distance(Protocol):
    """What the solver asks of a constraint; `infodiscard.solver.feature_distance.FeatureDistance` is one."""

    inputs: torch.Tensor
    batch_size: int

    def __call__(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor: ...

    def gradient(self, rows: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...

    def normalise(self, noise: torch.Tensor) -> None: ...


LOOKS = 5
"""Most steps of the search for the scale of σ."""

TINY = 1e-30

SMALL_MISS, MISS = 0.1, 0.25
"""Relative distances from the target: the first is mended by one more step, even if the power of E is known to 20 %
only; from the second, one step leads near enough for the last look, on many draws."""

MIN_PASSES = 96
"""Fewer do not suffice for two steps, for the feature distance before and after them, and for the correction."""

ROUNDS = 8
"""Most times that the search is taken up, and taken up again because the correction is too large to be trusted."""

LEFT, DRAWN, PLACED = 0.8, 0.35, 0.48
"""Shares of the tolerance that may come from the correction's systematic error, from its draws, and from what is known
of the distance; their squares sum to 1."""

WITNESSES = 16
"""Draws of the correction at least."""

SLOPE_DRAWS, SLOPE_STEP, SLOPE_ERROR = 16, 0.05, 0.25
"""Draws and step of log σ for E's measured slope, and how far Σ g may lie from it, relatively: a gradient that is not
the derivative (straight-through estimators, hooks that change it) shows there."""

FARTHEST = 0.3
"""Most that log σ is scaled by after the last look at its distance."""

NO_VALUE = 0.1
"""Relative miss of the feature distance beyond which nothing is said of the optimum."""


@dataclass(frozen=True)
class Effort:
    """How far to go.

    Attributes:
        tolerance: stop when the corrected value is known to this standard error, in nats per input unit; for RU, when
            the estimated gap to the optimum is below it.
        max_passes: stop here at the latest; one pass is a forward and a backward pass of one noisy input, and a forward
            pass alone counts one third.
        draws: noisy inputs per sample and step.
        precision: relative standard error wanted of every expected distance.
        distance_tolerance: a sample has converged only if its distance is this near to α, relatively.
    """

    tolerance: float = 0.02
    max_passes: int = 5000
    draws: int = 16
    precision: float = 0.01
    distance_tolerance: float = 0.05

    @property
    def max_draws(self) -> int:
        """Most draws spent on one expected distance, so that these leave most of the passes to the solver."""
        return min(1024, max(128, self.max_passes // 5))

    @property
    def fine(self) -> tuple[float, int]:
        """The precision and the most draws of an expected distance that is reported."""
        return self.precision, self.max_draws

    @property
    def coarse(self) -> tuple[float, int]:
        """The same of one that only guides the search for the scale."""
        return 4 * self.precision, self.max_draws // 4

    @property
    def check(self) -> int:
        """Most draws of the distance that is reported."""
        return max(2 * WITNESSES, min(4096, self.max_passes // 5))

    @property
    def witnesses(self) -> int:
        """Most draws of the correction."""
        return max(WITNESSES, min(1024, self.max_passes // 8)) // GROUPS * GROUPS

    @property
    def looks(self) -> int:
        """Most looks at the scale of σ after a search."""
        return 2 if self.max_passes >= 2 * MIN_PASSES else 1

    @property
    def end(self) -> int:
        """Passes kept for what comes after the search: looks at the scale, correction and check."""
        forwards = (self.looks + 1) * max(32, self.coarse[1]) + 4 * self.witnesses + self.check + SLOPE_DRAWS
        return math.ceil(forwards / 3)

    def reserve(self, looks: int) -> int:
        """Passes kept for the forward passes that find δ_f², scale σ in so many looks, and check the result."""
        forwards = 2 * self.max_draws + (1 + looks) * self.coarse[1]
        return math.ceil(forwards / 3)


@dataclass(frozen=True)
class Estimate:
    """An expected squared feature distance: mean and standard error (each `n`), and the noisy inputs it took (`n`)."""

    mean: torch.Tensor
    se: torch.Tensor
    draws: torch.Tensor


@dataclass(frozen=True)
class Solution:
    """The maximiser's answer for n samples; all tensors have n rows.

    Attributes:
        log_sigma: log σ of the free parameters, `n × planes × rows × columns`.
        distance: E / δ_f² on fresh noise.
        distance_se: its standard error, that of δ_f² included.
        gap: an upper estimate of what is missing to the optimum, nats per input unit; NaN where `correction` is.
        correction: what is to be added to the mean of log σ over the input units for its value at the optimum; NaN
            where the distance is far off its target or the gradient is not E's.
        correction_se: its standard error, with the systematic part.
        shift: log σ at the optimum minus `log_sigma`, to first order; its noise is white, so that it serves for means
            over regions.
        shift_se: its standard error, parameter by parameter, without the systematic part.
        converged: `correction_se` and the distance are within their tolerances.
        passes: forward-and-backward passes used; a forward pass alone counts one third.
        capped_share: share of the input units whose σ is at the cap.
        cap_matters: a cap ten times as large would move the mean by more than the tolerance.
    """

    log_sigma: torch.Tensor
    distance: torch.Tensor
    distance_se: torch.Tensor
    gap: torch.Tensor
    correction: torch.Tensor
    correction_se: torch.Tensor
    shift: torch.Tensor
    shift_se: torch.Tensor
    converged: torch.Tensor
    passes: torch.Tensor
    capped_share: torch.Tensor
    cap_matters: torch.Tensor


def maximise_entropy(
    distance: Distance,
    space: SigmaSpace,
    alpha: float,
    tau: float,
    cap: float,
    seed: int = 0,
    effort: Effort = Effort(),
    start: torch.Tensor | None = None,
) -> Solution:
    """Finds the σ of largest entropy (paper, section 3.1) for every sample of `distance.inputs`, each by itself.

    Args:
        distance: the squared feature distance of noisy inputs and its gradient.
        space: where σ is free.
        alpha: the feature distance to reach, in units of δ_f².
        tau: variance of the small noise that defines δ_f².
        cap: largest σ allowed.
        seed: of all noise.
        effort: when to stop.
        start: log σ of a similar problem, such as the layer before, `n × planes × rows × columns`; uniform by default.

    Raises:
        SampleError: δ_f² is zero (the feature does not react to the input) or not finite.
    """
    return _Solve(distance, space, alpha, tau, math.log(cap), seed, effort, start).solution()


def ascend(
    distance: Distance,
    space: SigmaSpace,
    target: torch.Tensor,
    cap: float,
    start: torch.Tensor,
    seed: int = 0,
    draws: int = 16,
) -> Iterator[Iteration]:
    """Walks towards the optimum, step by step, for ever.

    Args:
        distance, space, cap, seed: as for `maximise_entropy`.
        target: α δ_f², `n`.
        start: log σ, `n × planes × rows × columns`.
        draws: noisy inputs per sample and step; half as many in the first two steps, which come from farthest away.

    Yields:
        The state after every step; the same object, changed.
    """
    state = Iteration.begin(start, space, target, math.log(cap))
    noise = SampleNoise(distance.inputs, seed, "solve")
    rows = torch.arange(len(start), device=start.device)
    while True:
        _step(distance, space, state, noise, rows, draws)
        yield state


def _step(
    distance: Distance, space: SigmaSpace, state: Iteration, noise: SampleNoise, rows: torch.Tensor, draws: int
) -> None:
    """One step of the samples `rows`, which all have taken two steps or none have."""
    if int(state.steps[rows[0]]) < 2:
        draws = max(2, draws // 2)
    slopes, sizes, levels = [], [], []
    for group, _, slope, gradient, level in _draws(distance, space, state.log_sigma, noise, rows, draws):
        sizes.append(_halves(space.gather(gradient.square()) / (level[..., None, None, None] + TINY)))
        slope, level = without_outliers(slope, level, state.passes[group])
        slopes.append(_halves(slope))
        levels.append(level)
    state.step(rows, torch.cat(slopes), torch.cat(sizes), torch.cat(levels))


def check_variation(variation: torch.Tensor) -> None:
    """Raises SampleError unless every δ_f² is positive and finite."""
    if not (finite := variation.isfinite()).all():
        raise SampleError(
            "The feature overflows under small input noise; check the network's weights and input.",
            (~finite).nonzero()[:, 0].tolist(),
            "feature_not_finite",
        )
    if not (reacts := variation > 0).all():
        raise SampleError(
            "The layer's output does not change under small input noise (δ_f² = 0), so nothing can be measured there: "
            "it is constant or does not depend on the input; measure another layer.",
            (~reacts).nonzero()[:, 0].tolist(),
            "feature_constant",
        )


class _Solve:
    """A search, and what is found out about its end; tensors have a row per sample."""

    def __init__(
        self,
        distance: Distance,
        space: SigmaSpace,
        alpha: float,
        tau: float,
        log_cap: float,
        seed: int,
        effort: Effort,
        start: torch.Tensor | None,
    ) -> None:
        self.distance, self.space, self.alpha, self.effort = distance, space, alpha, effort
        self.log_cap, self.seed = log_cap, seed
        inputs = distance.inputs
        self.rows = torch.arange(len(inputs), device=inputs.device)
        self.small = inputs.new_full((len(inputs), *space.shape), math.log(tau) / 2)
        first = SampleNoise(inputs, seed, "solve").draw(self.rows.tolist(), max(2, effort.draws // 2))
        distance.normalise(tau**0.5 * first)
        # Enough to steer by: what is reported are ratios to δ_f² on common noise.
        noise = SampleNoise(inputs, seed, "variation")
        variation = expected_distance(distance, space, self.small, noise, *effort.coarse)
        check_variation(variation.mean)
        self.target = alpha * variation.mean
        # Passes for other things than steps, in forward passes.
        self.forwards = variation.draws + first.shape[1]
        uniform = self.small + 0.5 * math.log(alpha)
        self.state = Iteration.begin(uniform if start is None else start, space, self.target, log_cap)
        self.noise = {name: SampleNoise(inputs, seed, name) for name in ("solve", "correct", "check")}
        # A σ that is always within reach: the small noise itself, where E is δ_f² and thus at most α δ_f².
        self.least = torch.full_like(self.target, math.log(tau) / 2 if alpha >= 1 else -math.inf)
        if start is None:
            self._look_at_uniform(uniform, first, tau)
        self.place = self.state.log_sigma.clone()
        self.witnesses = Witnesses.none(self.place)
        self.false_gradient = torch.zeros_like(self.rows, dtype=torch.bool)

    def _look_at_uniform(self, uniform: torch.Tensor, first: torch.Tensor, tau: float) -> None:
        """The first step; its draws, and the same as small noise, tell the uniform σ that meets the constraint."""
        small = self.distance(self.rows, tau**0.5 * first).mean(1)
        self.forwards = self.forwards + first.shape[1]
        self._steps(self.rows)
        ratio = self.state.level / small
        level = uniform.mean((1, 2, 3)) - (ratio / self.alpha).log() / self.state.power()
        # A power of E that changes on the way makes this inexact far off; what is claimed is no more than is known.
        near = (ratio / self.alpha).log().abs() < 0.5
        self.least = torch.where(near, torch.maximum(self.least, level), self.least)

    def _steps(self, rows: torch.Tensor) -> None:
        _step(self.distance, self.space, self.state, self.noise["solve"], rows, self.effort.draws)

    def spent(self) -> torch.Tensor:
        """Passes of each sample until now, a forward pass counted as a third."""
        return self.state.passes + (self.forwards + 2) // 3

    def search(self, rows: torch.Tensor, fewest: torch.Tensor | None = None) -> None:
        """Steps until the passes `fewest` (`n`), or else until little seems to be left, or the passes end."""
        effort, state = self.effort, self.state

        def unfinished() -> torch.Tensor:
            able = self.spent() + effort.draws + effort.end <= effort.max_passes
            # Where the passes will not do for another round, this one must not end by luck.
            again = self.spent() + state.passes / 3 + 2 * effort.end <= effort.max_passes
            seems_far = SYSTEMATIC * state.left > LEFT * effort.tolerance * torch.where(again, 1.0, 0.5)
            far = (seems_far if fewest is None else state.passes < fewest) | state.growing()
            return ((far & able) | (state.steps < 2))[rows]

        while len(active := rows[unfinished()]):
            self._steps(active)

    def settle(self, rows: torch.Tensor) -> None:
        """Brings what the search has found to the constraint, or the uniform σ where that is better."""
        self.place[rows] = self.state.found(rows)
        self._scale(rows, self.effort.looks)
        found = _mean(self.place, self.space)
        worse = rows[~(found >= self.least - 0.01)[rows]]
        if len(worse):
            self.place[worse] = self.least[worse].clamp(min=float(self.small.flatten()[0]))[:, None, None, None]
            self._scale(worse, 1)
        self.witnesses.forget(rows)

    def _scale(self, rows: torch.Tensor, looks: int) -> None:
        ratio, power = torch.full_like(self.target, self.alpha), self.state.power()
        task = self.distance, self.space, self.place, ratio, self.log_cap, self.seed, self.effort, power, self.small
        scaled, forwards = calibrate(*task, looks, rows, finish=False)
        self.place[rows] = scaled[rows]
        self.forwards = self.forwards + forwards

    def testify(self, rows: torch.Tensor) -> None:
        """Draws at σ until the value at the optimum is known to the tolerance, or more of them would not help."""
        count, effort = WITNESSES, self.effort
        while len(rows):
            task = self.distance, self.space, self.place, self.noise["correct"], rows, count
            for group, unit, slope, _, level in _draws(*task):
                small = self.distance(group, _noise(self.space, self.small, group, unit))
                self._test_slope(group, unit, slope, level)
                self.witnesses.add(group, slope, level, small)
            self.forwards[rows] += 4 * count
            correction, done = self.correction(), self.witnesses.count
            # More draws cannot help where the systematic part is most of the error.
            wanted = (0.5 * correction.systematic).clamp(min=DRAWN * effort.tolerance)
            rows = rows[((correction.gap_se > wanted) & (done < effort.witnesses))[rows]]
            before = int(done[rows].max()) if len(rows) else 0
            count = min(max(WITNESSES, before // 2 // GROUPS * GROUPS), effort.witnesses - before)

    def _test_slope(self, rows: torch.Tensor, unit: torch.Tensor, slope: torch.Tensor, level: torch.Tensor) -> None:
        """Holds Σ g of a sample's first draws against the measured slope of E along the scale of σ."""
        if int(self.witnesses.count[rows[0]]):
            return
        less = self.distance(rows, _noise(self.space, self.place - SLOPE_STEP, rows, unit[:, :SLOPE_DRAWS]))
        self.forwards[rows] += SLOPE_DRAWS
        measured = (level[:, :SLOPE_DRAWS] - less) / SLOPE_STEP
        said = slope[:, :SLOPE_DRAWS].sum((2, 3, 4))
        error = (said - measured).std(1) / SLOPE_DRAWS**0.5
        miss = (said - measured).mean(1).abs()
        allowed = SLOPE_ERROR * measured.mean(1).abs() + SLOPE_STEP * level[:, :SLOPE_DRAWS].mean(1) + 3 * error
        self.false_gradient[rows] = miss > allowed

    def correction(self) -> Correction:
        """What the witnesses say is missing."""
        return self.witnesses.correction(self.space, (self.place < self.log_cap).to(self.place))

    def power(self) -> torch.Tensor:
        """p at the end, kept away from 0."""
        return self.witnesses.power().clamp(0.25, 4)

    def solution(self) -> Solution:
        """Searches and testifies in turns, until what is left can be corrected or the passes are spent."""
        rows, effort, fewest = self.rows, self.effort, None
        for _ in range(ROUNDS):
            self.search(rows, fewest)
            self.settle(rows)
            self.testify(rows)
            excess = self.correction().systematic / (LEFT * effort.tolerance)
            able = self.spent() + 2 * effort.draws + effort.end <= effort.max_passes
            rows = rows[(able & (excess > 1) & ~self.false_gradient)[rows]]
            if not len(rows):
                break
            # Where noise is what keeps it from the optimum, a gap falls more slowly than 1 / passes.
            fewest = self.state.passes * (excess.clamp(min=0) ** 1.5).clamp(1.3, 3)
        return self._checked()

    def _checked(self) -> Solution:
        """Scales σ by what the witnesses have seen, measures its distance on fresh noise, and puts all together."""
        effort, alpha, space = self.effort, self.alpha, self.space
        (seen, seen_se), power = self.witnesses.ratio(), self.power()
        log_sigma = _scaled(self.place, (-(seen / alpha).log() / power).clamp(-0.2, 0.2), self.log_cap)
        low = self.rows[_mean(log_sigma, space) < self.least.clamp(max=float(self.small.flatten()[0]))]
        log_sigma[low] = self.small[low]  # within reach whatever has been seen
        task = self.distance, space, log_sigma, self.noise["check"]
        # Both looks at the distance count by their certainty; by construction the first says that it is α now.
        known = seen_se / alpha / power
        wanted = PLACED * effort.tolerance
        rest = (1 / (1 / wanted**2 - 1 / known.square()).clamp(min=TINY)).sqrt()
        precision = torch.where(known > wanted, rest * power, 1.0).clamp(effort.precision / 4, 2.5 * effort.precision)
        check = expected_distance(*task, precision, effort.check, small=self.small)
        self.forwards = self.forwards + check.draws
        share = seen_se.square() / (seen_se.square() + check.se.square()).clamp(min=TINY)
        off = (share * (check.mean / alpha).log() / power).clamp(-FARTHEST, FARTHEST)
        log_sigma = _scaled(log_sigma, -off, self.log_cap)
        reached = check.mean * (-off * power).exp()
        off_se = (share * check.se).square() + ((1 - share) * seen_se).square()
        correction = self.correction()
        gap, own = correction.gap, correction.gap_se.square() + correction.systematic.square()
        error = (own + off_se / (alpha * power).square()).sqrt()
        miss, sure = (reached / alpha - 1).abs(), 2 * check.se / alpha
        unknown = self.false_gradient | ~(miss - sure <= NO_VALUE)
        least = (self.least - _mean(log_sigma, space)).clamp(min=0)
        upper = torch.maximum(gap.clamp(min=0) + 1.96 * error, least)
        capped = _mean((log_sigma >= self.log_cap - 1e-6).to(log_sigma), space)
        near = miss - sure <= effort.distance_tolerance
        return Solution(
            log_sigma=log_sigma,
            distance=reached,
            distance_se=check.se,
            gap=torch.where(unknown, math.nan, upper),
            correction=torch.where(unknown, math.nan, gap),
            correction_se=torch.where(unknown, math.nan, error),
            shift=correction.shift,
            shift_se=correction.shift_se,
            converged=near & (error <= effort.tolerance) & ~unknown,
            passes=self.spent(),
            capped_share=capped,
            cap_matters=capped * math.log(10) > effort.tolerance,
        )


def _noise(space: SigmaSpace, log_sigma: torch.Tensor, rows: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """z = σ∘δ of the samples `rows`, `r × draws × C × H × W`, from log σ of all and their δ."""
    return space.expand(log_sigma[rows].exp())[:, None] * unit


def _mean(values: torch.Tensor, space: SigmaSpace) -> torch.Tensor:
    """Mean over the input units, `n`, of a value for each parameter."""
    weights = space.weights().to(values)
    return (values * weights).sum((1, 2, 3)) / weights.sum()


def _scaled(log_sigma: torch.Tensor, shift: torch.Tensor, log_cap: float) -> torch.Tensor:
    """Moves log σ by `shift` (`n`); what is at the cap has no value of its own that could be scaled."""
    moved = (log_sigma + shift[:, None, None, None]).clamp(max=log_cap)
    return torch.where(log_sigma >= log_cap, log_sigma, moved)


def expected_distance(
    distance: Distance,
    space: SigmaSpace,
    log_sigma: torch.Tensor,
    noise: SampleNoise,
    precision: float | torch.Tensor,
    max_draws: int,
    rows: torch.Tensor | None = None,
    small: torch.Tensor | None = None,
) -> Estimate:
    """Estimates E(σ) for every sample, or E(σ) / E(small) on common noise.

    The same draws move both distances alike, so that their ratio is known from far fewer of them than either.

    Args:
        log_sigma: `n × planes × rows × columns`.
        noise: where draws come from; the estimate uses its next ones.
        precision: relative standard error at which to stop; one number, or one for every sample.
        max_draws: most noisy inputs per sample.
        rows: the samples to do it for; the others' means are NaN and their draws 0. All by default.
        small: log of another σ, likewise; each draw then takes two noisy inputs.
    """
    n, each = len(log_sigma), 1 if small is None else 2
    most = max_draws // each
    sums = torch.zeros(5, n, dtype=torch.float64, device=log_sigma.device)
    draws = torch.zeros(n, dtype=torch.long, device=log_sigma.device)
    active = torch.arange(n, device=log_sigma.device) if rows is None else rows
    count = 16
    while len(active):
        for group in _groups(active, count, distance.batch_size):
            unit = noise.draw(group.tolist(), count)
            level = distance(group, _noise(space, log_sigma, group, unit))
            base = torch.ones_like(level) if small is None else distance(group, _noise(space, small, group, unit))
            sums[:, group] += moments(level, base)
            draws[group] += count
        mean, se = ratio_of(sums, draws)
        active = active[((se > precision * mean) & (draws < most))[active]]
        done = int(draws[active].max()) if len(active) else 0  # the same for all that are still active
        count = min(max(1, done // 2), 256, most - done)
    return Estimate(mean.to(log_sigma.dtype), se.to(log_sigma.dtype), each * draws)


def _groups(rows: torch.Tensor, draws: int, batch_size: int) -> list[torch.Tensor]:
    """Splits samples so that what is held at once is about one forward pass, not all of them."""
    return list(rows.split(max(1, batch_size // draws)))


def _draws(
    distance: Distance, space: SigmaSpace, log_sigma: torch.Tensor, noise: SampleNoise, rows: torch.Tensor, draws: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Takes `draws` noisy inputs of each of the samples `rows` forward and back, some samples at a time.

    Yields:
        The samples (`r`); δ (`r × draws × C × H × W`); g = ∂L/∂s of each draw (`r × draws × planes × rows × columns`);
        ∂L/∂z (as δ); and L (`r × draws`).
    """
    for group in _groups(rows, draws, distance.batch_size):
        unit = noise.draw(group.tolist(), draws)
        z = _noise(space, log_sigma, group, unit)
        level, gradient = distance.gradient(group, z)
        yield group, unit, space.gather(z * gradient), gradient, level


def _halves(draws: torch.Tensor) -> torch.Tensor:
    """Averages even and odd draws (dimension 1) apart: two independent estimates of the same."""
    return torch.stack([draws[:, ::2].mean(1), draws[:, 1::2].mean(1)], 1)


def calibrate(
    distance: Distance,
    space: SigmaSpace,
    log_sigma: torch.Tensor,
    target: torch.Tensor,
    log_cap: float,
    seed: int,
    effort: Effort,
    power: torch.Tensor | None = None,
    small: torch.Tensor | None = None,
    looks: int = LOOKS,
    rows: torch.Tensor | None = None,
    finish: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales σ by one number per sample so that E(σ) = target: a secant search on few draws, then one step on many.

    Args:
        power: what is known of d log E / d log(scale), `n`; 2 by default.
        small: log of another σ, `n × planes × rows × columns`; then E(σ) / E(small) on common noise is to be `target`.
        looks: most steps of the search.
        rows: the samples to do it for; all by default.
        finish: whether the step on many draws is made.

    Returns:
        The scaled log σ, and the forward passes used per sample.
    """

    def miss(rows: torch.Tensor, wanted: tuple[float, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        noise = SampleNoise(distance.inputs, seed, "scale")
        estimate = expected_distance(distance, space, _scaled(log_sigma, shift, log_cap), noise, *wanted, rows, small)
        return (estimate.mean / target).log(), estimate.se <= effort.precision * estimate.mean, estimate.draws

    every = torch.arange(len(target), device=target.device)
    rows = chosen = every if rows is None else rows
    shift, forwards, precise = torch.zeros_like(target), torch.zeros_like(every), torch.zeros_like(every).bool()
    known = torch.full_like(precise, power is not None)
    power = torch.full_like(target, 2.0) if power is None else power.clone()
    old, old_miss = shift.clone(), torch.full_like(target, math.nan)
    for _ in range(looks):
        new_miss, exact, draws = miss(rows, effort.coarse)
        forwards = forwards + draws
        moved = shift - old
        slope = (new_miss - old_miss) / moved
        # Between a plateau (power near 0) and a cliff: never trust a slope that would throw σ far away.
        slope = torch.where(slope > 0.3, slope, 1.0).clamp(max=6)
        learned = rows[(moved.abs() > 1e-2)[rows]]
        power[learned], known[learned] = slope[learned], True
        old[rows], old_miss[rows] = shift[rows], new_miss[rows]
        shift[rows] -= (new_miss / power)[rows].clamp(-0.5, 0.5)
        size = new_miss[rows].abs()
        near = size < torch.where(known, MISS, SMALL_MISS / 5)[rows]
        precise[rows[near]] = (exact[rows] & (size < SMALL_MISS))[near]
        rows = rows[~near]
        if not len(rows):
            break
    rows = chosen[~precise[chosen]]
    if finish and len(rows):
        fine_miss, _, draws = miss(rows, effort.fine)
        shift[rows] -= (fine_miss / power)[rows].clamp(-0.1, 0.1)
        forwards = forwards + draws
    return _scaled(log_sigma, shift, log_cap), forwards
