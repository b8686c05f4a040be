"""One constrained maximiser of entropy: maximise Σ log σ_i subject to E(σ) = α δ_f² (docs/solver.md derives it).

It knows tensors and callables, nothing of networks, files or command lines. In s = log σ the condition of the optimum
is that g_j = ∂E/∂s_j is the same for every input unit. The Newton step towards it is −(g_j / ḡ − 1) / c with the
curvature c = 1 + ½ min(p, 2), where E grows with the power p of σ: 2 in the linear regime. Its noise is white across
pixels, while the solution is smooth on many scales, so the average Newton target is estimated scale by scale: each
scale is kept as far as its signal stands above its noise (a Wiener filter, both powers measured from two independent
halves of the draws), around a prediction from the gradient's size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from .errors import SampleError
from .iteration import Iteration
from .noise import SampleNoise, SigmaSpace


class Distance(Protocol):
    """What the solver asks of a constraint; `infodiscard.objectives.FeatureDistance` is one."""

    inputs: torch.Tensor
    batch_size: int

    def __call__(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor: ...

    def gradient(self, rows: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


LOOKS = 5
"""Most steps of the search for the scale of σ."""

SMALL_MISS, MISS = 0.1, 0.25
"""Relative distances from the target: the first is mended by one more step, even if the power of E is known to 20 %
only; from the second, one step leads near enough for the last look, on many draws."""

MIN_PASSES = 256
"""Fewer do not suffice for two steps and for the feature distance before and after them."""


@dataclass(frozen=True)
class Effort:
    """How far to go.

    Attributes:
        tolerance: stop when the estimated gap to the optimum is below this, in nats per input unit.
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
        gap: estimated distance to the optimum, nats per input unit.
        converged: gap and distance are within their tolerances.
        passes: forward-and-backward passes used; a forward pass alone counts one third.
        capped_share: share of the input units whose σ is at the cap.
        cap_matters: a cap ten times as large would move the mean by more than the tolerance.
    """

    log_sigma: torch.Tensor
    distance: torch.Tensor
    distance_se: torch.Tensor
    gap: torch.Tensor
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
    inputs = distance.inputs
    small = torch.full((len(inputs), *space.shape), math.log(tau) / 2, dtype=inputs.dtype, device=inputs.device)
    # Enough to steer by: what is reported are ratios to δ_f² on common noise.
    variation = expected_distance(distance, space, small, SampleNoise(inputs, seed, "variation"), *effort.coarse)
    check_variation(variation.mean)
    limit = effort.max_passes - effort.reserve(LOOKS)
    if start is None:
        start = small + 0.5 * math.log(alpha)

    def unfinished(state: Iteration) -> torch.Tensor:
        # Two steps at least: an estimate of the gap from a single one says too little.
        return (state.gap > effort.tolerance) & ((state.passes + effort.draws <= limit) | (state.steps < 2))

    for state in ascend(distance, space, alpha * variation.mean, cap, start, seed, effort.draws, unfinished):  # noqa: B007
        pass
    ratio, power = torch.full_like(variation.mean, alpha), state.power()
    log_sigma, forwards = calibrate(distance, space, state.log_sigma, ratio, math.log(cap), seed, effort, power, small)
    noise = SampleNoise(inputs, seed, "check")
    check = expected_distance(distance, space, log_sigma, noise, *effort.fine, small=small)
    forwards = forwards + variation.draws + check.draws
    return _solution(log_sigma, state, check, forwards, alpha, space, math.log(cap), effort)


def ascend(
    distance: Distance,
    space: SigmaSpace,
    target: torch.Tensor,
    cap: float,
    start: torch.Tensor,
    seed: int = 0,
    draws: int = 16,
    unfinished: Callable[[Iteration], torch.Tensor] | None = None,
) -> Iterator[Iteration]:
    """Walks towards the optimum, step by step.

    Args:
        distance, space, cap, seed: as for `maximise_entropy`.
        target: α δ_f², `n`.
        start: log σ, `n × planes × rows × columns`.
        draws: noisy inputs per sample and step; half as many in the first two steps, which come from farthest away.
        unfinished: says which samples need another step; all, for ever, by default.

    Yields:
        The state after every step; the same object, changed.
    """
    state = Iteration.begin(start, space, target, math.log(cap))
    noise = SampleNoise(distance.inputs, seed, "solve")
    rows = torch.arange(len(start), device=start.device)
    while len(active := rows if unfinished is None else rows[unfinished(state)]):
        count = draws if state.steps >= 2 else max(2, draws // 2)
        state.step(active, *_gradients(distance, space, state.log_sigma, noise, active, count))
        yield state


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


def _solution(
    log_sigma: torch.Tensor,
    state: Iteration,
    check: Estimate,
    forwards: torch.Tensor,
    alpha: float,
    space: SigmaSpace,
    log_cap: float,
    effort: Effort,
) -> Solution:
    """Puts together what was found and how far to trust it."""
    weights = space.weights().to(log_sigma)
    capped = ((log_sigma >= log_cap - 1e-6) * weights).sum((1, 2, 3)) / weights.sum()
    near = (check.mean / alpha - 1).abs() <= effort.distance_tolerance
    return Solution(
        log_sigma=log_sigma,
        distance=check.mean,
        distance_se=check.se,
        gap=state.gap,
        converged=near & (state.gap <= effort.tolerance),
        passes=state.passes + (forwards + 2) // 3,
        capped_share=capped,
        cap_matters=capped * math.log(10) > effort.tolerance,
    )


def expected_distance(
    distance: Distance,
    space: SigmaSpace,
    log_sigma: torch.Tensor,
    noise: SampleNoise,
    precision: float,
    max_draws: int,
    rows: torch.Tensor | None = None,
    small: torch.Tensor | None = None,
) -> Estimate:
    """Estimates E(σ) for every sample, or E(σ) / E(small) on common noise.

    The same draws move both distances alike, so that their ratio is known from far fewer of them than either.

    Args:
        log_sigma: `n × planes × rows × columns`.
        noise: where draws come from; the estimate uses its next ones.
        precision: relative standard error at which to stop.
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
            values = distance(group, space.expand(log_sigma[group].exp())[:, None] * unit).double()
            base = torch.ones_like(values)
            if small is not None:
                base = distance(group, space.expand(small[group].exp())[:, None] * unit).double()
            moments = values, base, values * values, values * base, base * base
            sums[:, group] += torch.stack(moments).sum(2)
            draws[group] += count
        value, base, *squares = sums / draws
        mean = value / base
        residual = squares[0] - 2 * mean * squares[1] + mean.square() * squares[2]
        se = (residual.clamp(min=0) / (draws - 1)).sqrt() / base
        active = active[((se > precision * mean) & (draws < most))[active]]
        done = int(draws[active].max()) if len(active) else 0  # the same for all that are still active
        count = min(max(1, done // 2), 256, most - done)
    return Estimate(mean.to(log_sigma.dtype), se.to(log_sigma.dtype), each * draws)


def _groups(rows: torch.Tensor, draws: int, batch_size: int) -> list[torch.Tensor]:
    """Splits samples so that what is held at once is about one forward pass, not all of them."""
    return list(rows.split(max(1, batch_size // draws)))


def _gradients(
    distance: Distance, space: SigmaSpace, log_sigma: torch.Tensor, noise: SampleNoise, rows: torch.Tensor, draws: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Averages over `draws` noisy inputs of each sample.

    Returns:
        g = ∂L/∂s, averaged over the two halves of the draws apart (`r × 2 × planes × rows × columns`); the squared
        gradient relative to the distance, (∂L/∂z)² / L (likewise in halves); and L (`r × draws`).
    """
    slopes, sizes, distances = [], [], []
    for group in _groups(rows, draws, distance.batch_size):
        z = space.expand(log_sigma[group].exp())[:, None] * noise.draw(group.tolist(), draws)
        values, gradient = distance.gradient(group, z)
        slope = space.gather(z * gradient)
        slopes.append(_halves(slope))
        sizes.append(_halves(space.gather(gradient.square()) / (values[..., None, None, None] + 1e-30)))
        distances.append(values)
    return torch.cat(slopes), torch.cat(sizes), torch.cat(distances)


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
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales σ by one number per sample so that E(σ) = target: a secant search on few draws, then one step on many.

    Args:
        power: what is known of d log E / d log(scale), `n`; 2 by default.
        small: log of another σ, `n × planes × rows × columns`; then E(σ) / E(small) on common noise is to be `target`.
        looks: most steps of the search.

    Returns:
        The scaled log σ, and the forward passes used per sample.
    """

    def scaled(shift: torch.Tensor) -> torch.Tensor:
        # What is at the cap has no value of its own that could be scaled.
        moved = (log_sigma + shift[:, None, None, None]).clamp(max=log_cap)
        return torch.where(log_sigma >= log_cap, log_sigma, moved)

    def miss(rows: torch.Tensor, wanted: tuple[float, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        noise = SampleNoise(distance.inputs, seed, "scale")
        estimate = expected_distance(distance, space, scaled(shift), noise, *wanted, rows, small)
        return (estimate.mean / target).log(), estimate.se <= effort.precision * estimate.mean, estimate.draws

    rows = torch.arange(len(target), device=target.device)
    shift, forwards, precise = torch.zeros_like(target), torch.zeros_like(rows), torch.zeros_like(rows).bool()
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
    rows = torch.nonzero(~precise)[:, 0]
    if len(rows):
        fine_miss, _, draws = miss(rows, effort.fine)
        shift[rows] -= (fine_miss / power)[rows].clamp(-0.1, 0.1)
        forwards = forwards + draws
    return scaled(shift), forwards
