"""Verdicts: whether a claim of the paper holds, and the statistic behind the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..analysis.statistics import half_width

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot tell"
FEW = 3  # fewer trainings say nothing about networks in general


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and the verdict here.

    Attributes:
        text: the claim.
        verdict: `holds`, `does not hold` or `cannot tell`.
        statistic: behind the verdict, in words and numbers.
    """

    text: str
    verdict: str
    statistic: str


@dataclass(frozen=True)
class Interval:
    """A mean with its standard error and 95 % interval (Student's t).

    Attributes:
        mean: of the values.
        se: its standard error, n − 1; NaN for a single value.
        low: lower end of the interval.
        high: upper end.
        n: number of values.
    """

    mean: float
    se: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Returns the interval of independent values; NaN are omitted."""
        known = np.asarray([value for value in values if not math.isnan(value)], np.float64)
        if not len(known):
            return cls(math.nan, math.nan, math.nan, math.nan, 0)
        mean = float(known.mean())
        if len(known) == 1:
            return cls(mean, math.nan, math.nan, math.nan, 1)
        se = float(known.std(ddof=1) / math.sqrt(len(known)))
        half = half_width(se, len(known))
        return cls(mean, se, mean - half, mean + half, len(known))

    def words(self, what: str, unit: str = "nats/pixel", of: str = "trainings") -> str:
        """Returns `what`, the numbers and what they are a mean of."""
        if not self.n:
            return f"{what}: nothing to measure it on"
        end = f" {unit}".rstrip()
        if self.n == 1:
            return f"{what} {self.mean:+.3f}{end} (a single one of the {of}, so no error of it)"
        return f"{what} {self.mean:+.3f} ± {self.se:.3f}{end}, 95 % {self.low:+.3f} … {self.high:+.3f} ({self.n} {of})"


def direction(
    text: str,
    values: Sequence[float],
    what: str,
    *,
    above: float = 0.0,
    unit: str = "nats/pixel",
    of: str = "trainings",
    few: int = FEW,
) -> Claim:
    """Judges the claim that a quantity is above some number.

    It holds if the 95 % interval is above it, does not if it is below, and otherwise cannot be told; nor can it from
    fewer than `few` values.

    Args:
        text: the claim.
        values: one per independent repetition.
        what: the quantity in words.
        above: the number.
        unit: its unit.
        of: what is repeated.
        few: least number of values.
    """
    interval = Interval.of(values)
    verdict = UNKNOWN
    if interval.n >= few and interval.low > above:
        verdict = HOLDS
    elif interval.n >= few and interval.high < above:
        verdict = FAILS
    limit = f"; to be above {above:g}" if above else ""
    return Claim(text, verdict, interval.words(what, unit, of) + limit)


def equality(
    text: str,
    values: Sequence[float],
    margin: float,
    what: str,
    *,
    unit: str = "nats/pixel",
    of: str = "trainings",
    few: int = FEW,
) -> Claim:
    """Judges the claim that a quantity is zero but for `margin`, by two one-sided tests.

    It holds if the 95 % interval is within ± margin, does not if it is outside, and otherwise cannot be told.

    Args:
        text, values, what, unit, of, few: as for `direction`.
        margin: what still counts as equal.
    """
    interval = Interval.of(values)
    verdict = UNKNOWN
    if interval.n >= few and -margin < interval.low and interval.high < margin:
        verdict = HOLDS
    elif interval.n >= few and (interval.low > margin or interval.high < -margin):
        verdict = FAILS
    return Claim(text, verdict, f"{interval.words(what, unit, of)}; equal means within ±{margin:g}")
