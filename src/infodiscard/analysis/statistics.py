"""Student's t, Holm's correction and rank correlation: what comparisons rest on, without a library of statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ..errors import InfodiscardError

FEWEST_NETWORKS = 4  # three are in one order or its reverse once in three times, whatever they are


class Correlation(NamedTuple):
    """Spearman's ρ over `n` networks, −1 … 1, and the ends of its 95 % interval."""

    rho: float
    low: float
    high: float
    n: int


def holm(p: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number by Holm's step-down method, in the order given.

    Those at most alpha may be called significant together, with a probability of at most alpha that one is not.
    """
    corrected, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = highest
    return corrected


def holm_levels(p: Sequence[float], alpha: float) -> list[float]:
    """Returns the level at which Holm's method tests each: p is at most its level just if it is significant."""
    levels, rank = [0.0] * len(p), 0
    for i in sorted(range(len(p)), key=p.__getitem__):
        levels[i] = alpha / (len(p) - rank)
        # After the first that is not significant no further one can be: the level stays.
        rank += p[i] <= levels[i] and rank < len(p) - 1
    return levels


def t_tail(t: float, freedom: float) -> float:
    """Returns the probability that Student's t is `t` or more, to 1e-9 of its value."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    square = t * t
    half = 0.5 * _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square), square / (freedom + square))
    return half if t >= 0 else 1 - half


def t_bound(level: float, freedom: float) -> float:
    """Returns the t that Student's t exceeds with a probability of `level`, which is between 0 and 0.5."""
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > level:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_tail(middle, freedom) > level else (low, middle)
    return high


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Returns the regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22).

    Args:
        a: first parameter.
        b: second parameter.
        x: where, from 0 to 1.
        rest: 1 − x, which may be too small to be seen in x.
    """
    if x <= 0 or rest <= 0:
        return float(rest <= 0)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _incomplete_beta(b, a, rest, x)
    constant = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(constant + a * math.log(x) + b * math.log(rest)) / (a * _fraction(a, b, x))


def _fraction(a: float, b: float, x: float, tiny: float = 1e-300) -> float:
    """Returns 1 + d1/(1 + d2/(1 + …)) of the incomplete beta function, by Lentz's method."""
    value, c, d = 1.0, 1.0, 0.0
    for i in range(1, 1000):
        m = i // 2
        if i % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d or tiny)
        c = 1 + term / c or tiny
        value *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return value


@cache
def t_quantile(freedom: float) -> float:
    """Returns the 97.5 % quantile of Student's t, of which a 95 % interval is made."""
    return t_bound(0.025, freedom)


def rank_correlation(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, resamples: int = 2000, seed: int = 0
) -> Correlation:
    """Returns Spearman's rank correlation over networks, with a bootstrap interval.

    The interval is from the 2.5th to the 97.5th percentile of ρ over networks drawn with replacement; draws in which
    all values of a side are the same have no ρ and are left out. It is a rough one for a handful of networks.

    Args:
        x: a value per network, such as its SID.
        y: another, such as its accuracy under attack. A network that lacks either (a finite number) is left out.
        resamples: draws, 100 or more.
        seed: of the draws.

    Returns:
        ρ, the interval and the number of networks; NaN where they are fewer than 4 or a side is constant.

    Raises:
        InfodiscardError: the two differ in length, or `resamples` is too small.
    """
    if resamples < 100:
        raise InfodiscardError(f"resamples is {resamples}; give a number of 100 or more.")
    if len(x) != len(y):
        raise InfodiscardError(f"There are {len(x)} and {len(y)} values; give one of each for every network.")
    pairs = np.array([x, y], dtype=float)
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    n = pairs.shape[1]
    rho = _spearman(pairs[:, None])[0]
    if n < FEWEST_NETWORKS or np.isnan(rho):
        return Correlation(float("nan"), float("nan"), float("nan"), n)
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    low, high = np.nanquantile(_spearman(pairs[:, drawn]), (0.025, 0.975))
    return Correlation(float(rho), float(low), float(high), n)


def _spearman(pairs: np.ndarray) -> np.ndarray:
    """Returns the correlation of ranks, ties sharing theirs, `2 × many × n` to `many`; NaN where a side is constant."""
    import pandas as pd

    x, y = (pd.DataFrame(side).rank(axis=1).to_numpy() - (pairs.shape[2] + 1) / 2 for side in pairs)
    with np.errstate(invalid="ignore"):
        return (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
