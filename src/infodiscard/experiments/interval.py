"""Intervals of a mean over independent repetitions, and the effect that they could have shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ..analysis.statistics import t_bound

POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """A mean with its standard error and its interval (Student's t).

    Attributes:
        mean: of the values.
        se: its standard error; NaN for a single value.
        low: lower end of the interval.
        high: upper end.
        n: number of values.
        freedom: degrees of freedom of the standard error.
        level: of the interval, 0 … 1.
    """

    mean: float
    se: float
    low: float
    high: float
    n: int
    freedom: float = 0.0
    level: float = 0.95

    @classmethod
    def of(cls, values: Sequence[float], level: float = 0.95, systematic: float = 0.0) -> Interval:
        """Returns the interval of the mean of independent values; NaN are omitted.

        Args:
            values: of the repetitions.
            level: of the interval.
            systematic: a part of the standard error that more values do not make smaller.
        """
        known = np.asarray([value for value in values if not math.isnan(value)], np.float64)
        if not len(known):
            return cls(math.nan, math.nan, math.nan, math.nan, 0, 0.0, level)
        if len(known) == 1:
            return cls(float(known[0]), math.nan, math.nan, math.nan, 1, 0.0, level)
        se = math.hypot(float(known.std(ddof=1)) / math.sqrt(len(known)), systematic)
        return cls.about(float(known.mean()), se, len(known), len(known) - 1, level)

    @classmethod
    def about(cls, mean: float, se: float, n: int, freedom: float, level: float = 0.95) -> Interval:
        """Returns the interval about an estimate whose standard error has so many degrees of freedom."""
        half = t_bound((1 - level) / 2, freedom) * se
        return cls(mean, se, mean - half, mean + half, n, freedom, level)

    def widened(self, count: int) -> Interval:
        """Returns the interval for one of `count` that hold together with the same level (Bonferroni)."""
        if self.freedom < 1:
            return self
        level = 1 - (1 - self.level) / count
        return replace(self.about(self.mean, self.se, self.n, self.freedom, level), level=self.level)

    def seen(self) -> float | None:
        """Returns the effect that excludes zero from such an interval with a probability of 80 %; `None` if unknown."""
        return _shift(self.freedom, self.level) * self.se if self.freedom >= 1 and self.se else None

    def needed(self, effect: float, most: int) -> int | None:
        """Returns the number of values with which an effect would be seen with a probability of 80 %.

        Args:
            effect: to be seen.
            most: the number to look up to; `None` is returned if it takes more.
        """
        if not effect > 0:
            return None
        scatter = self.se * math.sqrt(self.n)
        counts = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, most)
        ratio = self.freedom / max(self.n - 1, 1)  # of a model that knows the scatter from elsewhere as well
        for count in counts:
            if _shift(max(1.0, round(ratio * (count - 1))), self.level) * scatter / math.sqrt(count) <= effect:
                return count
        return None

    def words(self, what: str, unit: str = "nats/pixel", of: str = "trainings") -> str:
        """Returns `what`, the numbers and what they are a mean of."""
        if not self.n:
            return f"{what}: nothing to measure it on"
        end = f" {unit}".rstrip()
        if self.n == 1:
            return f"{what} {self.mean:+.3f}{end} (a single one of the {of}, so no error of it)"
        ends = f"{100 * self.level:.3g} % {self.low:+.3f} … {self.high:+.3f}"
        model = "" if self.freedom == self.n - 1 else f", mixed model, {self.freedom:g} degrees of freedom"
        return f"{what} {self.mean:+.3f} ± {self.se:.3f}{end}, {ends} ({self.n} {of}{model})"


@cache
def _shift(freedom: float, level: float) -> float:
    """Returns the effect, in standard errors, that a t-test tells from none with a probability of 80 %."""
    from scipy import optimize, stats

    bound = t_bound((1 - level) / 2, freedom)
    return float(optimize.brentq(lambda shift: stats.nct.sf(bound, freedom, shift) - POWER, 0.0, 3 * bound + 5))
