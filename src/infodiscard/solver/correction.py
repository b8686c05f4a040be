"""Correction of a σ that an ascent has found: the entropy that it lacks, estimated from fresh draws.

Draws that σ does not depend on tell without bias how far the condition of the optimum, g_i = ḡ, is still missed, and so
how much entropy a longer ascent would find (docs/solver.md derives it and says where it ends). With r = g / ḡ:

    ĝ = mean_i (r_i − 1)² / 2c          the entropy that is missing, nats per input unit
    Δs_i = −(r_i − 1) / c               the Newton step to the optimum, parameter by parameter

The square is a product of independent groups of draws, so that their noise drops out of its mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .expectation import moments
from .sigma_space import SigmaSpace
from .wavelets import Scales, mean

SYSTEMATIC = 0.2
"""Relative error of a correction that no number of draws removes, as the entropy is not quadratic that far away; the
same sign is likely for all samples of a layer, so that it does not average out."""

REGION = 0.3
"""The same of a mean over a region, in units of the map's own error, taken as √(2ĝ)."""

BEND = 1.0
"""How a large mean square x of a noisy r − 1 counts: as log(1 + BEND x) / BEND. 0 would be x itself, as for an entropy
that is quadratic; 1 is what normally distributed errors of log σ have. The difference to either is counted as error."""

GROUPS = 8
"""Independent groups of draws."""

LONGEST, SIGMAS = 3.0, 4.0
"""Δs takes no |r − 1| beyond the first, or beyond the second in standard errors of r."""

LEAST = 0.3
"""r below which no parameter is taken to lie when its logarithm is asked for, or its standard error where that is less:
where noise saturates the feature, r may be negative."""

QUIET, QUIET_SIGMAS = 0.5, 4.0
"""Error, in nats, of what is missing at a parameter whose r is surely, by the second in standard errors, below LEAST:
its σ is still far too small, or draws in which it matters were missed, and its r does not tell by how much."""

FAINT, UNFELT = 0.6, 0.5
"""Way of log σ to the optimum, by the gradient's size, from which on a parameter is faint: it is felt so little that
its g may be all noise; and the r, less its own error, beyond which it is not."""

AT_ONCE = 2**21
"""Values that are split into scales at once."""


def curvature(power: torch.Tensor) -> torch.Tensor:
    """c = ∂²(λE)/∂s_i² at the optimum, along a single s_i.

    It is 2 where E is quadratic. Where E as a whole grows with a smaller power p of σ, it lies between 2 and p, as more
    or less of that is each pixel's own doing; the middle is taken.

    Args:
        power: p, any shape; the result has the same.
    """
    return 1 + power.clamp(max=2) / 2


def linear_way(size: torch.Tensor, log_sigma: torch.Tensor, ratio: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """How far every log σ is from the optimum by the gradient's size: −½ log(ρ), of a ρ without cross terms or noise.

    Where h is linear, g_i is σ_i² E[(∂L/∂z_i)² / L] up to a factor, so that ρ is r. Elsewhere it need not be, and
    counts in so far as r as a whole, noisy as it is, goes along with it.

    Args:
        size: mean of (∂L/∂z)² / L per input unit, `n × planes × rows × columns`.
        log_sigma: shaped as it.
        ratio: r, shaped as it.
        units: free input units of each parameter, shaped as it.
    """
    felt = size * (2 * (log_sigma - log_sigma.amax((1, 2, 3), keepdim=True))).exp()
    usual = (felt * units).sum((1, 2, 3), keepdim=True) / units.sum((1, 2, 3), keepdim=True).clamp(min=1)
    rho = (felt / usual.clamp(min=1e-30)).clamp(min=1e-8)
    excess = (rho - 1) * units
    along = (excess * (ratio - 1)).sum((1, 2, 3)) / (excess * (rho - 1)).sum((1, 2, 3)).clamp(min=1e-30)
    return -0.5 * rho.log() * (units > 0) * along.clamp(0, 1)[:, None, None, None]


@dataclass
class FreshDraws:
    """Draws at a σ that does not depend on them; every tensor has a row per sample.

    Attributes:
        slope: Σ g over the draws of each group, `n × GROUPS × planes × rows × columns`.
        size: Σ (∂L/∂z)² / L over all draws, `n × planes × rows × columns`.
        sums: `moments` of L and L₀, `5 × n`; L₀ is the distance of the same draws under σ = √τ.
        count: number of draws, `n`, a multiple of GROUPS.
    """

    slope: torch.Tensor
    size: torch.Tensor
    sums: torch.Tensor
    count: torch.Tensor

    @classmethod
    def none(cls, log_sigma: torch.Tensor) -> FreshDraws:
        """Returns those of no draws yet, for log σ of this shape (`n × planes × rows × columns`)."""
        n, *shape = log_sigma.shape
        return cls(
            log_sigma.new_zeros(n, GROUPS, *shape),
            log_sigma.new_zeros(n, *shape),
            torch.zeros(5, n, dtype=torch.float64, device=log_sigma.device),
            torch.zeros(n, dtype=torch.long, device=log_sigma.device),
        )

    def forget(self, rows: torch.Tensor) -> None:
        """Forgets the draws of the samples `rows` (`r`), whose σ has moved."""
        self.slope[rows] = 0
        self.size[rows] = 0
        self.sums[:, rows] = 0
        self.count[rows] = 0

    def add(
        self, rows: torch.Tensor, slope: torch.Tensor, square: torch.Tensor, level: torch.Tensor, small: torch.Tensor
    ) -> None:
        """Adds draws of the samples `rows` (`r`).

        Args:
            rows: which samples.
            slope: g, `r × draws × planes × rows × columns`.
            square: (∂L/∂z)², summed over the input units of each parameter, as `slope`.
            level: L, `r × draws`.
            small: L₀, `r × draws`.
        """
        draws = level.shape[1]
        self.size[rows] += (square / level.clamp(min=1e-30)[..., None, None, None]).sum(1)
        self.slope[rows] += slope.unflatten(1, (draws // GROUPS, GROUPS)).sum(1)
        self.sums[:, rows] += moments(level, small)
        self.count[rows] += draws

    def power(self) -> torch.Tensor:
        """Returns p = d log E / d log(scale of σ) = Σ g / E, `n`, as the gradients have it."""
        return (self.slope.sum((1, 2, 3, 4)).double() / self.sums[0]).to(self.slope.dtype)

    def correction(
        self, space: SigmaSpace, log_sigma: torch.Tensor, free: torch.Tensor, scales: Scales | None = None
    ) -> Correction:
        """Estimates what σ lacks of the optimum.

        Args:
            space: where σ is free.
            log_sigma: that of the draws, `n × planes × rows × columns`.
            free: 1 for parameters below the cap, else 0, `n × planes × rows × columns`.
            scales: of such maps, where they are at hand.
        """
        units, scales = space.weights(free), scales or Scales(free)
        weights = units * free / units.sum()
        means = self.slope / (self.count[:, None, None, None, None].to(self.slope) / GROUPS) / units
        share = weights.sum((1, 2, 3)).clamp(min=1e-30)
        usual = ((means.mean(1) * weights).sum((1, 2, 3)) / share)[:, None, None, None]
        excess = (means / usual[:, None] - 1) * free[:, None]
        variance = excess.var(1) / GROUPS
        noise = ((variance * weights).sum((1, 2, 3)) / share * GROUPS / (GROUPS - 1)).sqrt()
        longest = (SIGMAS * noise).clamp(min=LONGEST)[:, None, None, None, None]
        c = curvature(self.power().clamp(0.25, 4))
        known = (1 - noise).clamp(min=0).square()
        at_once = max(1, AT_ONCE // excess[0].numel())
        parts = zip(excess.split(at_once), variance.sqrt().clamp(0.01, LEAST).split(at_once), strict=True)
        partner = torch.cat([_partner(*part, scales) for part in parts])
        squares = (excess * partner * weights[:, None]).sum((2, 3, 4))
        # A group meets the others from both sides: between two (noise alone) and four times the variance of their mean.
        square, se = squares.mean(1), (3 * squares.var(1) / GROUPS).sqrt()
        far = square.clamp(min=0)
        bend = (BEND * (1 - known)).clamp(min=1e-6)
        told = torch.where(square > 0, (bend * far).log1p() / bend, square)
        # As large a part of what is told as the logarithm has taken off.
        taken = torch.where(square > 0, 1 - told / far.clamp(min=1e-30), 1.0)
        unsure = torch.maximum(taken * told.abs(), (told - far.log1p()) * (1 - known))
        wide = c[:, None, None, None]
        shift = -excess.mean(1).clamp(-longest[:, 0], longest[:, 0]) / wide
        systematic = ((SYSTEMATIC * told).square() + unsure.square()).sqrt()
        gap, gap_se, systematic = (part / (2 * c) for part in (told, se / (1 + bend * far), systematic))
        quiet = ((excess.mean(1) + QUIET_SIGMAS * variance.sqrt() < LEAST - 1) * weights).sum((1, 2, 3))
        far = linear_way(self.size / units, log_sigma, excess.mean(1) + 1, units * free)
        faint = (far > FAINT) & (excess.mean(1) - 2 * variance.sqrt() < UNFELT - 1)
        felt = (-2 * far).exp()  # r, of which the square counts (r − 1)² / 2c instead of (r − 1 − log r) / c
        unseen = ((felt - 1 + 2 * far - (felt - 1).square() / 2) * faint * weights).sum((1, 2, 3)) / c
        unseen = ((QUIET * quiet).square() + unseen.square()).sqrt()
        systematic = (systematic.square() + unseen.square()).sqrt()
        return Correction(gap, gap_se, systematic, unseen, shift, variance.sqrt() / wide)


def _partner(excess: torch.Tensor, least: torch.Tensor, scales: Scales) -> torch.Tensor:
    """Returns what r − 1 of a group is multiplied by: r − 1 of all others, or what makes of it 2 (r − 1 − log r).

    The latter is exact where h is linear, as r = e^(c Δs) there, but a logarithm needs an r without noise. So it is
    used only where r stands above its noise: of r − 1 of the others, each scale is kept by its Wiener factor, and the
    result says how much less than (r − 1)² is missing where r is large.

    Args:
        excess: r − 1 of each group, `n × GROUPS × planes × rows × columns`.
        least: r whose logarithm is the least to be taken, `n × planes × rows × columns`.
        scales: of such maps.
    """
    rest = (excess.sum(1, keepdim=True) - excess) / (GROUPS - 1)
    known = torch.zeros_like(rest)
    for scale, detail in enumerate(scales.split(excess)):
        first, second = detail[:, ::2].mean(1), detail[:, 1::2].mean(1)
        power, noise = mean(first * second).clamp(min=0), scales.around((first - second).square(), scale) / 4
        if scale == 0:  # a pixel's own noise may be far below that of its surroundings
            noise = torch.minimum(noise, excess.var(1) / GROUPS)
        others = (detail.sum(1, keepdim=True) - detail) / (GROUPS - 1)
        known += (power / (power + noise + 1e-12))[:, None] * others
    x = torch.maximum(known, least[:, None] - 1)
    x = torch.where(x.abs() < 1e-3, 1e-3, x)
    return rest * 2 * (x - x.log1p()) / x.square()


@dataclass(frozen=True)
class Correction:
    """What a σ lacks of the optimum; every tensor has a row per sample.

    Attributes:
        gap: ĝ, nats per input unit, `n`; where it is small, unbiased, so that it may come out below zero.
        gap_se: its standard error, without the systematic part.
        systematic: the systematic part, as a standard error.
        unseen: what of that comes from parameters that hardly react; more draws may make it less.
        shift: Δs, `n × planes × rows × columns`; its noise is white, so that it serves for means over many.
        shift_se: its standard error, parameter by parameter.
    """

    gap: torch.Tensor
    gap_se: torch.Tensor
    systematic: torch.Tensor
    unseen: torch.Tensor
    shift: torch.Tensor
    shift_se: torch.Tensor


def region(
    shift: torch.Tensor, shift_se: torch.Tensor, gap: torch.Tensor, space: SigmaSpace, masks: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates what the mean SID over a region lacks, to first order.

    Args:
        shift, shift_se: of a `Solution`, `n × planes × rows × columns`.
        gap: its correction, nats per input unit, `n`.
        space: where σ is free.
        masks: true in the region, `n × H × W`.

    Returns:
        The correction in nats per pixel and its standard error, the systematic part included, each `n`; NaN where the
        region is empty.
    """
    return _weighted(shift, shift_se, gap, space, _average(masks))


def contrast(
    shift: torch.Tensor, shift_se: torch.Tensor, gap: torch.Tensor, space: SigmaSpace, masks: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates the same of a concentration: the mean over the background minus the mean over the object.

    Args:
        masks: true on the object, `n × H × W`; all others as for `region`.
    """
    return _weighted(shift, shift_se, gap, space, _average(~masks) - _average(masks))


def _average(masks: torch.Tensor) -> torch.Tensor:
    """Weights of the mean over a region (`masks`, `n × H × W`), shaped as it; NaN where it is empty."""
    inside = masks.double()
    return inside / inside.sum((1, 2), keepdim=True)


def _weighted(
    shift: torch.Tensor, shift_se: torch.Tensor, gap: torch.Tensor, space: SigmaSpace, pixels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ weights · shift and its standard error, each `n`; `pixels` are weights of pixels, `n × H × W`."""
    channels, height, width = space.input_shape
    whole = (pixels[:, None] / channels).expand(-1, channels, height, width)
    weights = space.gather(whole).to(shift)
    noise = (weights * shift_se).square().sum((1, 2, 3))
    systematic = REGION * (2 * gap.clamp(min=0)).sqrt()
    return (weights * shift).sum((1, 2, 3)), (noise + systematic.square()).sqrt()
