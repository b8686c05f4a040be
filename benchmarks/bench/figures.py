"""Figures from the raw results: passes to a gap, ratios, medians. Pure functions of numbers."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from typing import Any

from .results import Case

INFINITY = math.inf


def median(values: Sequence[float]) -> float:
    """The median; infinite if half of the values are, NaN if there are none."""
    return statistics.median(values) if values else math.nan


def gaps(case: Case, entropies: Sequence[Sequence[float]]) -> list[list[float]]:
    """Distance of each entropy (`snapshots × n`) to the best known one of its image, `snapshots × n`."""
    best = case.parts["optimum"]["entropy"]
    return [[top - value for top, value in zip(best, row, strict=True)] for row in entropies]


def passes_to(passes: Sequence[float], gap: Sequence[float], bar: float) -> float:
    """Passes from which one image's gap stays at or below the bar, between snapshots by interpolation in log passes.

    Args:
        passes, gap: of the snapshots, in order.
    """
    above = [i for i, value in enumerate(gap) if value > bar]
    if not above:
        return float(passes[0])
    i = above[-1] + 1
    if i == len(gap):
        return INFINITY
    if gap[i - 1] == INFINITY:
        return float(passes[i])
    share = (gap[i - 1] - bar) / (gap[i - 1] - gap[i])
    return passes[i - 1] * (passes[i] / passes[i - 1]) ** share


def all_passes_to(trail: dict[str, Any], wanted: Sequence[float], gap: float = 0.0) -> list[float]:
    """Passes from which each image's entropy stays within `gap` of the `wanted` one (`n`).

    Args:
        trail: with `passes` and `entropy` (`snapshots × n`).
    """
    columns = zip(*trail["entropy"], strict=True)
    return [
        passes_to(trail["passes"], [goal - value for value in column], gap)
        for column, goal in zip(columns, wanted, strict=True)
    ]


def floors(case: Case, gap: float = 0.02) -> list[float]:
    """The sampling-noise floor of each image, r² / 4 gap passes."""
    return [r * r / (4 * gap) for r in case.parts["noise"]["r"]]


def reference_gap(case: Case) -> float:
    """How far the reference itself may be from the optimum, its sampling noise r² / 4N, nats; 0 for a closed form."""
    passes = case.parts["optimum"]["passes"]
    return median([r * r / (4 * n) if n else 0.0 for r, n in zip(case.parts["noise"]["r"], passes, strict=True)])


def best_of(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The best run at each snapshot, by the mean over the images: as if someone had tuned it for each length."""
    trail: dict[str, list[Any]] = {name: [] for name in ("passes", "seconds", "entropy", "run")}
    for i, passes in enumerate(runs[0]["passes"]):
        best = max(runs, key=lambda run: statistics.fmean(run["entropy"][i]))
        trail["passes"].append(passes)
        trail["seconds"].append(best["seconds"][i])
        trail["entropy"].append(best["entropy"][i])
        trail["run"].append({"lambda": best["lambda"], "rate": best["rate"]})
    return trail


def best_published(part: dict[str, Any]) -> dict[str, Any]:
    """The run of the published procedure's grid, and the rule that chose its σ, of the highest mean entropy."""
    candidates = [
        run | {"rule": rule, "entropy": run[rule], "raw": run[f"raw_{rule}"]}
        for run in part["runs"]
        for rule in ("chosen", "last")
    ]
    return max(candidates, key=lambda run: statistics.fmean(run["entropy"]))


def within(case: Case, most: int) -> dict[str, Any] | None:
    """The whole solves of the largest budget up to `most` passes; `None` if there are none."""
    budgets = [int(passes) for passes in case.parts["corrected"] if int(passes) <= most]
    return case.parts["corrected"][str(max(budgets))] if budgets else None


def total_passes(solve: dict[str, Any]) -> list[float]:
    """Passes of each image's whole solve, a forward pass counted as a third."""
    return [passes + forwards / 3 for passes, forwards in zip(solve["passes"], solve["forwards"], strict=True)]


def passes_to_converged(solve: dict[str, Any]) -> list[float]:
    """The same; infinite for images that have not converged."""
    both = zip(total_passes(solve), solve["converged"], strict=True)
    return [passes if converged else INFINITY for passes, converged in both]


def errors(case: Case, solve: dict[str, Any], what: str = "corrected") -> list[float]:
    """Estimate of each image minus the value at the optimum, for those that have one.

    Args:
        what: of `solve`: `corrected`, `stated` or `entropy`, or a concentration.
    """
    true = case.parts["truth"]["concentration" if what.startswith("concentration") else "value"]
    return [estimate - value for estimate, value in zip(solve[what], true, strict=True) if not math.isnan(estimate)]


def truth_ses(case: Case) -> list[float]:
    """Standard errors of the values at the optimum, image by image."""
    part = case.parts["truth"]
    return [math.hypot(*both) for both in zip(part["noise"], part["systematic"], strict=True)]


def mean_truth_se(case: Case) -> float:
    """Standard error of their mean; what is systematic in them does not average out."""
    part = case.parts["truth"]
    return math.hypot(rms(part["noise"]) / math.sqrt(len(part["noise"])), statistics.fmean(part["systematic"]))


def covered(case: Case, solve: dict[str, Any], of: str = "sid") -> list[bool]:
    """Whether each image's 95 % interval holds the value at the optimum, whose own error counts as well.

    Images without a corrected value are omitted, and those of which the reference knows less than the solve claims to:
    every interval would hold there.

    Args:
        of: `sid` or `concentration`.
    """
    part = case.parts["truth"]
    if of == "sid":
        rows = zip(solve["corrected"], solve["se"], part["value"], truth_ses(case), strict=True)
    else:
        own = solve["concentration_corrected"], solve["concentration_se"]
        rows = zip(*own, part["concentration"], part["concentration_se"], strict=True)
    known = [row for row in rows if not math.isnan(row[0]) and row[3] <= row[1]]
    return [abs(estimate - true) <= 1.96 * math.hypot(se, other) for estimate, se, true, other in known]


def rms(values: Sequence[float]) -> float:
    """The root mean square; NaN if there are none."""
    return math.sqrt(statistics.fmean(value * value for value in values)) if values else math.nan


def mean(values: Sequence[float]) -> float:
    """The mean; NaN if there are none."""
    return statistics.fmean(values) if values else math.nan


def is_logits(layer: str) -> bool:
    """Whether this is a classifier's last layer, by its name."""
    return re.fullmatch(r"(linear|fc|head|logits|output)", layer) is not None


def stage(layer: str) -> int | None:
    """0 before the first stage, 1, 2, … within `layerK`, `None` behind the last stage (the logits) or elsewhere."""
    match = re.match(r"layer(\d+)(?:\.|$|#|\[)", layer)
    if match:
        return int(match[1])
    return 0 if re.match(r"(conv1|bn1|relu|stem)(?:\.|$|#|\[)", layer) else None


def last_stage(cases: Sequence[Case], network: str) -> int:
    """The number of the network's last stage among the cases."""
    return max((stage(case.layer) or 0 for case in cases if case.network == network), default=0)
