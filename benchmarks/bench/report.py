"""Tables of the benchmark: the procedures of every case side by side, and the bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from . import figures
from .bars import Bar, name
from .figures import median
from .results import Case

Row = tuple[str, str, str, str, str, str]
HEAD: Row = ("procedure", "σ", "passes", "s/image", "entropy", "gap")
SHOWN = (16, 64, 256, 1024, 4096)
CORRECTED = (
    "whole solves",
    "passes",
    "converged",
    "mean error, reached → corrected",
    "|error| of an image",
    "stated",
    "95 % holds",
    "concentration, rms → corrected",
    "distance ÷ target",
    "least log σ",
    "above uniform",
)


def side_by_side(case: Case) -> str:
    """All procedures of one case: entropy at equal constraint, its gap to the best known; medians over the images."""
    rows = [_row(case, "uniform σ", "pixel", 0, 0.0, case.parts["optimum"]["uniform"])]
    rows += _ours(case) + _theirs(case)
    best = case.parts["optimum"]
    passes = median(best["passes"])
    rows.append(_row(case, "best known" if passes else "closed form", "pixel", passes, None, best["entropy"]))
    r = f", r = {median(case.parts['noise']['r']):.2f}" if "noise" in case.parts else ""
    title = f"{name(case)}, {len(best['entropy'])} images{r}"
    return f"\n{title}\n{table([HEAD, *rows])}{corrected(case)}"


def corrected(case: Case) -> str:
    """Corrected values of whole solves; nothing if there are none."""
    if not case.parts.keys() >= {"truth", "corrected"}:
        return ""
    true = case.parts["truth"]
    solves = {f"≤ {int(passes):,} passes": solve for passes, solve in case.parts["corrected"].items()}
    if "solve" in case.parts:
        solves["to the default tolerance"] = case.parts["solve"]
    rows = [_corrected_row(case, what, solve) for what, solve in solves.items()]
    gap, se = figures.mean(true["gap"]), figures.mean_truth_se(case)
    note = (
        f"at the optimum: mean {figures.mean(true['value']):.4f} ± {se:.4f}, the reference's correction {gap:.4f} in it"
    )
    return f"\n\n{note}\n{table([CORRECTED, *rows])}"


def _corrected_row(case: Case, what: str, solve: dict[str, Any]) -> tuple[str, ...]:
    """Errors of the mean, of an image, of its concentration; and whether the solution is a sound one."""
    reached, mean = (f"{figures.mean(figures.errors(case, solve, kind)):+.3f}" for kind in ("entropy", "corrected"))
    image = median([abs(error) for error in figures.errors(case, solve)])
    kinds = ("concentration", "concentration_corrected")
    before, after = (f"{figures.rms(figures.errors(case, solve, kind)):.3f}" for kind in kinds)
    both = zip(solve["entropy"], case.parts["optimum"]["uniform"], strict=True)
    return (
        what,
        f"{median(figures.total_passes(solve)):,.0f}",
        _share(solve["converged"]),
        f"{reached} → {mean}",
        f"{image:.3f}",
        f"{median(solve['se']):.3f}",
        _share(figures.covered(case, solve)),
        f"{before} → {after}",
        f"{min(solve['distance']):.3f} … {max(solve['distance']):.3f}",
        f"{min(solve['least']):.1f}",
        _share([value > uniform for value, uniform in both]),
    )


def _share(yes: Sequence[bool]) -> str:
    return f"{sum(yes)} of {len(yes)}"


def _row(case: Case, what: str, space: str, passes: float, seconds: float | None, entropy: Sequence[float]) -> Row:
    gap = median(figures.gaps(case, [entropy])[0])
    time = "" if seconds is None else f"{seconds:.2f}"
    return what, space, f"{passes:,.0f}", time, f"{median(entropy):.4f}", f"{gap:.4f}"


def _ours(case: Case) -> list[Row]:
    rows = []
    for kind, label, space in (("cold", "ours", "pixel"), ("warm", "ours, warm", "pixel"), ("grid", "ours", "16×16")):
        if kind in case.parts:
            rows += [
                _row(case, label, space, passes, seconds, entropy)
                for passes, seconds, entropy in _snapshots(case.parts[kind])
                if passes in SHOWN or passes == case.parts[kind]["passes"][-1]
            ]
    if "solve" in case.parts:
        part = case.parts["solve"]
        passes = median(figures.total_passes(part))
        rows.append(_row(case, "ours, whole", "pixel", passes, part["seconds"], part["entropy"]))
    return rows


def _snapshots(trail: dict[str, Any]) -> Iterator[tuple[int, float, list[float]]]:
    """Passes, seconds and entropies of each."""
    return zip(trail["passes"], trail["seconds"], trail["entropy"], strict=True)


def _theirs(case: Case) -> list[Row]:
    rows = []
    if "published" in case.parts:
        part = case.parts["published"]
        rows.append(_row(case, "uniform σ", "16×16", 0, 0.0, part["uniform"]))
        default, best = figures.best_published({"runs": part["runs"][:1]}), figures.best_published(part)
        best_label = f"best of {len(part['runs'])}: λ = {best['lambda']:g}, rate × {best['rate']:g}, {best['rule']}"
        for label, run in ((f"default, {default['rule']}", default), (best_label, best)):
            what = f"published, {label} (raw {median(run['raw']):.3f})"
            rows.append(_row(case, what, "16×16", run["passes"], run["seconds"], run["entropy"]))
    if "adam" in case.parts:
        trail = figures.best_of(case.parts["adam"]["runs"])
        for at, run in zip(_snapshots(trail), trail["run"], strict=True):
            rows.append(_row(case, f"Adam on log σ, λ = {run['lambda']:g}, rate {run['rate']:g}", "pixel", *at))
    if "bounded" in case.parts:
        trail = case.parts["bounded"]
        rows += [_row(case, "bounded σ, Adam", "pixel", *at) for at in _snapshots(trail)]
        last = trail["passes"][-1], trail["seconds"][-1]
        rows.append(_row(case, "bounded σ, lowest loss kept", "pixel", *last, trail["kept"]))
    return rows


def bar_table(lines: Sequence[Bar]) -> str:
    """The table of bars, and how many are met."""
    words = {True: "yes", False: "NO", None: ""}
    rows = [("what", "where", "ours", "theirs", "value", "bar", "met")]
    rows += [(line.what, line.where, line.ours, line.theirs, line.value, line.bar, words[line.met]) for line in lines]
    wanted = [line.met for line in lines if "discovery" not in line.what]
    text = f"\n{table(rows)}\n{wanted.count(True)} of {len(wanted)} bars met"
    if left := wanted.count(None):
        text += (
            f", {left} not judged. A gap is judged by a reference whose own sampling noise, r²/4N, is below a third of "
            "it, and a corrected value by one whose own error is below half of the bar. Those of --profile quick are "
            "too short for that where r is large: in the deepest layers."
        )
    return text


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text in columns, as a table of Markdown."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
