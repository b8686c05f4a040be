"""Reconstruction uncertainty: maximise Σ ½ log E e_i² subject to E(σ) = α δ_f² (paper, section 3.2).

e = x − g(h(x + z)) is the error of a decoder g when the noise z = σ ∘ δ is added. In s = log σ the gradient of the
Lagrangian is h_j − λ g_j with h_j = E[z_j (Jᵀ (w ∘ (x̂ − x)))_j], w_i = 1 / E e_i², and g_j = ∂E/∂s_j. It is
preconditioned by σ_j² E[(Jᵀ (v ∘ √w))_j²] with random signs v: what h_j would be if the decoder were linear, and always
positive. So the step is a multiplicative one in q = σ², the noise of the two unbiased estimates enters linearly, and
the average of q over the steps is the answer (docs/reconstruction.md derives it and says how the gap is estimated).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .decoder_error import DRAWS, ReconstructionError
from .effort import Effort
from .entropy import gaussian_entropy
from .expectation import expected_distance, feature_variation
from .problem import Problem
from .sample_noise import SampleNoise
from .scaling import scale_to_target
from .stage import Stage, Watch

RATE, DECAY = 0.6, 0.25
"""Size of the first step, and the power of their number with which steps fall."""

DAMPING = 0.1
"""Added to the preconditioner, in units of its mean: a small σ is not moved by its noise alone."""

LONGEST = 1.0
"""Most that one step may change log q by."""

MEMORY = 2.0
"""Steps are averaged with weights that grow as their number to this power, …"""

SHORTEST = 0.05
"""… and the newest has at least this weight, since the weights w change on the way."""

LEAST = 0.02
"""A parameter with less than this share of the others' cost is omitted: its noise dominates no pixel's error."""

MISSING = 1.5
"""The entropy still missing, in units of what the last doubling of the steps has gained: 1 if the gap falls as
1 / steps, 2.4 if it falls with their square root."""

CAUTION = 1.0
"""Standard errors that are added to the gap's estimate."""

JUDGED = 192
"""Noisy inputs from which the entropy that is reported is computed."""

LOOKS = 3
"""Looks on few draws at how far E is from its target, before the one on many: the ascent ends near it."""

MIN_STEPS = 8
"""Fewest steps; half of them come before the gap is first estimated."""

TINY = 1e-30


@dataclass(frozen=True)
class ReconstructionProblem(Problem):
    """Maximise Σ ½ log E e_i² instead of Σ log σ_i.

    Attributes:
        distance: the feature distance, the decoder's error and their gradients.
    """

    distance: ReconstructionError


@dataclass(frozen=True)
class Reconstruction:
    """The maximiser's answer for n samples; tensors without a shape are `n`.

    Attributes:
        log_sigma: log σ of the free parameters, `n × planes × rows × columns`.
        entropy: ½ log E e² + ½ log 2πe of each input unit on fresh noise, `n × C × H × W`.
        floor: the same without noise: the decoder's own error, `n × C × H × W`.
        distance: E / δ_f² on fresh noise.
        distance_se: its standard error, that of δ_f² included.
        gap: estimated distance to the result of a long ascent, nats per input unit.
        converged: whether gap and distance are within their tolerances.
        passes: forward-and-backward passes used; a forward pass alone counts one third.
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
    problem: ReconstructionProblem,
    effort: Effort = Effort(max_passes=1600),
    watch: Watch | None = None,
) -> Reconstruction:
    """Finds the σ under which the decoder errs most, for every sample of a problem, each by itself.

    Args:
        problem: what is maximised, and the constraint.
        effort: when to stop; its `draws` are not used.
        watch: is told every stage, in which all passes are expected that are allowed.

    Raises:
        SampleError: δ_f² is zero (the feature does not react to the input) or not finite.
    """
    error, alpha = problem.distance, problem.alpha
    # Enough to steer by: what is reported are ratios to δ_f² on common noise.
    variation = feature_variation(problem, *effort.coarse)
    reserve = effort.reserve(LOOKS) + JUDGED // 3
    steps = max(MIN_STEPS, (effort.max_passes - reserve) // DRAWS)
    most = torch.full_like(problem.rows, effort.max_passes)

    def told(ascent: _Ascent) -> None:
        """Tells how many passes have been taken."""
        if watch is not None:
            watch(Stage(ascent.steps * DRAWS + (variation.draws + 2) // 3, most))

    ascent = _ascend(problem, alpha * variation.mean, steps, effort.tolerance, told)
    log_sigma, forwards = scale_to_target(problem, ascent.solution(), ascent.power(), effort, LOOKS)
    check = expected_distance(problem, log_sigma, problem.stream("check"), *effort.fine, relative=True)
    squares = expected_errors(problem, log_sigma, problem.stream("judge"), JUDGED)
    forwards = forwards + variation.draws + check.draws + JUDGED
    near = (check.mean / alpha - 1).abs() <= effort.distance_tolerance
    return Reconstruction(
        log_sigma=log_sigma,
        entropy=gaussian_entropy(squares.clamp(min=TINY).sqrt()),
        floor=gaussian_entropy((error.restored() - error.inputs).square().clamp(min=TINY).sqrt()),
        distance=check.mean,
        distance_se=check.se,
        gap=ascent.gap,
        converged=near & (ascent.gap <= effort.tolerance),
        passes=ascent.steps * DRAWS + (forwards + 2) // 3,
    )


def _ascend(
    problem: ReconstructionProblem,
    target: torch.Tensor,
    steps: int,
    tolerance: float,
    told: Callable[[_Ascent], None],
) -> _Ascent:
    """Takes steps until the estimated gap is below the tolerance, each sample by itself, or all of them.

    Args:
        problem: what is maximised.
        target: α δ_f², `n`.
        steps: most steps.
        tolerance: of the gap, nats per input unit.
        told: called after every step.
    """
    ascent, rows, stretches = _Ascent(problem, target), problem.all, _ends_of_stretches(steps)
    noise, signs = problem.stream("solve"), problem.stream("signs")
    for number in range(1, steps + 1):
        index = rows.index
        z = problem.noise(ascent.log_sigma, index, noise.draw(rows.numbers, DRAWS))
        if number == 1:
            ascent.squares[:] = problem.distance.errors(index, z).mean(1)
        v = signs.draw(rows.numbers, DRAWS).sign()
        ascent.step(index, number, _step_means(problem, index, z, v, ascent.squares[index]))
        told(ascent)
        if number in stretches:
            ascent.look_back(index)
            rows = rows.kept(ascent.gap[index] > tolerance)
            if not len(rows):
                break
    return ascent


def _ends_of_stretches(steps: int) -> set[int]:
    """Numbers of the steps after which the gap is estimated: the last, at half of the way, at a quarter, …"""
    return {steps >> halvings for halvings in range(int(math.log2(2 * steps / MIN_STEPS)) + 1)}


@dataclass(frozen=True)
class _StepMeans:
    """Means over the draws of a step of r samples; those of parameters are `r × planes × rows × columns`.

    Attributes:
        level: L, `r`.
        errors: e², `r × C × H × W`.
        gain: h, of parameters.
        cost: g, of parameters.
        size: (Jᵀ (v ∘ √w))², of parameters.
        share: (∂L/∂z)² / L, of parameters.
    """

    level: torch.Tensor
    errors: torch.Tensor
    gain: torch.Tensor
    cost: torch.Tensor
    size: torch.Tensor
    share: torch.Tensor


def _step_means(
    problem: ReconstructionProblem, rows: torch.Tensor, z: torch.Tensor, signs: torch.Tensor, squares: torch.Tensor
) -> _StepMeans:
    """Takes a step's noisy inputs forward and backward.

    Args:
        problem: what is maximised.
        rows: which samples, `r`.
        z: their noise, `r × draws × C × H × W`.
        signs: v, shaped as `z`.
        squares: E e² until now, `r × C × H × W`.
    """
    gather, weights = problem.space.gather, 1 / squares.clamp(min=TINY)
    level, errors, constraint, gain, size = problem.distance.slopes(rows, z, weights, signs)
    return _StepMeans(
        level=level.mean(1),
        errors=errors.mean(1),
        gain=gather(z * gain).mean(1),
        cost=gather(z * constraint).mean(1),
        size=gather(size.square()).mean(1),
        share=(gather(constraint.square()) / (level[..., None, None, None] + TINY)).mean(1),
    )


class _Ascent:
    """A stochastic ascent to the optimum; every tensor has a row per sample.

    Shapes: `log_sigma`, `variance`, `size` and `share` `n × planes × rows × columns`; `squares` `n × C × H × W`; the
    others `n`.
    """

    def __init__(self, problem: ReconstructionProblem, target: torch.Tensor) -> None:
        inputs, start = problem.distance.inputs, problem.uniform
        none, whole = torch.zeros_like(target), torch.zeros_like(start)
        self.log_sigma, self.log_cap, self.target = start.clone(), problem.log_cap, target
        self.variance = whole.clone()  # average of q
        self.squares = torch.zeros_like(inputs)  # average of e²
        self.size = whole.clone()  # average of (Jᵀ (v ∘ √w))²
        self.share = whole.clone()  # average of (∂L/∂z)² / L
        self.gain, self.cost = none.clone(), none.clone()  # averages of Σ_j h_j and Σ_j g_j
        self.level = none.clone()  # average of L
        self.gap = torch.full_like(target, math.inf)
        self.steps = torch.zeros(len(start), dtype=torch.long, device=start.device)
        self.stretch, self.before = _Stretch.empty(inputs), start.new_full((2, len(start)), math.nan)

    def step(self, rows: torch.Tensor, number: int, means: _StepMeans) -> None:
        """Takes step `number` of the samples `rows` (`r`), from the means over its draws."""
        self.steps[rows] += 1
        self.stretch.add(rows, means, self.squares[rows])
        self._average(rows, number, means)
        now, variance = self.log_sigma[rows], (2 * self.log_sigma[rows]).exp()
        slope = self._preconditioned(rows, means, variance)
        moved = now + (RATE / number**DECAY * slope).clamp(-LONGEST, LONGEST) / 2
        # The step alone should leave E as it is; its miss, and earlier ones, are made up for slowly.
        grown = _sum(self.share[rows] * (2 * moved).exp()) / _sum(self.share[rows] * variance)
        miss = (means.level / self.target[rows]).log().clamp(-1, 1) * max(1 / number, 0.05)
        self.log_sigma[rows] = (moved - _wide(grown.log() + miss) / 2).clamp(max=self.log_cap[rows])
        self.variance[rows] += (
            (MEMORY + 1) / (number + MEMORY) * ((2 * self.log_sigma[rows]).exp() - self.variance[rows])
        )

    def _average(self, rows: torch.Tensor, number: int, means: _StepMeans) -> None:
        """Adds the means over the draws of step `number` of the samples `rows` (`r`) to the running averages."""
        rate = max((MEMORY + 1) / (number + MEMORY), SHORTEST)
        pairs = (
            (self.squares, means.errors),
            (self.size, means.size),
            (self.share, means.share),
            (self.gain, _sum(means.gain)),
            (self.cost, _sum(means.cost)),
            (self.level, means.level),
        )
        for average, value in pairs:
            average[rows] += rate * (value - average[rows])

    def _preconditioned(self, rows: torch.Tensor, means: _StepMeans, variance: torch.Tensor) -> torch.Tensor:
        """The gradient h − λ g over what h would be if the decoder were linear; as `variance` (σ² of `rows`)."""
        price = (self.gain / self.cost)[rows]
        linear = variance * self.size[rows]
        # A decoder that saturates gains less than a linear one would: the gain of all sets the unit of a step.
        linear = linear * _wide((self.gain[rows] / (_sum(linear) + TINY)).clamp(0.2, 1))
        damped = linear + DAMPING * linear.mean((1, 2, 3), keepdim=True) + TINY
        return (means.gain - _wide(price) * means.cost) / damped

    def power(self) -> torch.Tensor:
        """d log E / d log(scale of σ), `n`; kept away from 0."""
        return (self.cost / self.level).clamp(0.25, 4)

    def look_back(self, rows: torch.Tensor) -> None:
        """Estimates the gap of `rows` (`r`) from the gain of this stretch over the one before, half as long."""
        worth, se = self.stretch.worth(self.target)
        more = (worth - self.before[0]).clamp(min=0) + CAUTION * (se.square() + self.before[1].square()).sqrt()
        self.gap[rows] = torch.where(more.isfinite(), MISSING * more, self.gap)[rows]
        self.before = torch.stack([worth, se])
        self.stretch = _Stretch.empty(self.squares)

    def solution(self) -> torch.Tensor:
        """Returns log σ (as `log_sigma`) of the average of q, without parameters that cost and gain next to nothing."""
        cost = self.share * self.variance
        usual = cost.square().sum((1, 2, 3), keepdim=True) / _wide(_sum(cost) + TINY)
        log_sigma = 0.5 * (self.variance + TINY).log()
        return torch.where(cost < LEAST * usual, 0.5 * math.log(TINY), log_sigma).clamp(max=self.log_cap)


@dataclass
class _Stretch:
    """Sums over some steps: of e² (`n × C × H × W`), L, Σ_j h_j, Σ_j g_j, the worths and their squares (`n`)."""

    errors: torch.Tensor
    level: torch.Tensor
    gain: torch.Tensor
    cost: torch.Tensor
    worths: torch.Tensor
    squares: torch.Tensor
    count: torch.Tensor

    @classmethod
    def empty(cls, inputs: torch.Tensor) -> _Stretch:
        """Returns the sums over no steps, for inputs of this shape (`n × C × H × W`)."""
        none = inputs.new_zeros(len(inputs))
        return cls(torch.zeros_like(inputs), *(none.clone() for _ in range(6)))

    def add(self, rows: torch.Tensor, means: _StepMeans, usual: torch.Tensor) -> None:
        """Adds one step of the samples `rows` (`r`); `usual` is the average of e² before it, `r × C × H × W`."""
        gain, cost, level, errors = _sum(means.gain), _sum(means.cost), means.level, means.errors
        # To first order: what this step's draws alone say of Σ ½ log E e² − λ E.
        price = self.gain[rows] + gain, self.cost[rows] + cost
        units = errors[0].numel()
        worth = (errors / usual.clamp(min=TINY)).mean((1, 2, 3)) / 2 - price[0] / price[1] * level / units
        sums = (self.errors, errors), (self.level, level), (self.gain, gain), (self.cost, cost)
        for total, value in (*sums, (self.worths, worth), (self.squares, worth.square()), (self.count, 1)):
            total[rows] += value

    def worth(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the entropy of the mean q where E is on target (`n`), up to a constant, and its standard error."""
        units, count = self.errors[0].numel(), self.count
        entropy = 0.5 * (self.errors / count[:, None, None, None]).clamp(min=TINY).log().mean((1, 2, 3))
        worth = entropy + self.gain / self.cost * (target - self.level / count) / units
        spread = self.squares / count - (self.worths / count).square()
        return worth, (spread.clamp(min=0) / (count - 1)).sqrt()


def _sum(values: torch.Tensor) -> torch.Tensor:
    """Sum over a sample's parameters (`… × planes × rows × columns`)."""
    return values.sum((-3, -2, -1))


def _wide(values: torch.Tensor) -> torch.Tensor:
    """Shapes a number per sample (`n`) to be multiplied with its parameters, `n × 1 × 1 × 1`."""
    return values[:, None, None, None]


def expected_errors(
    problem: ReconstructionProblem, log_sigma: torch.Tensor, stream: SampleNoise, draws: int
) -> torch.Tensor:
    """Returns E e² of each input unit, `n × C × H × W`, over the next `draws` of the noise.

    Args:
        problem: the decoder's error.
        log_sigma: `n × planes × rows × columns`.
        stream: source of the draws.
        draws: noisy inputs per sample.
    """
    rows, error = problem.all, problem.distance
    total, done = torch.zeros_like(error.inputs, dtype=torch.float64), 0
    while done < draws:
        count = min(16, draws - done)
        z = problem.noise(log_sigma, rows.index, stream.draw(rows.numbers, count))
        total += error.errors(rows.index, z).double().sum(1)
        done += count
    return (total / done).to(log_sigma.dtype)
