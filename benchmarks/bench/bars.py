"""The bars that the solver has to reach, each with what was measured; medians over the images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import figures
from .figures import INFINITY, median
from .results import Case


@dataclass(frozen=True)
class Bar:
    """One line of the table.

    Attributes:
        what: what is measured.
        measured: the value, or several in words.
        bar: the bar in words; empty where there is none.
        met: whether it is reached; `None` where there is no bar.
    """

    what: str
    measured: str
    bar: str = ""
    met: bool | None = None


def number(value: float, digits: int = 2) -> str:
    """A number for a table; infinite: not reached within the passes spent."""
    if math.isnan(value):
        return "–"
    return "not reached" if value == INFINITY else f"{value:,.{digits}f}"


def at_most(what: str, value: float, bar: float, note: str = "", digits: int = 2) -> Bar:
    """A line whose value must not exceed the bar."""
    return Bar(what, number(value, digits) + note, f"≤ {bar:g}", bool(value <= bar))


def bars(cases: Sequence[Case], memory: dict[str, float] | None) -> list[Bar]:
    """All lines that the results suffice for."""
    lines = []
    for rule in (_to_the_floor, _to_one_percent, _to_three_percent, _noise, _published, _seconds, _time, _coverage):
        lines += [line for case in cases for line in rule(case, cases)]
    lines += _overall_coverage(cases)
    if memory is not None:
        low, high = sorted(memory, key=int)
        ratio = memory[high] / memory[low]
        note = f" ({memory[high]:.2f} against {memory[low]:.2f} GiB)"
        lines.append(at_most(f"peak memory, {high} images against {low}", ratio, 1.1, note))
    return lines


def name(case: Case) -> str:
    """How a case is called in tables."""
    return f"{case.network} {case.layer} √τ={case.root:g}"


def _is_far(case: Case, cases: Sequence[Case]) -> bool:
    """Whether the layer is in the last stage or behind it."""
    stage = figures.stage(case.layer)
    return stage is None or stage >= max(1, figures.last_stage(cases, case.network))


def _to_the_floor(case: Case, _cases: Sequence[Case]) -> Iterator[Bar]:
    """Passes to a gap of 0.02 as a multiple of the sampling-noise floor, cold and warm."""
    if figures.stage(case.layer) == 0 or "noise" not in case.parts:
        return
    floors = figures.floors(case)
    for kind, bar in (("cold", 3.0), ("warm", 2.0)):
        trail = case.parts.get(kind)
        if trail is None or "entropy" not in trail or trail.get("first"):
            continue
        passes = figures.all_passes_to(case, trail, 0.02)
        ratio = median([p / floor for p, floor in zip(passes, floors, strict=True)])
        note = f" ({number(median(passes), 0)} passes, floor {median(floors):.0f})"
        if "solve" in case.parts:
            whole = median([p + more for p, more in zip(passes, figures.overhead(case), strict=True)])
            note = note[:-1] + f", with δ_f² and calibration {number(whole, 0)})"
        yield at_most(f"passes to 0.02 ÷ floor, {kind}: {name(case)}", ratio, bar, note)


def _to_one_percent(case: Case, _cases: Sequence[Case]) -> Iterator[Bar]:
    stage = figures.stage(case.layer)
    if stage is not None and stage <= 1 and "cold" in case.parts:
        passes = median(figures.all_passes_to(case, case.parts["cold"], 0.01))
        yield at_most(f"passes to 0.01: {name(case)}", passes, 64, digits=0)


def _to_three_percent(case: Case, cases: Sequence[Case]) -> Iterator[Bar]:
    if "cold" in case.parts and not _is_far(case, cases):
        passes = median(figures.all_passes_to(case, case.parts["cold"], 0.03))
        yield at_most(f"passes to 0.03: {name(case)}", passes, 160, digits=0)


def _noise(case: Case, cases: Sequence[Case]) -> Iterator[Bar]:
    """What the filter makes of r: the ratio of the root errors left in log σ, from the same number of fresh draws."""
    if "noise" not in case.parts:
        return
    part = case.parts["noise"]
    ratios, effective = [], []
    for count, plain, filtered in zip(part["counts"], part["plain"], part["filtered"], strict=True):
        ratios.append(median([math.sqrt(f / p) for f, p in zip(filtered, plain, strict=True)]))
        effective.append(f"{math.sqrt(median(filtered) * 4 * count):.1f}")
    values = ", ".join(f"{ratio:.2f} ({count})" for ratio, count in zip(ratios, part["counts"], strict=True))
    what = f"error with ÷ without the variance reduction (draws): {name(case)}"
    measured = f"{values}; r = {median(part['r']):.2f}, effective {', '.join(effective)}"
    met = max(ratios) < 0.7 if _is_far(case, cases) else None
    yield Bar(what, measured, "< 0.7 (discovery)" if met is not None else "", met)


def _published(case: Case, _cases: Sequence[Case]) -> Iterator[Bar]:
    if "published" not in case.parts or "grid" not in case.parts:
        return
    best = figures.best_published(case.parts["published"])
    passes = median(figures.passes_to_entropy(case.parts["grid"], best["entropy"]))
    note = f" ({number(passes, 0)} against {best['passes']} passes, λ = {best['lambda']:g}, rate × {best['rate']:g})"
    yield at_most(f"passes for the published best, ours ÷ theirs: {name(case)}", passes / best["passes"], 0.05, note, 3)


def _seconds(case: Case, _cases: Sequence[Case]) -> Iterator[Bar]:
    """Seconds of a whole solve to an estimated gap of 0.03 against Captum's, up to the second stage."""
    part, stage = case.parts.get("price"), figures.stage(case.layer)
    if part is None or part["captum"] is None or stage is None or stage > 2:
        return
    true = median(figures.gaps(case, [part["entropy"]])[0])
    unfinished = "" if all(part["converged"]) else f", {sum(not c for c in part['converged'])} not converged"
    note = f" ({part['ours']:.2f} against {part['captum']:.2f} s, true gap {true:.3f}{unfinished})"
    yield at_most(f"seconds at 0.03, ours ÷ IntegratedGradients: {name(case)}", part["ours"] / part["captum"], 3, note)


def _time(case: Case, _cases: Sequence[Case]) -> Iterator[Bar]:
    if "price" in case.parts:
        part = case.parts["price"]
        note = f" ({1 / part['plain']:,.0f} plain passes a second)"
        yield at_most(f"time ÷ (passes × plain pass): {name(case)}", part["overhead"], 1.15, note)


def _covered(case: Case) -> tuple[list[float], list[float]]:
    """Reported and true gap of every image in the whole solves at 0.02 and 0.03."""
    reported, true = [], []
    for part in ("solve", "price"):
        if part in case.parts:
            reported += case.parts[part]["estimate"]
            true += figures.gaps(case, [case.parts[part]["entropy"]])[0]
    return reported, true


def _coverage(case: Case, _cases: Sequence[Case]) -> Iterator[Bar]:
    reported, true = _covered(case)
    if reported:
        share = sum(r >= t for r, t in zip(reported, true, strict=True)) / len(true)
        note = f" (reported {median(reported):.3f}, true {median(true):.3f})"
        yield Bar(f"reported gap covers the true: {name(case)}", f"{share:.0%}{note}")


def _overall_coverage(cases: Sequence[Case]) -> list[Bar]:
    pairs = [pair for case in cases for pair in zip(*_covered(case), strict=True)]
    if not pairs:
        return []
    share = sum(reported >= true for reported, true in pairs) / len(pairs)
    ratio = median([reported / max(true, 1e-3) for reported, true in pairs])
    note = f" of {len(pairs)} (reported ÷ true {ratio:.1f})"
    lines = [Bar("reported gap covers the true, all", f"{share:.0%}{note}", "≥ 90 %", share >= 0.9)]
    # Every snapshot of the cold climbs behind the first few steps says the same of more moments.
    early = [
        estimate >= gap
        for case in cases
        if "cold" in case.parts
        for passes, estimates, true in zip(
            case.parts["cold"]["passes"],
            case.parts["cold"]["estimate"],
            figures.gaps(case, case.parts["cold"]["entropy"]),
            strict=True,
        )
        if passes >= 64
        for estimate, gap in zip(estimates, true, strict=True)
    ]
    if early:
        lines.append(Bar("the same at every snapshot from 64 passes", f"{sum(early) / len(early):.0%} of {len(early)}"))
    return lines
