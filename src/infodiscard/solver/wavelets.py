"""Estimating a map that is smooth on many scales from noisy copies of it whose noise is white (docs/solver.md)."""

from __future__ import annotations

import math

import torch

SURE = 8
"""A scale's steps are made longer by its Wiener factor to this power: not before noise is below a tenth of it."""


class Scales:
    """Splits maps into details of growing scale, by repeated smoothing with the B3 spline (an à-trous wavelet).

    Translation-invariant, so that what is filtered shows no blocks; reflecting at the border.

    Args:
        like: a tensor `… × planes × rows × columns` of the maps to split.
    """

    def __init__(self, like: torch.Tensor) -> None:
        self._planes = like.shape[-3]
        rows, columns = like.shape[-2:]
        size = max(rows, columns) if 1 in (rows, columns) else min(rows, columns)
        count = max(1, int(math.log2(max(2, size))) - 1)
        self._rows = _smoothers(rows, count, like)
        self._columns = _smoothers(columns, count, like)

    def around(self, values: torch.Tensor, scale: int) -> torch.Tensor:
        """Averages a power over the surroundings of every parameter, some four times as wide as the details of `scale`.

        Args:
            values: `… × planes × rows × columns`.
            scale: index of the details whose power it is; the mean over the map from the coarsest ones on.
        """
        level = scale - (self._planes > 1) + 2
        if level >= len(self._rows):
            return mean(values)
        local = self._rows[level] @ values @ self._columns[level].T
        return local.mean(-3, keepdim=True) if self._planes > 1 else local

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


def mean(values: torch.Tensor) -> torch.Tensor:
    """Mean over a map's parameters, kept as dimensions of size one."""
    return values.mean((-3, -2, -1), keepdim=True)


def live_mean(values: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
    """The same over the parameters where `live` is 1."""
    return (values * live).sum((-3, -2, -1), keepdim=True) / live.sum((-3, -2, -1), keepdim=True).clamp(min=1)


def filtered(
    place: torch.Tensor, steps: torch.Tensor, predictions: torch.Tensor, scales: Scales, farther: torch.Tensor
) -> torch.Tensor:
    """Estimates the shape of log σ from two noisy Newton targets and two noisy copies of a prediction.

    On every scale, the difference of two copies gives the power of their noise and their product the power of what they
    share. The prediction is kept as far as it stands above its own noise, and the targets' deviation from it likewise.
    The targets' noise is taken around each parameter: where a few draws weigh much, it is large there alone.

    Where a scale has hardly any noise, its steps are made longer: what is still missing there lies where the curvature
    is smaller than the Newton step takes it to be.

    Args:
        place: where the steps begin, `r × planes × rows × columns`.
        steps: the ways to the targets, `r × 2 × planes × rows × columns`.
        predictions: the same; right up to a factor, which is fitted, and a deviation of its own.
        farther: how much longer a step without noise is made, `r`.

    Returns:
        The estimate, of mean zero: `r × planes × rows × columns`.
    """
    places, ways, guesses = (scales.split(maps) for maps in (place, steps, predictions))
    parts = [(start[:, None] + way, guess) for start, way, guess in zip(places, ways, guesses, strict=True)]
    powers = [(_powers(target), _powers(prediction)) for target, prediction in parts]
    factor = _fit(parts, powers)
    shape = torch.zeros_like(place)
    for scale, ((target, prediction), (_, (known, blur))) in enumerate(zip(parts, powers, strict=True)):
        noise = scales.around((target[:, 0] - target[:, 1]).square(), scale) / 4
        guess = (factor * known / (known + blur + 1e-12))[:, None] * prediction
        sure = _share(target - guess, mean(noise)) ** SURE
        length = 1 + farther[:, None, None, None] * sure
        target = places[scale][:, None] + length[:, None] * ways[scale]
        base = guess.mean(1)
        shape += base + _share(target - guess, length.square() * noise) * (target.mean(1) - base)
    return shape - mean(shape)


def _share(deviation: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The Wiener factor: the power of what two copies (dimension 1) share, over itself and the noise's.

    Either half by itself, so that no draw meets itself: what is left is the prediction's systematic error alone.
    """
    power = mean(deviation.prod(1)).clamp(0, 0.5)
    return power / (power + noise + 1e-12)


def _powers(halves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the power of what two noisy copies share, and the power of the noise in their mean."""
    shared = mean(halves.prod(1)).clamp(min=0)
    return shared, mean((halves[:, 0] - halves[:, 1]).square()) / 4


def _fit(
    parts: list[tuple[torch.Tensor, torch.Tensor]],
    powers: list[tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]],
) -> torch.Tensor:
    """Returns the factor of the prediction that fits the targets best, near 1 unless they say otherwise."""
    above = below = torch.full_like(powers[0][0][0], 0.05)
    for (target, prediction), ((signal, noise), (known, _)) in zip(parts, powers, strict=True):
        weight = 1 / (noise + signal / 2 + 1e-4)
        above = above + weight * mean((target * prediction.flip(1)).mean(1))
        below = below + weight * known
    return (above / below).clamp(0.5, 2)
