"""Thresholds ("bars") that the solver has to reach, each with the measured value; medians over the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from infodiscard.solver.entropy import GAUSSIAN_CONSTANT

from . import figures
from .figures import INFINITY, median
from .results import Case


@dataclass(frozen=True)
class Bar:
    """One line of the table.

    Attributes:
        what: what is measured.
        where: network, layer and noise level.
        ours, theirs: what is compared, in words.
        value: what the bar is for: mostly ours ÷ theirs.
        bar: in words.
        met: whether it is reached; `None` where that was not measured or cannot be judged.
    """

    what: str
    where: str
    ours: str = "–"
    theirs: str = "–"
    value: str = "–"
    bar: str = ""
    met: bool | None = None


SLACK = 0.003
"""Nats within which the judge takes two values of an image for the same: where there is little to gain, they are."""

ENOUGH = 64
"""Whole solves from which a coverage of 95 % can be told from one of 90 % or of 100 %."""

Measured = tuple[str, str, float]
"""Ours and theirs in words, and the value that is held against the bar."""


@dataclass(frozen=True)
class Rule:
    """A bar and the cases that it applies to.

    Attributes:
        what: what is measured.
        most: the bar.
        needs: parts of the results.
        applies: to a case among all.
        measure: of a case; `None` where it was not measured.
        gap: what the error of the reference has to be clearly below.
        doubt: that error, of a case.
    """

    what: str
    most: float
    needs: tuple[str, ...]
    applies: Callable[[Case, Sequence[Case]], bool]
    measure: Callable[[Case], Measured | None]
    gap: float = INFINITY
    doubt: Callable[[Case], float] = figures.reference_gap

    def line(self, case: Case) -> Bar:
        """The line of one case."""
        bar = f"≤ {self.most:g}"
        if not case.parts.keys() >= set(self.needs):
            return Bar(self.what, name(case), value="not measured", bar=bar)
        if self.gap < INFINITY and not (doubt := self.doubt(case)) <= self.gap / 3:
            return Bar(self.what, name(case), value=f"reference itself ≈ {doubt:.3f} off", bar=bar)
        if (measured := self.measure(case)) is None:
            return Bar(self.what, name(case), value="not measured", bar=bar)
        ours, theirs, value = measured
        digits = 3 if self.most <= 0.1 else 0 if self.most >= 64 else 2
        return Bar(self.what, name(case), ours, theirs, number(value, digits), bar, bool(value <= self.most))


def name(case: Case) -> str:
    """How a case is called in tables."""
    return f"{case.network} {case.layer} √τ={case.root:g}"


def number(value: float, digits: int = 2) -> str:
    """A number for a table; infinite: not reached within the passes spent."""
    if math.isnan(value):
        return "–"
    return "not reached" if value == INFINITY else f"{value:,.{digits}f}"


def bars(cases: Sequence[Case], memory: dict[str, float] | None) -> list[Bar]:
    """All lines."""
    lines = [rule.line(case) for rule in RULES for case in cases if rule.applies(case, cases)]
    lines += [line for of in ("sid", "concentration") if (line := _coverage(cases, of))]
    if memory is not None:
        low, high = sorted(memory, key=int)
        ratio, (ours, theirs) = memory[high] / memory[low], (f"{memory[count]:.2f} GiB" for count in (high, low))
        what = f"peak memory, {high} images ÷ {low}"
        lines.append(Bar(what, "demo bn1", ours, theirs, number(ratio), "≤ 1.1", ratio <= 1.1))
    return lines


def _passes(case: Case, gap: float, kind: str = "cold") -> list[float]:
    return figures.all_passes_to(case.parts[kind], case.parts["optimum"]["entropy"], gap)


def _to_the_floor(case: Case, kind: str) -> Measured:
    """Passes to a gap of 0.02 and the sampling-noise floor."""
    passes, floors = _passes(case, 0.02, kind), figures.floors(case)
    note = ""
    if "solve" in case.parts:
        forwards = case.parts["solve"]["forwards"]
        whole = median([p + count / 3 for p, count in zip(passes, forwards, strict=True)])
        note = f" ({number(whole, 0)} with δ_f², scale, correction and check)"
    ratio = median([p / floor for p, floor in zip(passes, floors, strict=True)])
    return number(median(passes), 0) + note, f"floor {median(floors):.0f}", ratio


def _to_a_gap(case: Case, gap: float) -> Measured:
    """Passes to a gap, and those of Adam on log σ if it was tuned for every length separately."""
    passes, theirs = median(_passes(case, gap)), "–"
    if "adam" in case.parts:
        trail = figures.best_of(case.parts["adam"]["runs"])
        theirs = f"Adam {number(median(figures.all_passes_to(trail, case.parts['optimum']['entropy'], gap)), 0)}"
    return number(passes, 0), theirs, passes


def _noise(case: Case) -> Measured:
    """r, and what it would have to be for plain averaging to leave the filter's error: √(4N · error), after N draws."""
    part = case.parts["noise"]
    rows = list(zip(part["counts"], part["plain"], part["filtered"], strict=True))
    ours = ", ".join(f"{math.sqrt(4 * count * median(filtered)):.1f} ({count})" for count, _, filtered in rows)
    ratios = [median([math.sqrt(f / p) for f, p in zip(filtered, plain, strict=True)]) for _, plain, filtered in rows]
    return f"effective r (draws) {ours}", f"r {median(part['r']):.2f}", max(ratios)


def _published(case: Case) -> Measured:
    best = figures.best_published(case.parts["published"])
    passes = median(figures.all_passes_to(case.parts["grid"], best["entropy"]))
    theirs = f"{best['passes']} (λ = {best['lambda']:g}, rate × {best['rate']:g})"
    return number(passes, 0), theirs, passes / best["passes"]


def _seconds(case: Case) -> Measured:
    """Seconds of a whole solve to an error of 0.03 against Captum's."""
    part = case.parts["price"]
    if part["captum"] is None:
        return f"{part['ours']:.2f} s", "–", math.nan
    true, unfinished = median(figures.gaps(case, [part["entropy"]])[0]), sum(not done for done in part["converged"])
    note = f", {unfinished} not converged" if unfinished else ""
    return f"{part['ours']:.2f} s (gap {true:.3f}{note})", f"{part['captum']:.2f} s", part["ours"] / part["captum"]


def _time(case: Case) -> Measured:
    """Time of ours against its passes alone; a forward pass, counted as a third, costs more where no weight learns."""
    part = case.parts["price"]
    share, own = part["forward"] / part["plain"], number(part["own"])
    ours = f"{part['ours']:.2f} s ({own} if a forward pass counts its own {share:.2f})"
    return ours, f"{part['total_passes']:.0f} × {1000 * part['plain']:.2f} ms", part["overhead"]


def _within(most: int, measure: Callable[[Case, dict[str, Any]], Measured]) -> Callable[[Case], Measured | None]:
    """Applies `measure` to the whole solves of up to `most` passes."""

    def measured(case: Case) -> Measured | None:
        solve = figures.within(case, most)
        return None if solve is None else measure(case, solve)

    return measured


def _mean_error(case: Case, solve: dict[str, Any]) -> Measured:
    """Mean error of the corrected SID, beside that of what was reached."""
    error, reached = (figures.mean(figures.errors(case, solve, what)) for what in ("corrected", "entropy"))
    silent = sum(math.isnan(value) for value in solve["corrected"])
    note = f", {silent} without a value" if silent else ""
    return f"{error:+.3f} (reached {reached:+.3f}{note})", f"0 ± {figures.mean_truth_se(case):.3f}", abs(error)


def _image_error(case: Case, solve: dict[str, Any]) -> Measured:
    """Median |error| of the corrected SID of an image."""
    error, reached = (
        median([abs(error) for error in figures.errors(case, solve, what)]) for what in ("corrected", "entropy")
    )
    return f"{error:.3f} (stated {median(solve['se']):.3f})", f"reached {reached:.3f}", error


def _concentration(case: Case, solve: dict[str, Any]) -> Measured:
    """Root mean square error of the corrected concentration of an image."""
    errors = [figures.errors(case, solve, what) for what in ("concentration_corrected", "concentration")]
    error, reached = map(figures.rms, errors)
    return f"{error:.3f} (stated {median(solve['concentration_se']):.3f})", f"reached {reached:.3f}", error


def _distance(case: Case, solve: dict[str, Any]) -> Measured:
    """How far the distance is off at worst, beyond the noise of the judge's own draws."""
    both = zip(solve["distance"], solve["distance_se"], strict=True)
    off = max(abs(distance - 1) - 1.96 * se for distance, se in both)
    low, high = min(solve["distance"]), max(solve["distance"])
    return f"{low:.3f} … {high:.3f} ± {median(solve['distance_se']):.3f}", "1", max(off, 0.0)


def _below_uniform(case: Case, solve: dict[str, Any]) -> Measured:
    """Images whose SID is below that of the uniform σ at the same distance, or below what no SID can be below."""
    bound = 0.5 * math.log(case.tau) + GAUSSIAN_CONSTANT
    uniform = case.parts["optimum"]["uniform"]
    rows = list(zip(solve["entropy"], solve["stated"], uniform, strict=True))
    worse = sum(reached < even - SLACK or stated < bound - SLACK for reached, stated, even in rows)
    least = min(reached - even for reached, _, even in rows)
    return f"least {least:+.3f}", "uniform σ", float(worse)


def _depth(case: Case, solve: dict[str, Any]) -> Measured:
    """How low log σ goes in an image where the reference's does not."""
    rows = list(zip(solve["least"], case.parts["truth"]["least"], strict=True))
    low, theirs = (min(column) for column in zip(*rows, strict=True))
    return f"{low:.1f}", f"reference {theirs:.1f}", max((-own for own, other in rows if own < other), default=0.0)


def _to_converged(case: Case) -> Measured:
    """Passes of a whole solve at the default tolerance."""
    passes, converged = median(figures.passes_to_converged(case.parts["solve"])), case.parts["solve"]["converged"]
    return f"{number(passes, 0)}, {sum(converged)} of {len(converged)} images", "–", passes


def _is_last(case: Case, cases: Sequence[Case]) -> bool:
    """Whether this is the last stage's output at the usual noise level, or above."""
    stage = figures.stage(case.layer)
    return case.root >= 0.1 and bool(stage) and stage == figures.last_stage(cases, case.network)


def _is_head(case: Case) -> bool:
    """Whether this belongs to the classifier behind a network's features, but is not the logits."""
    return case.layer.startswith("classifier") and not figures.is_logits(case.layer)


def _is_plain(case: Case, cases: Sequence[Case]) -> bool:
    """Whether this is any other layer."""
    return not (_is_last(case, cases) or _is_head(case) or figures.is_logits(case.layer))


def _is_far(case: Case, cases: Sequence[Case]) -> bool:
    """Whether the layer is in the last stage or behind it."""
    stage = figures.stage(case.layer)
    return stage is None or stage >= max(1, figures.last_stage(cases, case.network))


def _is_near(case: Case, most: int) -> bool:
    """Whether the layer is in the stem or one of the first stages."""
    stage = figures.stage(case.layer)
    return stage is not None and stage <= most


CORRECTED = ("optimum", "truth", "corrected")


def _mean_rule(most: float, passes: int, applies: Callable[[Case, Sequence[Case]], bool]) -> Rule:
    """The bar of a layer's mean corrected SID; the reference's own error has to be below half of it."""
    what = f"|mean error| of the corrected SID, ≤ {passes:,} passes"
    measure = _within(passes, _mean_error)
    return Rule(what, most, CORRECTED, applies, measure, 1.5 * most, figures.mean_truth_se)


RULES = (
    Rule(
        "passes to a gap of 0.02, cold, ÷ floor",
        3,
        ("noise", "cold"),
        lambda case, _: figures.stage(case.layer) != 0,
        lambda case: _to_the_floor(case, "cold"),
        0.02,
    ),
    Rule(
        "passes to a gap of 0.02, warm, ÷ floor",
        2,
        ("noise", "warm"),
        lambda case, _: figures.stage(case.layer) != 0,
        lambda case: _to_the_floor(case, "warm"),
        0.02,
    ),
    Rule(
        "passes to a gap of 0.01",
        64,
        ("noise", "cold"),
        lambda case, _: _is_near(case, 1),
        lambda case: _to_a_gap(case, 0.01),
        0.01,
    ),
    Rule(
        "passes to a gap of 0.03",
        160,
        ("noise", "cold"),
        lambda case, cases: not _is_far(case, cases),
        lambda case: _to_a_gap(case, 0.03),
        0.03,
    ),
    Rule("r with ÷ without variance reduction, a discovery", 0.7, ("noise",), _is_far, _noise),
    Rule("passes for the published best, ours ÷ theirs", 0.05, ("published", "grid"), lambda *_: True, _published),
    Rule("seconds to 0.03 ÷ IntegratedGradients", 3, ("price",), lambda case, _: _is_near(case, 2), _seconds),
    Rule("time ÷ (passes × plain pass)", 1.15, ("price",), lambda case, _: figures.stage(case.layer) != 0, _time),
    Rule("time ÷ (passes × plain pass), stem", 1.5, ("price",), lambda case, _: figures.stage(case.layer) == 0, _time),
    _mean_rule(0.02, 500, _is_last),
    _mean_rule(0.08, 2000, lambda case, _: figures.is_logits(case.layer)),
    _mean_rule(0.1, 800, lambda case, _: _is_head(case)),
    _mean_rule(0.05, 800, _is_plain),
    Rule(
        "error of an image's corrected SID, ≤ 500 passes",
        0.04,
        CORRECTED,
        _is_last,
        _within(500, _image_error),
        0.06,
        lambda case: median(figures.truth_ses(case)),
    ),
    Rule(
        "error of a corrected concentration (rms), ≤ 500 passes",
        0.1,
        CORRECTED,
        _is_last,
        _within(500, _concentration),
        0.15,
        lambda case: figures.rms(case.parts["truth"]["concentration_se"]),
    ),
    Rule("passes to converged", 800, ("solve",), _is_last, _to_converged),
    Rule("passes to converged", 3000, ("solve",), lambda case, _: figures.is_logits(case.layer), _to_converged),
    Rule("|distance ÷ target − 1|, worst image", 0.05, CORRECTED, lambda *_: True, _within(2000, _distance)),
    Rule("images below the uniform σ", 0, CORRECTED, lambda *_: True, _within(2000, _below_uniform)),
    Rule("−log σ where the reference's is less", 8, CORRECTED, lambda *_: True, _within(2000, _depth)),
)


def _coverage(cases: Iterable[Case], of: str) -> Bar | None:
    """How often the stated 95 % interval of whole solves holds the value at the optimum; `None` without any solve.

    Args:
        of: `sid` or `concentration`.
    """
    held: list[bool] = []
    for case in cases:
        if case.parts.keys() >= set(CORRECTED):
            solves = list(case.parts["corrected"].values())
            if "solve" in case.parts:
                solves.append(case.parts["solve"])
            held += [yes for solve in solves for yes in figures.covered(case, solve, of)]
    if not held:
        return None
    share, enough = sum(held) / len(held), len(held) >= ENOUGH
    what = f"95 % interval of the corrected {'SID' if of == 'sid' else of} holds"
    value = f"{share:.0%} of {len(held)}" + ("" if enough else f", {ENOUGH} are needed")
    return Bar(what, "whole solves", value=value, bar="90 … 99 %", met=0.9 <= share <= 0.99 if enough else None)
