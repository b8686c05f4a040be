"""The bars that the solver has to reach, each with what was measured; medians over the images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

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


Measured = tuple[str, str, float]
"""Ours and theirs in words, and the value that is held against the bar."""


@dataclass(frozen=True)
class Rule:
    """A bar of the issue.

    Attributes:
        what: what is measured.
        most: the bar.
        needs: parts of the results.
        applies: to a case among all.
        measure: of a case.
        gap: to the reference, which has to be clearly nearer to the optimum than this.
    """

    what: str
    most: float
    needs: tuple[str, ...]
    applies: Callable[[Case, Sequence[Case]], bool]
    measure: Callable[[Case], Measured]
    gap: float = INFINITY

    def line(self, case: Case) -> Bar:
        """The line of one case."""
        bar = f"≤ {self.most:g}"
        if not case.parts.keys() >= set(self.needs):
            return Bar(self.what, name(case), value="not measured", bar=bar)
        if not is_sure(case, self.gap):
            note = f"reference itself ≈ {figures.reference_gap(case):.3f} short"
            return Bar(self.what, name(case), value=note, bar=bar)
        ours, theirs, value = self.measure(case)
        return Bar(self.what, name(case), ours, theirs, number(value), bar, bool(value <= self.most))


def is_sure(case: Case, gap: float) -> bool:
    """Whether the reference's own sampling noise is below a third of a gap that is to be told."""
    return gap == INFINITY or figures.reference_gap(case) <= gap / 3


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
    lines += _coverage(cases)
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
        note = f" ({number(whole, 0)} with δ_f², scale and check)"
    ratio = median([p / floor for p, floor in zip(passes, floors, strict=True)])
    return number(median(passes), 0) + note, f"floor {median(floors):.0f}", ratio


def _to_a_gap(case: Case, gap: float) -> Measured:
    """Passes to a gap, and those of Adam on log σ if it was tuned anew for every length."""
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
    """Seconds of a whole solve to an estimated gap of 0.03 against Captum's."""
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


def _is_far(case: Case, cases: Sequence[Case]) -> bool:
    """Whether the layer is in the last stage or behind it."""
    stage = figures.stage(case.layer)
    return stage is None or stage >= max(1, figures.last_stage(cases, case.network))


def _is_near(case: Case, most: int) -> bool:
    """Whether the layer is in the stem or one of the first stages."""
    stage = figures.stage(case.layer)
    return stage is not None and stage <= most


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
    Rule("time ÷ (passes × plain pass)", 1.15, ("price",), lambda *_: True, _time),
)


def _coverage(cases: Iterable[Case]) -> Iterator[Bar]:
    """How often the reported gap covers the true one: in whole solves, and at every snapshot from 64 passes."""
    pairs: dict[str, list[tuple[float, float]]] = {"whole solves": [], "snapshots from 64 passes": []}
    for case in cases:
        if "noise" in case.parts and is_sure(case, 0.02):
            for part in (case.parts[name] for name in ("solve", "price") if name in case.parts):
                pairs["whole solves"] += zip(part["estimate"], figures.gaps(case, [part["entropy"]])[0], strict=True)
            cold = case.parts.get("cold", {"passes": [], "estimate": [], "entropy": []})
            true = figures.gaps(case, cold["entropy"])
            for passes, estimate, gaps in zip(cold["passes"], cold["estimate"], true, strict=True):
                pairs["snapshots from 64 passes"] += zip(estimate, gaps, strict=True) if passes >= 64 else ()
    for where, both in pairs.items():
        if both:
            ours, theirs = (
                f"{word} {median([pair[i] for pair in both]):.3f}" for i, word in enumerate(("reported", "true"))
            )
            share = sum(reported >= true for reported, true in both) / len(both)
            value = f"{share:.0%} of {len(both)}"
            yield Bar("reported gap covers the true", where, ours, theirs, value, "≥ 90 %", share >= 0.9)
