"""Reconstruction uncertainty: maximise Σ ½ log E e_i² subject to E(σ) = α δ_f² (paper, section 3.2).

e = x − g(h(x + z)) is what a decoder g misses when the noise z = σ ∘ δ is added. In s = log σ the gradient of the
Lagrangian is h_j − λ g_j with h_j = E[z_j (Jᵀ (w ∘ (x̂ − x)))_j], w_i = 1 / E e_i², and g_j = ∂E/∂s_j. It is divided by
σ_j² E[(Jᵀ (v ∘ √w))_j²] with random signs v: what h_j would be if the decoder were linear, and always positive. So the
step is a multiplicative one, the noise of the two unbiased estimates enters linearly and averages out over the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .entropy import gaussian_entropy
from .noise import SampleNoise, SigmaSpace
from .objectives import FeatureDistance
from .solver import Effort, calibrate, check_variation, expected_distance

RATE = 4.0
"""Of the first step; the following ones fall with the square root of their number."""

DRAWS = 8
LONGEST = 1.0
"""Most that one step may change log q = 2 log σ by."""

MEMORY = 2.0
"""Steps are averaged with weights that grow as their number to this power, …"""

SHORTEST = 0.05
"""… and the newest has at least this weight, since the weights w change on the way."""

TINY = 1e-30


class ReconstructionError(FeatureDistance):
    """The feature distance, and beside it e² = (x − g(h(x + z)))² of each input unit.

    Args:
        feature: h, as for `FeatureDistance`.
        decoder: g, from features to inputs `batch × C × H × W`; differentiable, one sample independent of the others.
        inputs: x, `n × C × H × W`.
        batch_size: as for `FeatureDistance`.
    """

    def __init__(
        self,
        feature: Callable[[torch.Tensor], torch.Tensor],
        decoder: Callable[[torch.Tensor], torch.Tensor],
        inputs: torch.Tensor,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(feature, inputs, batch_size)
        self._decoder = decoder

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
        return ((self._decoder(self._feature(clean + noise)) - clean).square(),)

    def _slopes(
        self, owner: torch.Tensor, noise: torch.Tensor, weights: torch.Tensor, scaled: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        clean = self.inputs[owner]
        noisy = (clean + noise).requires_grad_()
        feature = self._feature(noisy)
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
        passes: noisy inputs that went forward and backward; a forward pass alone counts one third.
    """

    log_sigma: torch.Tensor
    entropy: torch.Tensor
    floor: torch.Tensor
    distance: torch.Tensor
    distance_se: torch.Tensor
    passes: torch.Tensor


def maximise_reconstruction_error(
    error: ReconstructionError,
    space: SigmaSpace,
    alpha: float,
    tau: float,
    cap: float,
    seed: int = 0,
    effort: Effort = Effort(max_passes=800),
) -> Reconstruction:
    """Finds the σ under which the decoder errs most, for every sample of `error.inputs`, each by itself.

    Args:
        error: the feature distance, the decoder's error and their gradients.
        space, alpha, tau, cap, seed: as for `maximise_entropy`.
        effort: `max_passes` are spent; its tolerance is not asked for.

    Raises:
        InfodiscardError: δ_f² is zero (the feature does not react to the input) or not finite.
    """
    inputs, log_cap = error.inputs, math.log(cap)
    rows = torch.arange(len(inputs), device=inputs.device)
    uniform = torch.full((len(inputs), *space.shape), math.log(tau) / 2, dtype=inputs.dtype, device=inputs.device)
    variation = expected_distance(error, space, uniform, SampleNoise(inputs, seed, "variation"), *effort.fine)
    check_variation(variation.mean)
    target = alpha * variation.mean
    log_sigma = uniform + 0.5 * math.log(alpha)
    noise, signs = SampleNoise(inputs, seed, "solve"), SampleNoise(inputs, seed, "signs")
    averages = _Averages()
    steps = max(2, (effort.max_passes - effort.reserve) // DRAWS)
    for step in range(1, steps + 1):
        z = space.expand(log_sigma.exp())[:, None] * noise.draw(rows.tolist(), DRAWS)
        squares = error.errors(rows, z).mean(1) if step == 1 else averages.squares
        v = signs.draw(rows.tolist(), DRAWS).sign()
        level, errors, constraint, gain, size = error.slopes(rows, z, 1 / squares.clamp(min=TINY), v)
        g, h = (space.gather(z * gradient).mean(1) for gradient in (constraint, gain))
        averages.update(
            step,
            squares=errors.mean(1),
            gain=_sum(h),
            cost=_sum(g),
            size=space.gather(size.square()).mean(1),
            share=(space.gather(constraint.square()) / (level[..., None, None, None] + TINY)).mean(1),
        )
        variance = (2 * log_sigma).exp()
        slope = (h - averages.gain / averages.cost * g) / (variance * averages.size + TINY)
        moved = log_sigma + (RATE / math.sqrt(step) * slope).clamp(-LONGEST, LONGEST) / 2
        # The step alone should leave E as it is; what it misses, and missed before, is made up for slowly.
        grown = _sum(averages.share * (2 * moved).exp()) / _sum(averages.share * variance)
        miss = (level.mean(1) / target).log().clamp(-1, 1)[:, None, None, None] * max(1 / step, 0.05)
        log_sigma = (moved - (grown.log() + miss) / 2).clamp(max=log_cap)
    log_sigma, forwards = calibrate(error, space, log_sigma, target, log_cap, seed, effort)
    check = expected_distance(error, space, log_sigma, SampleNoise(inputs, seed, "check"), *effort.fine)
    squares, judged = _expected_errors(error, space, log_sigma, SampleNoise(inputs, seed, "judge"), effort.max_draws)
    distance = check.mean / variation.mean
    relative = ((check.se / check.mean).square() + (variation.se / variation.mean).square()).sqrt()
    forwards = forwards + variation.draws + check.draws + judged
    return Reconstruction(
        log_sigma=log_sigma,
        entropy=gaussian_entropy(squares.clamp(min=TINY).sqrt()),
        floor=gaussian_entropy(error.errors(rows, torch.zeros_like(inputs)[:, None])[:, 0].clamp(min=TINY).sqrt()),
        distance=distance,
        distance_se=distance * relative,
        passes=steps * DRAWS + (forwards + 2) // 3,
    )


class _Averages:
    """Running averages over the steps, in which early ones are forgotten."""

    squares: torch.Tensor  # E e², `n × C × H × W`
    gain: torch.Tensor  # Σ_j h_j, `n × 1 × 1 × 1`
    cost: torch.Tensor  # Σ_j g_j, likewise
    size: torch.Tensor  # E (Jᵀ (v ∘ √w))², per free parameter
    share: torch.Tensor  # E (∂L/∂z)² / L, likewise

    def update(self, step: int, **values: torch.Tensor) -> None:
        """Takes in the values of one step."""
        rate = max((MEMORY + 1) / (step + MEMORY), SHORTEST)
        for name, value in values.items():
            old = getattr(self, name, value)
            setattr(self, name, old + rate * (value - old))


def _sum(values: torch.Tensor) -> torch.Tensor:
    """Sum over a sample's parameters, kept as dimensions of size one."""
    return values.sum((-3, -2, -1), keepdim=True)


def _expected_errors(
    error: ReconstructionError, space: SigmaSpace, log_sigma: torch.Tensor, noise: SampleNoise, draws: int
) -> tuple[torch.Tensor, int]:
    """Returns E e² of each input unit, `n × C × H × W`, and the forward passes it took per sample."""
    rows, sigma = torch.arange(len(log_sigma), device=log_sigma.device), space.expand(log_sigma.exp())[:, None]
    total, done = torch.zeros_like(error.inputs, dtype=torch.float64), 0
    while done < draws:
        count = min(16, draws - done)
        total += error.errors(rows, sigma * noise.draw(rows.tolist(), count)).double().sum(1)
        done += count
    return (total / done).to(log_sigma.dtype), done
