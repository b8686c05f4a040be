"""One constrained maximiser of entropy: maximise Σ log σ_i subject to E(σ) = α δ_f² (docs/solver.md derives it).

It knows tensors and callables, nothing of networks, files or command lines. In s = log σ the condition of the optimum
is that g_j = ∂E/∂s_j is the same for every input unit. The Newton step towards it is −½ (g_j / ḡ − 1), since near the
optimum ∂²/∂s_j² ≈ 2 λ. Its noise is white across pixels, while the solution is smooth on many scales, so the average
Newton target is estimated scale by scale: each scale is kept as far as its signal stands above its noise (a Wiener
filter, both powers measured from two independent halves of the draws), around a prediction from the gradient's size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch

from .errors import InfodiscardError
from .noise import SampleNoise, SigmaSpace


class Distance(Protocol):
    """What the solver asks of a constraint; `infodiscard.objectives.FeatureDistance` is one."""

    inputs: torch.Tensor
    batch_size: int

    def __call__(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor: ...

    def gradient(self, rows: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]: ...


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
    precision: float = 0.005
    distance_tolerance: float = 0.05

    @property
    def max_draws(self) -> int:
        """Most draws spent on one expected distance, so that these leave most of the passes to the solver."""
        return min(1024, max(128, self.max_passes // 5))

    @property
    def fine(self) -> tuple[float, int]:
        """The precision and the most draws of an expected distance that is reported."""
        return self.precision, self.max_draws

    def reserve(self, draws: torch.Tensor) -> torch.Tensor:
        """Passes to keep for scaling and checking the solution, where δ_f² took `draws` draws: 1 + 3 × ¼ + 1 + 1 times
        as many forward passes, itself included."""
        return (3.75 * draws / 3).ceil().long()


@dataclass(frozen=True)
class Estimate:
    """An expected squared feature distance: mean and standard error (each `n`), and the draws per sample it took."""

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
    """Solves METHOD section 2 for every sample of `distance.inputs`, each independently of the others.

    Args:
        distance: the squared feature distance of noisy inputs and its gradient.
        space: where σ is free.
        alpha: the feature distance to reach, in units of δ_f².
        tau: variance of the small noise that defines δ_f².
        cap: largest σ allowed.
        seed: of all noise.
        effort: when to stop.
        start: log σ to start from (shape as in `Solution`); uniform by default.

    Raises:
        InfodiscardError: δ_f² is zero (the feature does not react to the input) or not finite.
    """
    inputs = distance.inputs
    rows = torch.arange(len(inputs), device=inputs.device)
    uniform = torch.full((len(inputs), *space.shape), math.log(tau) / 2, dtype=inputs.dtype, device=inputs.device)
    variation = expected_distance(distance, space, uniform, SampleNoise(inputs, seed, "variation"), *effort.fine)
    _check_variation(variation)
    target = alpha * variation.mean
    state = _State.begin((uniform + 0.5 * math.log(alpha)) if start is None else start, space, target, math.log(cap))
    noise, limit = SampleNoise(inputs, seed, "solve"), effort.max_passes - effort.reserve(variation.draws)
    while True:
        # Two steps at least: the first has no trend, and so no gap.
        active = rows[(state.gap > effort.tolerance) & ((state.passes + effort.draws <= limit) | (state.steps < 2))]
        if not len(active):
            break
        gradients = _gradients(distance, space, state.log_sigma, noise, active, effort.draws)
        state.step(active, *gradients, effort.draws)
    log_sigma, forwards = _calibrate(distance, space, state.log_sigma, target, math.log(cap), seed, effort)
    check = expected_distance(distance, space, log_sigma, SampleNoise(inputs, seed, "check"), *effort.fine)
    forwards = forwards + variation.draws + check.draws
    return _solution(log_sigma, state, check, variation, forwards, alpha, space, math.log(cap), effort)


def _check_variation(variation: Estimate) -> None:
    """Raises InfodiscardError unless δ_f² is positive and finite for every sample."""
    if not variation.mean.isfinite().all():
        raise InfodiscardError("The feature overflows under small input noise; check the network's weights and input.")
    if not (variation.mean > 0).all():
        raise InfodiscardError(
            "The layer's output does not change under small input noise (δ_f² = 0), so nothing can be measured there: "
            "it is constant or does not depend on the input; measure another layer."
        )


def _solution(
    log_sigma: torch.Tensor,
    state: _State,
    check: Estimate,
    variation: Estimate,
    forwards: torch.Tensor,
    alpha: float,
    space: SigmaSpace,
    log_cap: float,
    effort: Effort,
) -> Solution:
    """Puts together what was found and how far to trust it."""
    reached = check.mean / variation.mean
    relative = ((check.se / check.mean).square() + (variation.se / variation.mean).square()).sqrt()
    weights = space.weights().to(log_sigma)
    capped = ((log_sigma >= log_cap - 1e-6) * weights).sum((1, 2, 3)) / weights.sum()
    near = (reached / alpha - 1).abs() <= effort.distance_tolerance
    return Solution(
        log_sigma=log_sigma,
        distance=reached,
        distance_se=reached * relative,
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
) -> Estimate:
    """Estimates E(σ) for every sample.

    Args:
        log_sigma: `n × planes × rows × columns`.
        noise: where draws come from; the estimate uses its next ones.
        precision: relative standard error at which to stop.
        max_draws: most draws per sample.
    """
    n = len(log_sigma)
    total, squares, draws = (torch.zeros(n, dtype=torch.float64, device=log_sigma.device) for _ in range(3))
    active, count = torch.arange(n, device=log_sigma.device), 32
    while len(active):
        for group in _groups(active, count, distance.batch_size):
            z = space.expand(log_sigma[group].exp())[:, None] * noise.draw(group.tolist(), count)
            values = distance(group, z).double()
            total[group] += values.sum(1)
            squares[group] += values.square().sum(1)
            draws[group] += count
        mean = total / draws
        se = ((squares / draws - mean.square()).clamp(min=0) / (draws - 1)).sqrt()
        active = active[((se > precision * mean) & (draws < max_draws))[active]]
        count = int(min(draws[active].max().item(), 256)) if len(active) else 0
    return Estimate(mean.to(log_sigma.dtype), se.to(log_sigma.dtype), draws.long())


def _groups(rows: torch.Tensor, draws: int, batch_size: int) -> list[torch.Tensor]:
    """Splits samples so that what is held at once is about one forward pass, not all of them."""
    return list(rows.split(max(1, batch_size // draws)))


def _gradients(
    distance: Distance, space: SigmaSpace, log_sigma: torch.Tensor, noise: SampleNoise, rows: torch.Tensor, draws: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Averages over `draws` noisy inputs of each sample.

    Returns:
        g = ∂L/∂s, averaged over the two halves of the draws apart (`r × 2 × planes × rows × columns`); the squared
        gradient relative to the distance, (∂L/∂z)² / L (likewise in halves); and L (`r`).
    """
    slopes, sizes, distances = [], [], []
    for group in _groups(rows, draws, distance.batch_size):
        z = space.expand(log_sigma[group].exp())[:, None] * noise.draw(group.tolist(), draws)
        values, gradient = distance.gradient(group, z)
        slope = space.gather(z * gradient)
        slopes.append(_halves(slope))
        sizes.append(_halves(space.gather(gradient.square()) / (values[..., None, None, None] + 1e-30)))
        distances.append(values.mean(1))
    return torch.cat(slopes), torch.cat(sizes), torch.cat(distances)


def _halves(draws: torch.Tensor) -> torch.Tensor:
    """Averages even and odd draws (dimension 1) apart: two independent estimates of the same."""
    return torch.stack([draws[:, ::2].mean(1), draws[:, 1::2].mean(1)], 1)


def _calibrate(
    distance: Distance,
    space: SigmaSpace,
    log_sigma: torch.Tensor,
    target: torch.Tensor,
    log_cap: float,
    seed: int,
    effort: Effort,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales σ by one number per sample so that E(σ) = target: a secant search on few draws, then one step on many.

    Returns:
        The scaled log σ, and the forward passes used per sample.
    """

    def miss(shift: torch.Tensor, precision: float, max_draws: int) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = (log_sigma + shift[:, None, None, None]).clamp(max=log_cap)
        noise = SampleNoise(distance.inputs, seed, "scale")
        estimate = expected_distance(distance, space, scaled, noise, precision, max_draws)
        return (estimate.mean / target).log(), estimate.draws

    old = torch.zeros_like(target)
    coarse = (4 * effort.precision, effort.max_draws // 4)
    old_miss, forwards = miss(old, *coarse)
    new, power = old - (old_miss / 2).clamp(-0.5, 0.5), torch.full_like(old, 2.0)
    for _ in range(8):
        new_miss, draws = miss(new, *coarse)
        forwards = forwards + draws
        moved = new - old
        known = moved.abs() > 1e-4
        power = torch.where(known, (new_miss - old_miss) / torch.where(known, moved, 1.0), power)
        # Between a plateau (power near 0) and a cliff: never trust a slope that would throw σ far away.
        power = torch.where(power > 0.3, power, 1.0).clamp(max=6)
        old, old_miss = new, new_miss
        new = new - (new_miss / power).clamp(-0.5, 0.5)
        if (new_miss.abs() < 0.02).all():
            break
    fine_miss, draws = miss(new, *effort.fine)
    new = new - (fine_miss / power).clamp(-0.1, 0.1)
    return (log_sigma + new[:, None, None, None]).clamp(max=log_cap), forwards + draws


class Scales:
    """Splits maps into details of growing scale, by repeated smoothing with the B3 spline (an à-trous wavelet).

    Translation-invariant, so that what is filtered shows no blocks; reflecting at the border.

    Args:
        like: a tensor `… × planes × rows × columns` of the maps to split.
    """

    def __init__(self, like: torch.Tensor) -> None:
        self._planes = like.shape[-3]
        rows, columns = like.shape[-2:]
        count = max(1, int(math.log2(max(2, min(rows, columns)))) - 1)
        self._rows = _smoothers(rows, count, like)
        self._columns = _smoothers(columns, count, like)

    def split(self, maps: torch.Tensor) -> list[torch.Tensor]:
        """Returns details from fine to coarse; their sum is `maps` minus its mean."""
        details = []
        current = maps
        if self._planes > 1:
            current = maps.mean(-3, keepdim=True).expand_as(maps)
            details.append(maps - current)
        for rows, columns in zip(self._rows, self._columns, strict=True):
            smooth = rows @ maps @ columns.T
            if self._planes > 1:
                smooth = smooth.mean(-3, keepdim=True).expand_as(maps)
            details.append(current - smooth)
            current = smooth
        details.append(current - maps.mean((-3, -2, -1), keepdim=True))
        return details


def _smoothers(size: int, count: int, like: torch.Tensor) -> list[torch.Tensor]:
    """Returns the matrices that smooth a line of `size` values up to each scale."""
    result, whole = [], torch.eye(size, dtype=like.dtype, device=like.device)
    position = torch.arange(size, device=like.device)
    for level in range(count):
        step = torch.zeros_like(whole)
        for offset, weight in zip((-2, -1, 0, 1, 2), (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), strict=True):
            source = (position + offset * 2**level) % (2 * size)
            source = torch.where(source >= size, 2 * size - 1 - source, source)
            step.index_put_((position, source), torch.tensor(weight).to(like), accumulate=True)
        whole = step @ whole
        result.append(whole)
    return result


MEMORY = 2.0
"""Iterates are averaged with weights that grow as the step number to this power, so that early ones are forgotten."""

TREND = (1.0, 5.0)
"""The same for the two averages of the entropy whose difference is its trend."""


def _mean(values: torch.Tensor) -> torch.Tensor:
    """Mean over a map's parameters, kept as dimensions of size one."""
    return values.mean((-3, -2, -1), keepdim=True)


def _live_mean(values: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
    """The same over the parameters where `live` is 1."""
    return (values * live).sum((-3, -2, -1), keepdim=True) / live.sum((-3, -2, -1), keepdim=True).clamp(min=1)


def _rate(step: int, memory: float) -> float:
    """The weight of the newest of `step` values in an average with weights step ** memory (1 for the first)."""
    return (memory + 1) / (step + memory)


@dataclass
class _State:
    """The iteration's memory; every tensor has a row per sample (and two halves in `slope`)."""

    log_sigma: torch.Tensor
    slope: torch.Tensor  # running average of g, in two halves
    size: torch.Tensor  # running average of (∂L/∂z)² / L, in two halves
    place: torch.Tensor  # running average of the iterates
    level: torch.Tensor  # running average of L
    trend: list[torch.Tensor]  # running averages of the entropy at the target distance
    gap: torch.Tensor
    passes: torch.Tensor
    target: torch.Tensor
    weights: torch.Tensor
    log_cap: float
    scales: Scales
    steps: int = 0

    @classmethod
    def begin(cls, start: torch.Tensor, space: SigmaSpace, target: torch.Tensor, log_cap: float) -> _State:
        """The state before the first step."""
        none = torch.zeros_like(target)
        return cls(
            log_sigma=start.clamp(max=log_cap),
            slope=torch.zeros_like(torch.stack([start, start], 1)),
            size=torch.zeros_like(torch.stack([start, start], 1)),
            place=torch.zeros_like(start),
            level=none.clone(),
            trend=[none.clone(), none.clone()],
            gap=torch.full_like(target, math.inf),
            passes=torch.zeros(len(start), dtype=torch.long, device=start.device),
            target=target,
            weights=space.weights().to(start),
            log_cap=log_cap,
            scales=Scales(start),
        )

    def step(
        self, rows: torch.Tensor, slope: torch.Tensor, size: torch.Tensor, level: torch.Tensor, draws: int
    ) -> None:
        """One step of the samples `rows`, from what `_gradients` returned for them."""
        self.steps += 1
        rate = _rate(self.steps, MEMORY)
        now = self.log_sigma[rows]
        averages = ((self.slope, slope), (self.size, size), (self.place, now), (self.level, level))
        for average, value in averages:
            average[rows] += rate * (value - average[rows])
        self.passes[rows] += draws

        live = (self.size[rows].sum(1) > 0).to(now)
        power = self._power(rows)
        targets = self._newton_targets(rows, live, power)
        shape, variance = _filtered(targets, self._predictions(rows, live), self.scales)
        miss = (level / self.target[rows]).log()
        correction = max(1 / self.steps, 0.05) * (miss / 2).clamp(-0.5, 0.5)
        wanted = shape - _live_mean(shape, live) + _live_mean(now, live) - correction[:, None, None, None]
        moved = now + (wanted - now).clamp(-1.5, 1.5)
        # What no draw has ever reacted to is ignored altogether: its σ is unbounded.
        self.log_sigma[rows] = torch.where(live > 0, moved, self.log_cap).clamp(max=self.log_cap)
        self._estimate_gap(rows, now.mean((1, 2, 3)) - miss / power, variance)

    def _power(self, rows: torch.Tensor) -> torch.Tensor:
        """d log E / d log(scale of σ): 2 in the linear regime, less where E saturates; kept away from 0."""
        total = self.slope[rows].mean(1).sum((1, 2, 3))
        return (total / self.level[rows]).clamp(0.25, 4)

    def _newton_targets(self, rows: torch.Tensor, live: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        """s − ½ (g / ḡ − 1), averaged over the past, from either half of the draws: `r × 2 × planes × rows × columns`."""
        free = live * (self.log_sigma[rows] < self.log_cap)
        expected = (power * self.level[rows])[:, None, None, None] / (free * self.weights).sum(
            (1, 2, 3), keepdim=True
        ).clamp(min=1)
        ratio = self.slope[rows] / (expected * self.weights)[:, None]
        targets = (self.place[rows][:, None] - STEP(power) * (ratio - 1)).clamp(max=self.log_cap + 0.5)
        # Dead pixels must not spread into their neighbourhood: for the filter they are average ones.
        return torch.where(live[:, None] > 0, targets, _live_mean(targets, live[:, None]))

    def _predictions(self, rows: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
        """What the gradient's size alone says of log σ, −½ log E[(∂L/∂z)² / L] (exact in the linear regime), in halves."""
        size, live = self.size[rows] / self.weights, live[:, None]
        predicted = -0.5 * torch.maximum(size, 1e-4 * _mean(size) + 1e-30).log()
        return torch.where(live > 0, predicted, _live_mean(predicted, live))

    def _estimate_gap(self, rows: torch.Tensor, entropy: torch.Tensor, variance: torch.Tensor) -> None:
        """Estimates how far the entropy is from its optimum: what noise is left in s, and what the trend still promises.

        With errors that shrink as 1 / passes, the trend dH / d log(passes) is the gap itself.
        """
        for average, memory in zip(self.trend, TREND, strict=True):
            average[rows] += _rate(self.steps, memory) * (entropy - average[rows])
        old, new = (average[rows] for average in self.trend)
        ages = [1 / (memory + 1) for memory in TREND]
        trend = (new - old).clamp(min=0) / (ages[0] - ages[1])
        self.gap[rows] = variance + trend if self.steps > 1 else math.inf


def _filtered(targets: torch.Tensor, predictions: torch.Tensor, scales: Scales) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates the shape of log σ from two noisy copies of it and two of a prediction.

    On every scale, the difference of two copies gives the power of their noise and their product the power of what they
    share. The prediction is kept as far as it stands above its own noise, and the targets' deviation from it likewise.

    Args:
        targets: `r × 2 × planes × rows × columns`.
        predictions: the same; right up to a factor, which is fitted, and a deviation of its own.

    Returns:
        The estimate (mean zero, `r × planes × rows × columns`) and its expected squared error per parameter (`r`).
    """
    parts = list(zip(scales.split(targets), scales.split(predictions), strict=True))
    powers = [(_powers(target), _powers(prediction)) for target, prediction in parts]
    factor = _fit(parts, powers)
    shape = torch.zeros_like(targets[:, 0])
    error = torch.zeros(len(targets), dtype=targets.dtype, device=targets.device)
    for (target, prediction), ((_, noise), (known, blur)) in zip(parts, powers, strict=True):
        trust = factor * known / (known + blur + 1e-12)
        base = trust * prediction.mean(1)
        # Crosswise, so that no draw meets itself: what is left is the prediction's systematic error alone.
        crossed = (target - trust[:, None] * prediction.flip(1)).prod(1)
        deviation = _mean(crossed).clamp(0, 0.5)
        keep = deviation / (deviation + noise + 1e-12)
        shape += base + keep * (target.mean(1) - base)
        error += (keep * noise + (1 - keep).square() * trust.square() * blur)[:, 0, 0, 0]
    return shape, error


def _powers(halves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the power of what two noisy copies share, and the power of the noise in their mean."""
    shared = _mean(halves.prod(1)).clamp(min=0)
    return shared, _mean((halves[:, 0] - halves[:, 1]).square()) / 4


def _fit(
    parts: list[tuple[torch.Tensor, torch.Tensor]],
    powers: list[tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]],
) -> torch.Tensor:
    """Returns the factor of the prediction that fits the targets best, near 1 unless they say otherwise."""
    above = below = torch.full_like(powers[0][0][0], 0.05)
    for (target, prediction), ((signal, noise), (known, _)) in zip(parts, powers, strict=True):
        weight = 1 / (noise + signal / 2 + 1e-4)
        above = above + weight * _mean((target * prediction.flip(1)).mean(1))
        below = below + weight * known
    return (above / below).clamp(0.5, 2)
