"""Student's t, Holm's correction and rank correlation: what comparisons rest on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ..errors import InfodiscardError

# SciPy's statistics take a second to import, and so are imported where they are used.

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
    # statsmodels has this too, but takes seconds to import and collects all garbage in every call.
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(np.arange(len(values), 0, -1) * values[order]).clip(max=1.0)
    return corrected.tolist()


def t_tail(t: float, freedom: float) -> float:
    """Returns the probability that Student's t is `t` or more."""
    from scipy import stats

    return float(stats.t.sf(t, freedom))


def t_bound(level: float, freedom: float) -> float:
    """Returns the t that Student's t exceeds with a probability of `level`."""
    from scipy import stats

    return float(stats.t.isf(level, freedom))


def chi2_tail(value: float, freedom: float) -> float:
    """Returns the probability that χ² is `value` or more."""
    from scipy import stats

    return float(stats.chi2.sf(value, freedom))


def binomial_tail(count: int, n: int) -> float:
    """Returns the probability of `count` heads or more in `n` tosses of a fair coin."""
    from scipy import stats

    return float(stats.binom.sf(count - 1, n, 0.5))


@cache
def t_quantile(freedom: float) -> float:
    """Returns the 97.5 % quantile of Student's t, of which a 95 % interval is made."""
    return t_bound(0.025, freedom)


def half_width(se: float, n: int) -> float:
    """Returns half the width of the 95 % interval of a mean of `n`, from Student's t; NaN for a single one."""
    return t_quantile(n - 1) * se if n > 1 else float("nan")


def rank_correlation(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, resamples: int = 2000, seed: int = 0
) -> Correlation:
    """Returns Spearman's rank correlation over networks, with a bootstrap interval.

    The interval is from the 2.5th to the 97.5th percentile of ρ over networks drawn with replacement; draws in which
    all values of a side are the same have no ρ and are excluded. It is a rough one for a handful of networks.

    Args:
        x: a value per network, such as its SID.
        y: another, such as its accuracy under attack. A network that lacks either (a finite number) is excluded.
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
    from scipy.stats import rankdata

    x, y = (rankdata(side, axis=1) - (pairs.shape[2] + 1) / 2 for side in pairs)
    with np.errstate(invalid="ignore"):
        return (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
