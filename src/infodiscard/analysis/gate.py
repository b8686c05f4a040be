"""A gate for pipelines: is a changed network still the same as the one it was made from, in what it discards?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.metrics import METRICS
from ..core.numbers import printed
from ..core.settings import Settings
from ..errors import InfodiscardError, nearest, number, quoted
from ..results.places import as_place
from ..results.run import StoredRun
from ..results.store import STORE, holds_run
from .difference import Difference
from .paired import check_pairing, compare_sides, pair_layers
from .side import Side
from .statistics import binomial_tail, t_bound
from .trust import other_pixels
from .verdict import CHANGED, LESS, MIXED, MORE, SAME, UNKNOWN, Limits, Verdict, half_interval, verdicts

if TYPE_CHECKING:
    import pandas as pd

PASS, DIFFERS, UNDECIDED = "PASS", "DIFFERS", "UNDECIDED"

MOST_IMAGES = 10_000
"""Beyond which no number of images is advised: the change is at the limit."""

DROP = 0.1
"""Share of the images by which accuracy may be lower, though not significantly, for a check to pass."""


@dataclass(frozen=True)
class Allowed:
    """What a candidate may differ by, nats/pixel, 0 or more; `math.inf` leaves a side unchecked.

    Attributes:
        change: in either direction. `None`: 0.05, or a tenth of what the base discards at the layer (its SID above that
            of a layer that discards nothing), whichever is more.
        increase: what it may discard more; `None`: as `change`.
        decrease: what it may discard less; `None`: as `change`.

    Raises:
        InfodiscardError: one is negative or not a number.
    """

    change: float | None = None
    increase: float | None = None
    decrease: float | None = None

    def __post_init__(self) -> None:
        for name in ("change", "increase", "decrease"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise InfodiscardError(f"max_{name} was {value}; it must be a number of nats/pixel, 0 or more.")

    def limits(self, row: Difference) -> Limits:
        """Returns what the difference of a row may be."""
        either = row["allowed"] if self.change is None else self.change
        low, high = (either if side is None else side for side in (self.decrease, self.increase))
        return Limits(-low, high)


@dataclass(frozen=True)
class Accuracy:
    """How many of the images both classify as labelled.

    Attributes:
        base, candidate: shares of the images, 0 … 1.
        n: the images.
        p: of the candidate being right on no fewer, by a one-sided sign test of the images that one of both has right.
        verdict: "less", significantly; "cannot tell", fewer by more than a tenth of the images, though not
            significantly; else "same".
    """

    base: float
    candidate: float
    n: int
    p: float
    verdict: str

    @classmethod
    def of(cls, base: np.ndarray, candidate: np.ndarray, confidence: float) -> Accuracy:
        """Compares which images both have right, two arrays of booleans."""
        lost, won = int((base & ~candidate).sum()), int((candidate & ~base).sum())
        p = binomial_tail(lost, lost + won)
        less = UNKNOWN if lost - won > DROP * len(base) else SAME
        word = LESS if p <= 1 - confidence else less
        return cls(float(base.mean()), float(candidate.mean()), len(base), p, word)

    @property
    def sentence(self) -> str:
        """Both accuracies in words."""
        base, candidate = (round(share * self.n) for share in (self.base, self.candidate))
        drop = {LESS: ", significantly fewer", UNKNOWN: ", fewer, but not significantly"}.get(self.verdict, "")
        return f"Correct of {self.n} images: {base} by the base, {candidate} by the candidate{drop}."


@dataclass(frozen=True)
class Gate:
    """What a check found.

    Attributes:
        table: one row per layer, in execution order: `layer`; `base` and `candidate`, the means over the images;
            `difference`, the mean of candidate − base; `se`, its standard error over the `n` images, the systematic
            errors of both sides' corrections included; `low`, `high`, its interval; `allowed_low`, `allowed_high`, the
            limits; `basis`, whether the values are "corrected" or as "reached" ("" for RU); `gap`, the larger of both
            sides' mean estimated gaps to the optimum, which counts against every verdict, 0 between corrected values;
            `spread`, the root mean square of the differences of single images, and `noise`, that of their errors (NaN
            if not known); `p_holm`, of no difference, corrected by Holm's method; `verdict`; `warning`, why not to
            trust the row. Entropies in nats/pixel (or what `unit` says).
        verdict: "PASS", "DIFFERS" or "UNDECIDED".
        worst: the layer that decides: of the largest change among those whose verdict is worst.
        base: which network of which run the first is.
        candidate: the same of the second.
        metric: "sid" or "ru".
        allowed: what is.
        confidence: of the tests and intervals.
        accuracy: of both on the images, where labels and predictions are known.
        advice: what would decide, if it is undecided.
        left_out: layers that only one of both has, which are not compared.
        unit: what values are per, in nats.
    """

    table: pd.DataFrame
    verdict: str
    worst: str
    base: str
    candidate: str
    metric: str
    allowed: Allowed
    confidence: float
    accuracy: Accuracy | None = None
    advice: str = ""
    left_out: tuple[str, ...] = ()
    unit: str = "pixel"

    def __repr__(self) -> str:
        """Returns the verdict in a sentence."""
        return f"<Gate: {self.sentence}>"

    @property
    def passed(self) -> bool:
        """Whether the verdict is "PASS"."""
        return self.verdict == PASS

    @property
    def sentence(self) -> str:
        """The verdict, and the layer and the change that matter."""
        row = next(row for row in self.table.to_dict("records") if row["layer"] == self.worst)
        name, count = METRICS[self.metric].title, _layers(len(self.table))
        change, low, high, least, most = (
            printed(row[column], "+.3f") for column in ("difference", "low", "high", "allowed_low", "allowed_high")
        )
        where = (
            f"{self.worst}: {change} nats/{self.unit} ({self.confidence * 100:.4g} % interval {low} … {high}, allowed "
            f"{least} … {most})"
        )
        fewer = self.accuracy is not None and self.accuracy.verdict == LESS
        changed, unknown = (int(self.table["verdict"].isin(words).sum()) for words in (CHANGED, [UNKNOWN]))
        if self.verdict == PASS:
            return f"PASS: {name} is the same in {count}; largest change at {where}."
        if self.verdict == UNDECIDED:
            what = f"{name} in {unknown} of {count}, as at {where}" if unknown else "its accuracy"
            return f"UNDECIDED: this does not show whether the candidate is the same: {what}. {self.advice}"
        if not changed:
            return f"DIFFERS: significantly fewer images are right; {name} changes most at {where}."
        how = f"single images change, by {printed(row['spread'])} in the root mean square"
        kind = how if row["verdict"] == MIXED else f"it is {row['verdict']}"
        also = " Significantly fewer images are right." if fewer else ""
        return f"DIFFERS: {name} changes in {changed} of {count}; {kind} at {where}.{also}"


def judge(
    a: Side,
    b: Side,
    allowed: Allowed,
    metric: str,
    by: str,
    confidence: float,
) -> Gate:
    """Says whether two sides are the same, as `infodiscard.check` does.

    Args:
        a: the base, whose run is finished.
        b: the candidate, whose run is finished too.
        allowed: what it may differ by.
        metric: "sid" or "ru".
        by: how layers are paired, as for `infodiscard.compare`.
        confidence: of the tests and intervals, between 0.5 and 1.

    Raises:
        InfodiscardError: it cannot be decided: unlike settings or images, an unfinished run, a layer with fewer than
            two images, or no shared layers; or bad arguments.
    """
    check_arguments(metric, by, confidence)
    _refuse_unlike(a, b)
    rows = compare_sides(a, b, metric, by)
    pairs = pair_layers(a.name, a.layers, b.name, b.layers, by)
    _refuse_too_few(rows, len(pairs))
    limits = [allowed.limits(row) for row in rows]
    found = verdicts(rows, limits, confidence)
    accuracy = _accuracy(a, b, confidence)
    words = [each.word for each in found] + ([accuracy.verdict] if accuracy else [])
    verdict = DIFFERS if {*words} & {*CHANGED} else UNDECIDED if UNKNOWN in words else PASS
    paired = {layer for pair in pairs for layer in pair}
    return Gate(
        _table(rows, limits, found, confidence),
        verdict,
        worst=rows[_worst(rows, limits, found)]["layer"],
        base=_described(a),
        candidate=_described(b),
        metric=metric,
        allowed=allowed,
        confidence=confidence,
        accuracy=accuracy,
        advice=_advice(rows, limits, found, confidence) if verdict == UNDECIDED else "",
        left_out=tuple(layer for layer in dict.fromkeys((*a.layers, *b.layers)) if layer not in paired),
        unit=a.run.plan.layout.unit,
    )


def _table(
    rows: Sequence[Difference], limits: Sequence[Limits], found: Sequence[Verdict], confidence: float
) -> pd.DataFrame:
    """Returns the table of a `Gate`."""
    import pandas as pd

    table = pd.DataFrame(rows).rename(columns={"mean_a": "base", "mean_b": "candidate"})
    half = [half_interval(row, confidence) for row in rows]
    table["low"], table["high"] = table["difference"] - half, table["difference"] + half
    table["allowed_low"], table["allowed_high"] = zip(*limits, strict=True)
    table["p_holm"], table["verdict"] = [each.p_holm for each in found], [each.word for each in found]
    columns = ["layer", "base", "candidate", "difference", "se", "low", "high", "allowed_low", "allowed_high"]
    return table[[*columns, "n", "basis", "gap", "spread", "noise", "p_holm", "verdict", "warning"]]


def _worst(rows: Sequence[Difference], limits: Sequence[Limits], found: Sequence[Verdict]) -> int:
    """Returns the number of the row that decides: of the worst verdict, and the largest change for what is allowed."""
    rank = {MORE: 3, LESS: 3, MIXED: 2, UNKNOWN: 1, SAME: 0}

    def badness(i: int) -> tuple[int, float]:
        change, allowed = rows[i]["difference"], limits[i].high if rows[i]["difference"] > 0 else -limits[i].low
        return rank[found[i].word], abs(change) / allowed if allowed > 0 else math.inf

    return max(range(len(rows)), key=badness)


def _layers(count: int) -> str:
    return f"{count} layer{'s' * (count != 1)}"


def _accuracy(a: Side, b: Side, confidence: float) -> Accuracy | None:
    """Returns both accuracies over the images that both sides have; `None` where they are not known."""
    right = [side.correct for side in (a, b)]
    shared = [name for name in right[0] if name in right[1]]
    if not shared:
        return None
    base, candidate = (np.array([each[name] for name in shared]) for each in right)
    return Accuracy.of(base, candidate, confidence)


def _advice(rows: Sequence[Difference], limits: Sequence[Limits], found: Sequence[Verdict], confidence: float) -> str:
    """Returns what would decide: how many images, or which tolerance."""
    images, tolerance, at_limit = 0, math.inf, False
    z = t_bound((1 - confidence) / 2, math.inf)
    for row, limit, verdict in zip(rows, limits, found, strict=True):
        if verdict.word != UNKNOWN:
            continue
        room = min(abs(limit.high - row["difference"]), abs(row["difference"] - limit.low))
        fixed = z * row["systematic"] + row["gap"]
        if fixed > room / 2:
            # A value's own error is about as large as its part of the systematic one, √½ of that of a difference.
            tolerance = min(tolerance, room / (2 * z * math.sqrt(2)))
            fixed = room / 2
        scatter = (row["se"] ** 2 - row["systematic"] ** 2) * row["n"]
        needed = max(z**2 * scatter / max(room**2 - fixed**2, 1e-12), (row["spread"] > 0) * (row["n"] + 1))
        at_limit |= needed > MOST_IMAGES
        images = max(images, math.ceil(min(needed, MOST_IMAGES)))
    if at_limit:
        return "The change is about what is allowed, which no number of images decides; allow more or less."
    more = f"about {images} images" if images > max(row["n"] for row in rows) else ""
    finer = f"with a tolerance of {tolerance:.1g} and the passes that it takes" if tolerance < math.inf else ""
    return f"To decide, measure {' '.join(filter(None, (more or 'both', finer))) if more or finer else 'more images'}."


# -- what is compared ------------------------------------------------------------------------------------------------


def is_run(place: str | Path) -> bool:
    """Says whether a text means a run, or one network of a run (`DIR/NETWORK`), rather than a network to measure."""
    path = as_place(place)
    return _holds_run(path) or (path.parent != Path() and _holds_run(path.parent) and not path.exists())


def _holds_run(path: Any) -> bool:
    return path.name == STORE or holds_run(path)


def side_of(value: Any, role: str) -> Side:
    """Converts a run of one network, its directory, or `DIR/NETWORK` to a side of a comparison, named `role`.

    Raises:
        InfodiscardError: there is no such run, it has no such network, or several and none is named.
    """
    if isinstance(value, Side):
        return replace(value, name=role)
    network = None
    if isinstance(value, StoredRun):
        run = value
    elif isinstance(value, str | Path):
        path = as_place(value)
        if is_run(path) and not _holds_run(path):
            path, network = path.parent, path.name
        run = StoredRun.open(path)
    else:
        raise InfodiscardError(
            f"Cannot check a {type(value).__name__}; give a run, the directory of one, or a network with data."
        )
    names = run.plan.networks
    if network is not None and network not in names:
        raise InfodiscardError(f"'{run.path}' holds no network '{network}'; the nearest are {nearest(network, names)}.")
    if network is None and len(names) > 1:
        place = run.path or "DIR"
        raise InfodiscardError(
            f"The run given as {role} holds {len(names)} networks; name one of them, as in '{place}/{names[0]}'."
        )
    return Side(role, run, network or names[0])


def _described(side: Side) -> str:
    return f"{side.network} in {side.run.path or 'memory'}"


# -- when nothing can be decided -------------------------------------------------------------------------------------


def check_arguments(metric: str, by: str, confidence: float) -> None:
    """Raises InfodiscardError if an argument of `check` is none of those allowed."""
    number("confidence", confidence, "a number between 0.5 and 1, such as 0.95", lambda given: 0.5 < given < 1)
    if not isinstance(metric, str) or metric not in METRICS:
        raise InfodiscardError(f"metric was {quoted(metric)}; what can be checked is {', '.join(METRICS)}.")
    check_pairing(by)


def _refuse_unlike(a: Side, b: Side) -> None:
    """Raises InfodiscardError if two sides hold different quantities, or not all that they should."""
    for side in (a, b):
        if side.missing:
            raise InfodiscardError(
                f"The run of the {side.name} is not finished, {side.missing} units are missing, and a part decides "
                "nothing; finish it with the command that started it."
            )
    refuse_settings(a.run.plan.settings, b.run.plan.settings)
    if other_pixels(a, b):
        raise InfodiscardError(
            "The samples of base and candidate have the same names but other pixels; measure both on the same images."
        )


def refuse_settings(old: Settings, new: Settings) -> None:
    """Raises InfodiscardError if two settings of a run say that different quantities are measured."""
    for name in Settings.names("quantity"):
        first, second = getattr(old, name), getattr(new, name)
        if first != second:
            raise InfodiscardError(
                f"{name} differs ({first} and {second}), and values under different ones are not "
                "comparable; measure both alike."
            )


def _refuse_too_few(rows: Sequence[Mapping[str, Any]], layers: int) -> None:
    """Raises InfodiscardError if a layer has fewer than two images, whose scatter is unknown."""
    few = [f"{row['layer']} has {row['n']}" for row in rows if row["n"] < 2]
    if len(rows) < layers:
        few.append(f"{layers - len(rows)} layers have none")
    if few:
        raise too_few(few[0])


def too_few(what: str) -> InfodiscardError:
    return InfodiscardError(
        f"There are too few images on both sides to decide anything: {what}; measure two or more, better thirty."
    )
