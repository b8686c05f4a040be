"""Verdicts on paired differences, which tables, pages and the gate share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .statistics import chi2_tail, holm, t_bound, t_tail

if TYPE_CHECKING:
    import pandas as pd

    from .difference import Difference

MORE, LESS, MIXED, SAME, UNKNOWN = "more", "less", "mixed", "same", "cannot tell"
CHANGED = MORE, LESS, MIXED

LEAST = 0.05
"""Differences up to this size do not count, nats/pixel: the tolerated noise differs by 5 %."""

SHARE = 0.1
"""Nor do those up to this share of what the first discards at the layer, above a layer that discards nothing."""

IMAGES = 2.0
"""How many times as much single samples may differ, in the root mean square, as their mean."""

CONFIDENCE = 0.95


class Limits(NamedTuple):
    """Which differences b − a do not count: from `low`, 0 or less, to `high`, 0 or more; either may be infinite."""

    low: float
    high: float

    @property
    def single(self) -> float:
        """What single samples may differ by, in the root mean square."""
        return IMAGES * max(-self.low, self.high)


class Verdict(NamedTuple):
    """What is known of a difference: a word, and p of there being none in the mean (of single samples, if "mixed")."""

    word: str
    p_holm: float


def verdicts(
    rows: Sequence[Difference],
    limits: Sequence[Limits] | None = None,
    confidence: float = CONFIDENCE,
) -> list[Verdict]:
    """Says of each difference b − a what is known of it.

    "more", "less": it is not 0, by a two-sided paired t-test. "mixed": it may be 0, yet single samples differ, by a
    χ² test of their differences against their own errors, and by more than they may. Both tests of all rows together
    are corrected by Holm's method: if nothing differs, any row is called one of these with a probability of at most
    1 − confidence. "same": the interval of the mean lies within the limits, and so does the upper bound of what single
    samples differ by. Else "cannot tell".

    The gap of what is not corrected counts against every verdict, and of single samples it is not known what is error,
    so that nothing is said of them.

    Args:
        rows: the family that is corrected for.
        limits: of each row, outside of which a difference counts: those within are then "same" even if they are not 0,
            and those not 0 are "more" or "less" only if they lie outside. By default every difference counts, and the
            same is what does not exceed `allowed`.
        confidence: of the tests and intervals.
    """
    singles = {i: _p_single(row) for i, row in enumerate(rows) if not math.isnan(row["chi2"])}
    corrected = holm([*map(_p_mean, rows), *singles.values()])
    scattered = dict(zip(singles, corrected[len(rows) :], strict=True))
    found = []
    for i, row in enumerate(rows):
        limit = limits[i] if limits else Limits(-row["allowed"], row["allowed"])
        same = is_within(row, limit, confidence)
        differs, single = corrected[i] <= 1 - confidence, scattered.get(i, 1.0) <= 1 - confidence
        counts = not limits or not limit.low <= row["difference"] <= limit.high
        if same and limits:
            word = SAME
        elif differs and counts:
            word = MORE if row["difference"] > 0 else LESS
        elif single and math.sqrt(max(row["spread"] ** 2 - row["noise"] ** 2, 0)) > limit.single:
            word = MIXED
        else:
            word = SAME if same else UNKNOWN
        found.append(Verdict(word, scattered[i] if word == MIXED else corrected[i]))
    return found


def half_interval(row: Difference, confidence: float = CONFIDENCE) -> float:
    """Returns half of the interval of a difference, from Student's t; 0 without any scatter, NaN for one sample."""
    if row["n"] < 2:
        return math.nan
    return t_bound((1 - confidence) / 2, row["n"] - 1) * row["se"] if row["se"] > 0 else 0.0


def is_within(row: Difference, limit: Limits, confidence: float = CONFIDENCE) -> bool:
    """Says whether a difference is shown to lie within limits, in the mean and, where that is known, of each sample."""
    reach = half_interval(row, confidence) + row["gap"]
    mean = limit.low <= row["difference"] - reach and row["difference"] + reach <= limit.high
    if not mean or math.isnan(row["noise"]) or row["spread"] == 0 or math.isinf(limit.single):
        return mean
    # Their errors are in the spread, and so count against it.
    return limit.single > 0 and chi2_tail(row["n"] * (row["spread"] / limit.single) ** 2, row["n"]) >= confidence


def _p_mean(row: Difference) -> float:
    """Returns how probable a mean difference of this size or more is if there is none."""
    excess = abs(row["difference"]) - row["gap"]
    if row["n"] < 2:
        return 1.0  # one sample shows nothing
    if row["se"] == 0:
        return 0.0 if excess > 0 else 1.0  # without any scatter it is known
    return min(1.0, 2 * t_tail(excess / row["se"], row["n"] - 1))


def _p_single(row: Difference) -> float:
    """Returns how probable it is that single samples scatter this much if none of them differs."""
    return 1.0 if row["n"] < 2 else chi2_tail(row["chi2"], row["n"])


def in_words(a: str, b: str, name: str, rows: pd.DataFrame) -> str:
    """Returns one sentence on what is known of two networks.

    Args:
        a, b: what they are called.
        name: of what was compared.
        rows: those of `compare` of the two.
    """
    words = [str(word) for word in rows["verdict"]]
    layers = {word: [str(layer) for layer in rows["layer"][rows["verdict"] == word]] for word in dict.fromkeys(words)}
    if set(words) == {SAME}:
        return f"{name} of {b} is the same as that of {a} in {_all(len(rows))}."
    said = {
        MORE: "more in {}",
        LESS: "less in {}",
        MIXED: "mixed in {} (single samples change, the mean may not)",
        SAME: "the same in {}",
    }
    parts = [said[word].format(named(layers[word])) for word in said if word in layers]
    unknown = layers.get(UNKNOWN, [])
    if not parts:
        return f"{name}: it cannot be told whether {b} differs from {a} in {_all(len(rows))}; measure more samples."
    parts += [f"not to be told in {named(unknown)}"] if unknown else []
    return f"{name} of {b} against {a}: {'; '.join(parts)}."


def named(layers: Sequence[str], most: int = 4) -> str:
    """Returns the first names and how many more there are."""
    if len(layers) <= most:
        return layers[0] if len(layers) == 1 else f"{', '.join(layers[:-1])} and {layers[-1]}"
    return f"{', '.join(layers[:most])} and {len(layers) - most} more"


def _all(count: int) -> str:
    return f"all {count} layers" if count > 1 else "the one layer compared"
