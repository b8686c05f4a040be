"""Wiener filter in à trous wavelets, for maps that are smooth on many scales under white noise (docs/solver.md)."""

from __future__ import annotations

import math

import torch

SURE = 8
"""A scale's steps grow by its Wiener factor to this power: hardly before its noise is below a tenth of its signal."""


class Scales:
    """Undecimated split of maps into details of growing scale, by repeated smoothing with the B3 spline (à trous).

    Translation-invariant, so that filtered maps show no blocks; reflecting at the border.

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
        """Averages a power around every parameter, over some four times the width of the details of `scale`.

        Args:
            values: `… × planes × rows × columns`.
            scale: index of the details whose power it is; from the coarsest on, the mean over the map is returned.

        Returns:
            The averages, in a shape that broadcasts to `values`.
        """
        level = scale - (self._planes > 1) + 2
        if level >= len(self._rows):
            return mean(values)
        local = self._rows[level] @ values @ self._columns[level].T
        return local.mean(-3, keepdim=True) if self._planes > 1 else local

    def split(self, maps: torch.Tensor) -> list[torch.Tensor]:
        """Splits maps (`… × planes × rows × columns`) into details, fine to coarse; they sum to maps without mean."""
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
    """Returns the matrices (`size × size`) that smooth a line up to each of `count` scales."""
    result, whole = [], torch.eye(size, dtype=like.dtype, device=like.device)
    position = torch.arange(size, device=like.device)
    for level in range(count):
        step = torch.zeros_like(whole)
        for offset, weight in zip((-2, -1, 0, 1, 2), (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), strict=True):
            source = (position + offset * 2**level) % (2 * size)
            source = torch.where(source >= size, 2 * size - 1 - source, source)
            step.index_put_((position, source), like.new_full((), weight), accumulate=True)
        whole = step @ whole
        result.append(whole)
    return result


def mean(values: torch.Tensor) -> torch.Tensor:
    """Mean over a map's parameters, `… × planes × rows × columns` → `… × 1 × 1 × 1`."""
    return values.mean((-3, -2, -1), keepdim=True)


def live_mean(values: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
    """Mean over the parameters where `live` (0 or 1, broadcastable) is 1, `… × 1 × 1 × 1`; 0 where none is."""
    return (values * live).sum((-3, -2, -1), keepdim=True) / live.sum((-3, -2, -1), keepdim=True).clamp(min=1)


def filtered(
    place: torch.Tensor, steps: torch.Tensor, predictions: torch.Tensor, scales: Scales, farther: torch.Tensor
) -> torch.Tensor:
    """Estimates the shape of log σ from two noisy Newton targets and two noisy copies of a prediction.

    On every scale, the difference of two copies gives the power of their noise and their product the power of the
    signal. A Wiener filter keeps of the prediction what stands above its noise, and the same of the targets' deviation
    from it. The targets' noise is taken around each parameter: where a few draws weigh much, it is large there alone.

    Where a scale has hardly any noise, its steps are made longer: the error left there is in directions whose curvature
    is smaller than the Newton step assumes.

    Args:
        place: log σ where the steps begin, `r × planes × rows × columns`.
        steps: from `place` to the targets, `r × 2 × planes × rows × columns`.
        predictions: of log σ, shaped as `steps`; right up to a factor, which is fitted, and a deviation.
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
    """The Wiener factor V / (V + N), `r × planes × rows × columns`.

    Args:
        deviation: of the targets from predictions of the same half, `r × 2 × planes × rows × columns`, whose product
            has the power V: no draw meets itself in it, and the prediction's systematic error alone remains.
        noise: N, broadcastable to the result.
    """
    power = mean(deviation.prod(1)).clamp(0, 0.5)
    return power / (power + noise + 1e-12)


def _powers(halves: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the powers of the signal in two copies (`r × 2 × planes × rows × columns`) and of their mean's noise."""
    shared = mean(halves.prod(1)).clamp(min=0)
    return shared, mean((halves[:, 0] - halves[:, 1]).square()) / 4


def _fit(
    parts: list[tuple[torch.Tensor, torch.Tensor]],
    powers: list[tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]],
) -> torch.Tensor:
    """Returns the factor (`r × 1 × 1 × 1`) of the prediction that fits the targets best, with a prior near 1.

    Args:
        parts: target and prediction, fine to coarse, each `r × 2 × planes × rows × columns`.
        powers: `_powers` of either.
    """
    above = below = torch.full_like(powers[0][0][0], 0.05)
    for (target, prediction), ((signal, noise), (known, _)) in zip(parts, powers, strict=True):
        weight = 1 / (noise + signal / 2 + 1e-4)
        above = above + weight * mean((target * prediction.flip(1)).mean(1))
        below = below + weight * known
    return (above / below).clamp(0.5, 2)
