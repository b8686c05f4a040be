"""Verdicts: whether a claim of the paper holds, the statistic behind the answer, and what could have been seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .interval import Interval

HOLDS, FAILS, UNKNOWN = "holds", "does not hold", "cannot tell"
FEW = 3  # fewer trainings say nothing about networks in general
MOST = 1000
"""Repetitions up to which it is said how many a verdict would need."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and the verdict here.

    Attributes:
        text: the claim.
        verdict: `holds`, `does not hold` or `cannot tell`.
        statistic: behind the verdict, in words and numbers.
        interval: of the statistic; `None` where it has none.
        seen: the smallest effect that would be told from none with a probability of 80 %, in the statistic's unit.
        change: what would change the verdict, in words.
    """

    text: str
    verdict: str
    statistic: str
    interval: Interval | None = None
    seen: float | None = None
    change: str = ""


def direction(
    text: str,
    values: Sequence[float] | Interval,
    what: str,
    *,
    above: float = 0.0,
    unit: str = "nats/pixel",
    of: str = "trainings",
    few: int = FEW,
    level: float = 0.95,
) -> Claim:
    """Judges the claim that a quantity is above some number.

    It holds if the interval is above it, does not if it is below, and otherwise cannot be told; nor can it from fewer
    than `few` values.

    Args:
        text: the claim.
        values: one per independent repetition, or the interval of their mean.
        what: the quantity in words.
        above: the number.
        unit: its unit.
        of: what is repeated.
        few: least number of values.
        level: of the interval.
    """
    interval = values if isinstance(values, Interval) else Interval.of(values, level)
    verdict = UNKNOWN
    if interval.n >= few and interval.low > above:
        verdict = HOLDS
    elif interval.n >= few and interval.high < above:
        verdict = FAILS
    limit = f"; to be above {above:g}" if above else ""
    if verdict == UNKNOWN:
        change = _more(interval, abs(interval.mean - above), of, few)
    else:
        change = _slack(interval.low - above if verdict == HOLDS else above - interval.high, unit)
    return Claim(
        text, verdict, interval.words(what, unit, of) + limit + _seen(interval, unit), interval, interval.seen(), change
    )


def equality(
    text: str,
    values: Sequence[float] | Interval,
    margin: float,
    what: str,
    *,
    unit: str = "nats/pixel",
    of: str = "trainings",
    few: int = FEW,
    level: float = 0.95,
) -> Claim:
    """Judges the claim that a quantity is zero but for `margin`, by two one-sided tests (TOST; Schuirmann 1987).

    It holds if the interval is within ± margin, does not if it is outside, and otherwise cannot be told. With an
    interval of 95 %, each of the two tests is at 2.5 %, stricter than the usual 5 %, so that one interval serves both
    answers.

    Args:
        text, values, what, unit, of, few, level: as for `direction`.
        margin: what still counts as equal.
    """
    interval = values if isinstance(values, Interval) else Interval.of(values, level)
    verdict = UNKNOWN
    if interval.n >= few and -margin < interval.low and interval.high < margin:
        verdict = HOLDS
    elif interval.n >= few and (interval.low > margin or interval.high < -margin):
        verdict = FAILS
    if verdict == UNKNOWN:
        change = _more(interval, abs(margin - abs(interval.mean)), of, few)
    elif verdict == HOLDS:
        change = _slack(margin - max(abs(interval.low), abs(interval.high)), unit)
    else:
        change = _slack(min(abs(interval.low), abs(interval.high)) - margin, unit)
    words = f"{interval.words(what, unit, of)}; equal means within ±{margin:g}"
    return Claim(text, verdict, words + _seen(interval, unit), interval, interval.seen(), change)


def equalities(text: str, parts: dict[str, Interval], margin: float, what: str, *, of: str = "trainings") -> Claim:
    """Judges the claim that a quantity is zero but for `margin` in every one of several places.

    Holding everywhere is an intersection of tests, each of which must hold at the intervals' level (Berger 1982); to
    fail, one place is enough, and so the intervals of all are widened for their number (Bonferroni).

    Args:
        text: the claim.
        parts: intervals by the name of the place.
        margin: what still counts as equal.
        what: the quantity in words.
        of: what is repeated.
    """
    judged = {name: equality(text, part, margin, name, of=of) for name, part in parts.items()}
    outside = [equality(text, part.widened(len(parts)), margin, name, of=of) for name, part in parts.items()]
    verdict = UNKNOWN
    if judged and all(each.verdict == HOLDS for each in judged.values()):
        verdict = HOLDS
    elif any(each.verdict == FAILS for each in outside):
        verdict = FAILS
    worst = max(judged, key=lambda name: abs(parts[name].mean) if parts[name].n else -1.0)
    places = "; ".join(part.words(f"at {name}", "", of) for name, part in parts.items())
    statistic = f"{what} {places} nats/pixel; equal means within ±{margin:g} at each"
    statistic += _seen(parts[worst], "nats/pixel")
    return Claim(text, verdict, statistic, parts[worst], parts[worst].seen(), f"At {worst}: {judged[worst].change}")


def together(text: str, one: Claim, other: Claim) -> Claim:
    """Judges the claim that two quantities have one sign, each of which has a verdict on being above zero.

    It holds if both are above, or both below, and does not if one is above and one below; both must be told.
    """
    verdicts = {one.verdict, other.verdict}
    verdict = UNKNOWN if UNKNOWN in verdicts else HOLDS if len(verdicts) == 1 else FAILS
    change = next((each.change for each in (one, other) if each.verdict == UNKNOWN), one.change)
    return Claim(text, verdict, f"{one.statistic}; {other.statistic}", one.interval, one.seen, change)


def _seen(interval: Interval, unit: str) -> str:
    """Returns the effect that could have been seen, in words."""
    effect = interval.seen()
    return "" if effect is None else f"; an effect of {effect:.3f}{f' {unit}'.rstrip()} would be seen 4 times in 5"


def _slack(amount: float, unit: str) -> str:
    return f"An interval that is {amount:.3f}{f' {unit}'.rstrip()} nearer to the limit."


def _more(interval: Interval, effect: float, of: str, few: int) -> str:
    """Returns how many repetitions would tell, if the mean stays as it is."""
    if interval.n < max(few, 2):
        return f"At least {max(few, 2)} {of}; there {'is' if interval.n == 1 else 'are'} {interval.n}."
    needed = interval.needed(effect, MOST)
    if needed is None:
        return f"More than {MOST:,} {of}, if the mean stays as it is."
    return f"About {max(needed, interval.n + 1)} {of}, if the mean stays as it is."
