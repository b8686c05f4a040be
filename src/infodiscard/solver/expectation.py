"""Expected feature distances with their standard errors, and the gradients of single draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..errors import SampleError
from .problem import Problem
from .rows import Rows
from .sample_noise import SampleNoise

RARE_PRECISION, RARE_DRAWS = 0.05, 4096
"""Relative error, and most draws, of δ_f² of a feature that the small noise moves so seldom that draws common with σ
have not seen it."""

SILENT_DRAWS = 512
"""Most draws of a feature that has not reacted to any."""

HEAVY, HEAVY_ERROR = 0.1, 3.0
"""Σ d⁴ / (Σ d²)², of the draws' deviations from their mean, from which on the tails are heavy: a few draws make the
standard error, larger ones are likely to be missing, and it counts by the second as much. (It is 1 where one draw makes
everything, and 3 / n for n normal ones.)"""


@dataclass(frozen=True)
class Estimate:
    """An expected squared feature distance, or a ratio of two.

    Attributes:
        mean: `n`.
        se: its standard error, `n`; of a ratio, `HEAVY_ERROR` times as large where a few draws make it.
        draws: noisy inputs taken, `n`.
        heavy: whether a few draws make the standard error, `n`; looked for in ratios alone.
    """

    mean: torch.Tensor
    se: torch.Tensor
    draws: torch.Tensor
    heavy: torch.Tensor


def expected_distance(
    problem: Problem,
    log_sigma: torch.Tensor,
    stream: SampleNoise,
    precision: float | torch.Tensor,
    max_draws: int | torch.Tensor,
    rows: Rows | None = None,
    *,
    relative: bool = False,
) -> Estimate:
    """Estimates E(σ) for every sample, or E(σ) / E(√τ) on common noise (a control variate).

    The same draws move both distances alike, so that their ratio is known from far fewer of them than either.

    Args:
        problem: the distance; its α is not used.
        log_sigma: `n × planes × rows × columns`.
        stream: source of the draws; the estimate uses its next ones.
        precision: relative standard error at which to stop; one number, or one for every sample (`n`).
        max_draws: most noisy inputs per sample; one number, or one for every sample (`n`).
        rows: the samples to estimate; the others' means are NaN and their draws 0. All by default.
        relative: whether E(σ) / E(√τ) is wanted; each draw then takes two noisy inputs.
    """
    n, each = len(log_sigma), 2 if relative else 1
    most = max_draws // each
    sums = torch.zeros(5, n, dtype=torch.float64, device=log_sigma.device)
    draws = torch.zeros(n, dtype=torch.long, device=log_sigma.device)
    active = problem.all if rows is None else rows
    drawn: list[tuple[torch.Tensor, ...]] = []
    count, done = 16, 0
    while len(active):
        for group in _groups(active, count, problem.distance.batch_size):
            unit, index = stream.draw(group.numbers, count), group.index
            level = problem.distance(index, problem.noise(log_sigma, index, unit))
            base = torch.ones_like(level)
            if relative:
                base = problem.distance(index, problem.noise(problem.small, index, unit))
                drawn.append((index, level, base))
            sums[:, index] += moments(level, base)
            draws[index] += count
        mean, se = ratio_of(sums, draws)
        heavy = _heavy(drawn, mean, draws)
        se = torch.where(heavy, HEAVY_ERROR * se, se)
        done += count  # the same for all that are still active
        count = min(max(1, done // 2), 256)
        silent = sums[0] == 0  # of a feature that has not reacted yet, nothing is known
        enough = (se <= precision * mean) & ~silent
        left = draws + count <= torch.where(silent, SILENT_DRAWS, most)
        active = active.kept((~enough & left)[active.index])
    if relative:
        mean, se = ratio_to_small(problem, sums, draws)
        se = torch.where(heavy, HEAVY_ERROR * se, se)
    return Estimate(mean.to(log_sigma.dtype), se.to(log_sigma.dtype), each * draws, heavy)


def _heavy(drawn: list[tuple[torch.Tensor, ...]], ratio: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Whether a few draws make the standard error of a ratio, `n`.

    Args:
        drawn: samples (`g`), their L and L₀ (`g × draws`), piece by piece.
        ratio: E L / E L₀, `n`.
        count: draws of each sample, `n`.
    """
    second, fourth = torch.zeros_like(ratio), torch.zeros_like(ratio)
    for group, level, small in drawn:
        square = (level.double() - ratio[group, None] * small.double()).square()
        second[group] += square.sum(1)
        fourth[group] += square.square().sum(1)
    return fourth > (HEAVY + 4 / count.clamp(min=1)) * second.square()


def feature_variation(problem: Problem, precision: float, max_draws: int) -> Estimate:
    """Estimates δ_f² = E(√τ); arguments as for `expected_distance`.

    Raises:
        SampleError: it is zero or not finite.
    """
    variation = expected_distance(problem, problem.small, problem.stream("variation"), precision, max_draws)
    check_variation(variation.mean, problem.distance.rounding())
    return variation


def check_variation(variation: torch.Tensor, rounding: torch.Tensor | float = 0.0) -> None:
    """Raises SampleError unless every δ_f² (`n`) is finite and above what rounding of the feature alone makes (`n`)."""
    if not (finite := variation.isfinite()).all():
        raise SampleError(
            "The feature overflows under small input noise; check the network's weights and input.",
            (~finite).nonzero()[:, 0].tolist(),
            "feature_not_finite",
        )
    if not (reacts := variation > rounding).all():
        raise SampleError(
            "The layer's output does not change under small input noise (δ_f² = 0), so nothing can be measured there: "
            "it is constant or does not depend on the input; measure another layer.",
            (~reacts).nonzero()[:, 0].tolist(),
            "feature_constant",
        )


def draw_gradients(
    problem: Problem, log_sigma: torch.Tensor, stream: SampleNoise, rows: Rows, draws: int
) -> Iterator[tuple[Rows, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Takes noisy inputs of the samples `rows` forward and backward, some samples at a time.

    Args:
        problem: the distance.
        log_sigma: of all samples, `n × planes × rows × columns`.
        stream: source of the draws.
        rows: which samples.
        draws: noisy inputs per sample.

    Yields:
        Some of the samples (`g`); δ (`g × draws × C × H × W`); g = ∂L/∂log σ of each draw (`g × draws × planes × rows ×
        columns`); ∂L/∂z (as δ); and L (`g × draws`).
    """
    for group in _groups(rows, draws, problem.distance.batch_size):
        unit = stream.draw(group.numbers, draws)
        z = problem.noise(log_sigma, group.index, unit)
        level, gradient = problem.distance.gradient(group.index, z)
        yield group, unit, problem.space.gather(z * gradient), gradient, level


def _groups(rows: Rows, draws: int, batch_size: int) -> list[Rows]:
    """Splits samples so that about one forward pass is held at once, not all of them."""
    return rows.split(max(1, batch_size // draws))


def moments(level: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Sums of L, L₀, L², L L₀ and L₀² over the draws (dimension 1) of each sample, in float64, `5 × r`.

    Args:
        level: L, `r × draws`.
        base: L₀ of the same draws under another σ, `r × draws`.
    """
    level, base = level.double(), base.double()
    return torch.stack([level, base, level.square(), level * base, base.square()]).sum(2)


def ratio_to_small(problem: Problem, sums: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """E(σ) / E(√τ) and its standard error, each `n`, from the draws of both on common noise.

    Where none of these draws has moved the feature under the small noise, as behind a threshold that is seldom passed,
    E(√τ) is taken from draws of its own.

    Args:
        problem: the distance.
        sums: `moments` of L and L₀, `5 × n`.
        count: number of draws, `n`.
    """
    ratio, se = ratio_of(sums, count)
    if (silent := (sums[1] == 0) & (count > 0)).any():
        small = feature_variation(problem, RARE_PRECISION, RARE_DRAWS)
        level, level_se = ratio_of(torch.stack([sums[0], count.double(), sums[2], sums[0], count.double()]), count)
        own, own_se = small.mean.double(), small.se.double()
        alone = level / own
        alone_se = alone * ((level_se / level).nan_to_num().square() + (own_se / own).square()).sqrt()
        ratio, se = torch.where(silent, alone, ratio), torch.where(silent, alone_se, se)
    return ratio.to(problem.small.dtype), se.to(problem.small.dtype)


def ratio_of(sums: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """E L / E L₀ and its standard error, each `n`, from sums of `moments` (`5 × n`) over `count` draws (`n`)."""
    level, base, *squares = sums / count
    ratio = level / base
    residual = squares[0] - 2 * ratio * squares[1] + ratio.square() * squares[2]
    return ratio, (residual.clamp(min=0) / (count - 1)).sqrt() / base


def relative_variance(slope: torch.Tensor) -> torch.Tensor:
    """Returns r², the mean variance of a single draw's g over the parameters, in units of ḡ², `r`.

    Args:
        slope: g of each draw, `r × draws × planes × rows × columns`.
    """
    return slope.var(1).mean((1, 2, 3)) / slope.mean((1, 2, 3, 4)).square()
