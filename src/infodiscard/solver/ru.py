"""Reconstruction uncertainty: maximise Σ ½ log E e_i² subject to E(σ) = α δ_f² (paper, section 3.2).

e = x − g(h(x + z)) is what a decoder g misses when the noise z = σ ∘ δ is added. In s = log σ the gradient of the
Lagrangian is h_j − λ g_j with h_j = E[z_j (Jᵀ (w ∘ (x̂ − x)))_j], w_i = 1 / E e_i², and g_j = ∂E/∂s_j. It is divided by
σ_j² E[(Jᵀ (v ∘ √w))_j²] with random signs v: what h_j would be if the decoder were linear, and always positive. So the
step is a multiplicative one in q = σ², the noise of the two unbiased estimates enters linearly, and the average of q
over the steps is the answer (docs/reconstruction.md derives it and says how the gap is estimated).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .entropy import gaussian_entropy
from .feature_distance import FeatureDistance
from .sample_noise import SampleNoise
from .sid import Effort, calibrate, check_variation, expected_distance
from .sigma_space import SigmaSpace

DRAWS = 8
"""Noisy inputs per sample and step."""

RATE, DECAY = 0.6, 0.25
"""The first step, and the power of their number with which steps fall."""

DAMPING = 0.1
"""What is added to the size of the step's divisor, in units of its mean: a small σ is not moved by its noise alone."""

LONGEST = 1.0
"""Most that one step may change log q by."""

MEMORY = 2.0
"""Steps are averaged with weights that grow as their number to this power, …"""

SHORTEST = 0.05
"""… and the newest has at least this weight, since the weights w change on the way."""

LEAST = 0.02
"""A parameter with less than this share of what the others cost is left out: its noise dominates no pixel's error."""

MISSING = 1.5
"""What is still missing, in units of what the last doubling of the steps has brought: 1 if the gap falls as 1 / steps,
2.4 if it falls with their square root."""

CAUTION = 1.0
"""Standard errors that are added to the gap's estimate."""

JUDGED = 192
"""Noisy inputs from which the entropy that is reported is computed."""

LOOKS = 3
"""Looks on few draws at how far E is from its target, before the one on many: the walk ends near it."""

MIN_STEPS = 8
"""Steps that are always made; half of them come before the first look back."""

TINY = 1e-30


class ReconstructionError(FeatureDistance):
    """The feature distance, and beside it e² = (x − g(h(x + z)))² of each input unit.

    Args:
        feature: h, as for `FeatureDistance`.
        decoder: g, from features to inputs `batch × C × H × W`; differentiable, one sample independent of the others.
        inputs: x, `n × C × H × W`.
        batch_size: as for `FeatureDistance`; but on a CPU by default one sample's draws of a step. The walk is chaotic:
            a rounding that moves one unit across its ReLU's kink leads to another σ of the same worth. With passes of
            one sample alone it meets the same roundings whatever the block that it is in.
        beside: as for `FeatureDistance`.
    """

    def __init__(
        self,
        feature: Callable[..., torch.Tensor],
        decoder: Callable[[torch.Tensor], torch.Tensor],
        inputs: torch.Tensor,
        batch_size: int | None = None,
        beside: Sequence[torch.Tensor] = (),
    ) -> None:
        super().__init__(feature, inputs, batch_size or (DRAWS if inputs.device.type == "cpu" else None), beside)
        ones = [slice(i, i + 1) for i in range(len(inputs))]
        with torch.no_grad():
            self._clean = torch.cat([self._flat(inputs[one], one) for one in ones])
        self._decoder = decoder

    def restored(self) -> torch.Tensor:
        """Returns g(h(x)) of each sample, without noise: `n × C × H × W`."""
        with torch.no_grad():
            (whole,) = self._in_passes(
                len(self.inputs), lambda part: (self._decoder(self._feature(self.inputs[part], part)),)
            )
        return whole

    def errors(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Returns e² of each draw, `r × draws × C × H × W`; arguments as for a call."""
        with torch.no_grad():
            return self._batched(rows, noise, self._errors)[0]

    def slopes(
        self, rows: torch.Tensor, noise: torch.Tensor, weights: torch.Tensor, signs: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Returns L (`r × draws`), e², ∂L/∂z, Jᵀ (w ∘ (x̂ − x)) and Jᵀ (v ∘ √w) (each `r × draws × C × H × W`).

        Args:
            rows: which samples, `r`.
            noise: z, `r × draws × C × H × W`.
            weights: w, `r × C × H × W`.
            signs: v, as `noise`.
        """
        scaled = (signs * weights.sqrt()[:, None]).flatten(0, 1)
        repeated = weights.repeat_interleave(noise.shape[1], 0)
        flat, owner = noise.flatten(0, 1), rows.repeat_interleave(noise.shape[1])
        whole = self._in_passes(
            len(flat), lambda part: self._slopes(owner[part], flat[part], repeated[part], scaled[part])
        )
        return tuple(item.unflatten(0, noise.shape[:2]) for item in whole)

    def _errors(self, owner: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        clean = self.inputs[owner]
        return ((self._decoder(self._feature(clean + noise, owner)) - clean).square(),)

    def _slopes(
        self, owner: torch.Tensor, noise: torch.Tensor, weights: torch.Tensor, scaled: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        clean = self.inputs[owner]
        noisy = (clean + noise).requires_grad_()
        feature = self._feature(noisy, owner)
        flat, restored = feature.unsqueeze(-1).flatten(1), self._decoder(feature)
        difference, error = flat.detach() - self._clean[owner], restored.detach() - clean
        (constraint,) = torch.autograd.grad(flat, noisy, 2 * difference, retain_graph=True)
        (gain,) = torch.autograd.grad(restored, noisy, weights * error, retain_graph=True)
        (size,) = torch.autograd.grad(restored, noisy, scaled)
        return difference.square().sum(1), error.square(), constraint, gain, size


@dataclass(frozen=True)
class Reconstruction:
    """The answer for n samples; all tensors have n rows.

    Attributes:
        log_sigma: log σ of the free parameters, `n × planes × rows × columns`.
        entropy: ½ log E e² + ½ log 2πe of each input unit on fresh noise, `n × C × H × W`.
        floor: the same without noise: the decoder's own error.
        distance: E / δ_f² on fresh noise.
        distance_se: its standard error, that of δ_f² included.
        gap: estimated distance to what a long walk finds, nats per input unit.
        converged: gap and distance are within their tolerances.
        passes: noisy inputs that went forward and backward; a forward pass alone counts one third.
    """

    log_sigma: torch.Tensor
    entropy: torch.Tensor
    floor: torch.Tensor
    distance: torch.Tensor
    distance_se: torch.Tensor
    gap: torch.Tensor
    converged: torch.Tensor
    passes: torch.Tensor


def maximise_reconstruction_error(
    error: ReconstructionError,
    space: SigmaSpace,
    alpha: float,
    tau: float,
    cap: float,
    seed: int = 0,
    effort: Effort = Effort(max_passes=1600),
) -> Reconstruction:
    """Finds the σ under which the decoder errs most, for every sample of `error.inputs`, each by itself.

    Args:
        error: the feature distance, the decoder's error and their gradients.
        space, alpha, tau, cap, seed: as for `maximise_entropy`.
        effort: when to stop; its `draws` are not asked for.

    Raises:
        SampleError: δ_f² is zero (the feature does not react to the input) or not finite.
    """
    inputs, log_cap = error.inputs, math.log(cap)
    small = torch.full((len(inputs), *space.shape), math.log(tau) / 2, dtype=inputs.dtype, device=inputs.device)
    # Enough to steer by: what is reported are ratios to δ_f² on common noise.
    variation = expected_distance(error, space, small, SampleNoise(inputs, seed, "variation"), *effort.coarse)
    check_variation(variation.mean)
    reserve = effort.reserve(LOOKS) + JUDGED // 3
    steps = max(MIN_STEPS, (effort.max_passes - reserve) // DRAWS)
    start, target = small + 0.5 * math.log(alpha), alpha * variation.mean
    walk = _walk(error, space, start, target, log_cap, seed, steps, effort.tolerance)
    ratio, power = torch.full_like(target, alpha), walk.power()
    end = walk.solution(log_cap)
    log_sigma, forwards = calibrate(error, space, end, ratio, log_cap, seed, effort, power, small, LOOKS)
    noise = SampleNoise(inputs, seed, "check")
    check = expected_distance(error, space, log_sigma, noise, *effort.fine, small=small)
    squares = expected_errors(error, space, log_sigma, SampleNoise(inputs, seed, "judge"), JUDGED)
    forwards = forwards + variation.draws + check.draws + JUDGED
    near = (check.mean / alpha - 1).abs() <= effort.distance_tolerance
    return Reconstruction(
        log_sigma=log_sigma,
        entropy=gaussian_entropy(squares.clamp(min=TINY).sqrt()),
        floor=gaussian_entropy((error.restored() - inputs).square().clamp(min=TINY).sqrt()),
        distance=check.mean,
        distance_se=check.se,
        gap=walk.gap,
        converged=near & (walk.gap <= effort.tolerance),
        passes=walk.steps * DRAWS + (forwards + 2) // 3,
    )


class _Walk:
    """A walk towards the optimum; every tensor has a row per sample."""

    def __init__(self, start: torch.Tensor, inputs: torch.Tensor, target: torch.Tensor) -> None:
        none, whole = torch.zeros_like(target), torch.zeros_like(start)
        self.log_sigma = start.clone()
        self.target = target
        self.variance = whole.clone()  # average of q
        self.squares = torch.zeros_like(inputs)  # average of e²
        self.size = whole.clone()  # average of (Jᵀ (v ∘ √w))²
        self.share = whole.clone()  # average of (∂L/∂z)² / L
        self.gain, self.cost = none.clone(), none.clone()  # averages of Σ_j h_j and Σ_j g_j
        self.level = none.clone()  # average of L
        self.gap = torch.full_like(target, math.inf)
        self.steps = torch.zeros(len(start), dtype=torch.long, device=start.device)
        self.stretch, self.before = _Stretch.empty(inputs), torch.full((2, len(start)), math.nan).to(start)

    def step(
        self,
        rows: torch.Tensor,
        number: int,
        level: torch.Tensor,
        errors: torch.Tensor,
        h: torch.Tensor,
        g: torch.Tensor,
        size: torch.Tensor,
        share: torch.Tensor,
        log_cap: float,
    ) -> None:
        """One step of the samples `rows`, from the means over its draws: L, e², h, g, and what sizes the step."""
        self.steps[rows] += 1
        self.stretch.add(rows, level, errors, self.squares[rows], _sum(h), _sum(g))
        rate = max((MEMORY + 1) / (number + MEMORY), SHORTEST)
        pairs = (
            (self.squares, errors),
            (self.size, size),
            (self.share, share),
            (self.gain, _sum(h)),
            (self.cost, _sum(g)),
            (self.level, level),
        )
        for average, value in pairs:
            average[rows] += rate * (value - average[rows])
        now, variance = self.log_sigma[rows], (2 * self.log_sigma[rows]).exp()
        price = (self.gain / self.cost)[rows]
        linear = variance * self.size[rows]
        # A decoder that saturates gains less than a linear one would: what it gains in all sets the unit of a step.
        linear = linear * _wide((self.gain[rows] / (_sum(linear) + TINY)).clamp(0.2, 1))
        slope = (h - _wide(price) * g) / (linear + DAMPING * linear.mean((1, 2, 3), keepdim=True) + TINY)
        moved = now + (RATE / number**DECAY * slope).clamp(-LONGEST, LONGEST) / 2
        # The step alone should leave E as it is; what it misses, and missed before, is made up for slowly.
        grown = _sum(self.share[rows] * (2 * moved).exp()) / _sum(self.share[rows] * variance)
        miss = (level / self.target[rows]).log().clamp(-1, 1) * max(1 / number, 0.05)
        self.log_sigma[rows] = (moved - _wide(grown.log() + miss) / 2).clamp(max=log_cap)
        self.variance[rows] += (
            (MEMORY + 1) / (number + MEMORY) * ((2 * self.log_sigma[rows]).exp() - self.variance[rows])
        )

    def power(self) -> torch.Tensor:
        """d log E / d log(scale of σ), `n`; kept away from 0."""
        return (self.cost / self.level).clamp(0.25, 4)

    def look_back(self, rows: torch.Tensor) -> None:
        """Estimates the gap from what this stretch of the walk has brought over the one before, half as long."""
        worth, se = self.stretch.worth(self.target)
        more = (worth - self.before[0]).clamp(min=0) + CAUTION * (se.square() + self.before[1].square()).sqrt()
        known = rows[more[rows].isfinite()]
        self.gap[known] = MISSING * more[known]
        self.before = torch.stack([worth, se])
        self.stretch = _Stretch.empty(self.squares)

    def solution(self, log_cap: float) -> torch.Tensor:
        """log σ of the average of q, without what costs and brings next to nothing."""
        cost = self.share * self.variance
        usual = cost.square().sum((1, 2, 3), keepdim=True) / _wide(_sum(cost) + TINY)
        log_sigma = 0.5 * (self.variance + TINY).log()
        return torch.where(cost < LEAST * usual, 0.5 * math.log(TINY), log_sigma).clamp(max=log_cap)


@dataclass
class _Stretch:
    """Sums over some steps: of e², L, Σ_j h_j, Σ_j g_j, and of the steps' worths and their squares for their error."""

    errors: torch.Tensor
    level: torch.Tensor
    gain: torch.Tensor
    cost: torch.Tensor
    worths: torch.Tensor
    squares: torch.Tensor
    count: torch.Tensor

    @classmethod
    def empty(cls, inputs: torch.Tensor) -> _Stretch:
        none = inputs.new_zeros(len(inputs))
        return cls(torch.zeros_like(inputs), *(none.clone() for _ in range(6)))

    def add(
        self,
        rows: torch.Tensor,
        level: torch.Tensor,
        errors: torch.Tensor,
        usual: torch.Tensor,
        gain: torch.Tensor,
        cost: torch.Tensor,
    ) -> None:
        """Takes in one step; `usual` is the average of e² until then."""
        # To first order: what this step's draws alone say of Σ ½ log E e² − λ E.
        price = self.gain[rows] + gain, self.cost[rows] + cost
        units = errors[0].numel()
        worth = (errors / usual.clamp(min=TINY)).mean((1, 2, 3)) / 2 - price[0] / price[1] * level / units
        sums = (self.errors, errors), (self.level, level), (self.gain, gain), (self.cost, cost)
        for total, value in (*sums, (self.worths, worth), (self.squares, worth.square()), (self.count, 1)):
            total[rows] += value

    def worth(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The entropy that the mean q of these steps has where E is on target, but for a constant; and its error."""
        units, count = self.errors[0].numel(), self.count
        entropy = 0.5 * (self.errors / count[:, None, None, None]).clamp(min=TINY).log().mean((1, 2, 3))
        worth = entropy + self.gain / self.cost * (target - self.level / count) / units
        spread = self.squares / count - (self.worths / count).square()
        return worth, (spread.clamp(min=0) / (count - 1)).sqrt()


def _walk(
    error: ReconstructionError,
    space: SigmaSpace,
    start: torch.Tensor,
    target: torch.Tensor,
    log_cap: float,
    seed: int,
    steps: int,
    tolerance: float,
) -> _Walk:
    """Walks until the estimated gap is below the tolerance, each sample by itself, or for so many steps."""
    inputs = error.inputs
    walk, rows = _Walk(start, inputs, target), torch.arange(len(inputs), device=inputs.device)
    noise, signs = SampleNoise(inputs, seed, "solve"), SampleNoise(inputs, seed, "signs")
    # At the end, at half of the way, at a quarter, …
    looks = {steps >> halvings for halvings in range(int(math.log2(2 * steps / MIN_STEPS)) + 1)}
    for number in range(1, steps + 1):
        z = space.expand(walk.log_sigma[rows].exp())[:, None] * noise.draw(rows.tolist(), DRAWS)
        if number == 1:
            walk.squares[:] = error.errors(rows, z).mean(1)
        v = signs.draw(rows.tolist(), DRAWS).sign()
        level, errors, constraint, gain, size = error.slopes(rows, z, 1 / walk.squares[rows].clamp(min=TINY), v)
        h, g = (space.gather(z * gradient).mean(1) for gradient in (gain, constraint))
        share = (space.gather(constraint.square()) / (level[..., None, None, None] + TINY)).mean(1)
        scaled = space.gather(size.square()).mean(1)
        walk.step(rows, number, level.mean(1), errors.mean(1), h, g, scaled, share, log_cap)
        if number in looks:
            walk.look_back(rows)
            rows = rows[walk.gap[rows] > tolerance]
            if not len(rows):
                break
    return walk


def _sum(values: torch.Tensor) -> torch.Tensor:
    """Sum over a sample's parameters."""
    return values.sum((-3, -2, -1))


def _wide(values: torch.Tensor) -> torch.Tensor:
    """A number per sample, to be multiplied with its parameters."""
    return values[:, None, None, None]


def expected_errors(
    error: ReconstructionError, space: SigmaSpace, log_sigma: torch.Tensor, noise: SampleNoise, draws: int
) -> torch.Tensor:
    """Returns E e² of each input unit, `n × C × H × W`, over the next `draws` of the noise.

    Args:
        log_sigma: `n × planes × rows × columns`.
    """
    rows, sigma = torch.arange(len(log_sigma), device=log_sigma.device), space.expand(log_sigma.exp())[:, None]
    total, done = torch.zeros_like(error.inputs, dtype=torch.float64), 0
    while done < draws:
        count = min(16, draws - done)
        total += error.errors(rows, sigma * noise.draw(rows.tolist(), count)).double().sum(1)
        done += count
    return (total / done).to(log_sigma.dtype)
