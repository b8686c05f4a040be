"""What the benchmark prints: a table side by side for every case, and the table of bars."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from . import figures
from .bars import Bar, name
from .figures import median
from .results import Case

Row = tuple[str, str, str, str, str, str]
HEAD: Row = ("procedure", "σ", "passes", "s/image", "entropy", "gap")
SHOWN = (16, 64, 256, 1024, 4096)


def side_by_side(case: Case) -> str:
    """All procedures of one case: entropy at equal constraint, its gap to the best known; medians over the images."""
    rows = [_row(case, "uniform σ", "pixel", 0, 0.0, case.parts["optimum"]["uniform"])]
    rows += _ours(case) + _theirs(case)
    best = case.parts["optimum"]
    passes = median(best["passes"])
    rows.append(_row(case, "best known" if passes else "closed form", "pixel", passes, None, best["entropy"]))
    r = f", r = {median(case.parts['noise']['r']):.2f}" if "noise" in case.parts else ""
    title = f"{name(case)}, {len(best['entropy'])} images{r}"
    return f"\n{title}\n{table([HEAD, *rows])}"


def _row(case: Case, what: str, space: str, passes: float, seconds: float | None, entropy: Sequence[float]) -> Row:
    gap = median(figures.gaps(case, [entropy])[0])
    time = "" if seconds is None else f"{seconds:.2f}"
    return what, space, f"{passes:,.0f}", time, f"{median(entropy):.4f}", f"{gap:.4f}"


def _ours(case: Case) -> list[Row]:
    rows = []
    for kind, space in (("cold", "pixel"), ("warm", "pixel"), ("grid", "16×16")):
        trail = case.parts.get(kind)
        if trail is None or "entropy" not in trail or trail.get("first"):
            continue
        last = trail["passes"][-1]
        label = f"ours, {'cold' if kind == 'grid' else kind}"
        rows += [
            _row(case, label, space, passes, seconds, entropy)
            for passes, seconds, entropy in zip(trail["passes"], trail["seconds"], trail["entropy"], strict=True)
            if passes in SHOWN or passes == last
        ]
    if "solve" in case.parts:
        part = case.parts["solve"]
        total = [p + f / 3 for p, f in zip(part["passes"], part["forwards"], strict=True)]
        rows.append(_row(case, "ours, whole, to 0.02", "pixel", median(total), part["seconds"], part["entropy"]))
    return rows


def _theirs(case: Case) -> list[Row]:
    rows = []
    if "published" in case.parts:
        part = case.parts["published"]
        rows.append(_row(case, "uniform σ", "16×16", 0, 0.0, part["uniform"]))
        default, best = part["runs"][0], figures.best_published(part)
        rows.append(
            _row(
                case,
                f"published, default (raw {_raw(default['raw_chosen'])})",
                "16×16",
                default["passes"],
                default["seconds"],
                default["chosen"],
            )
        )
        label = (
            f"published, best of {len(part['runs'])}: λ = {best['lambda']:g}, rate × {best['rate']:g}, {best['rule']}"
        )
        rows.append(
            _row(case, f"{label} (raw {_raw(best['raw'])})", "16×16", best["passes"], best["seconds"], best["entropy"])
        )
    if "adam" in case.parts:
        trail = figures.best_of(case.parts["adam"]["runs"])
        rows += [
            _row(case, f"Adam on log σ, λ = {run['lambda']:g}, rate {run['rate']:g}", "pixel", passes, seconds, entropy)
            for passes, seconds, entropy, run in zip(*trail.values(), strict=True)
        ]
    if "bounded" in case.parts:
        trail = case.parts["bounded"]
        rows += [
            _row(case, "bounded σ, Adam", "pixel", passes, seconds, entropy)
            for passes, seconds, entropy in zip(trail["passes"], trail["seconds"], trail["entropy"], strict=True)
        ]
        rows.append(
            _row(case, "bounded σ, lowest loss kept", "pixel", trail["passes"][-1], trail["seconds"][-1], trail["kept"])
        )
    return rows


def _raw(entropies: Sequence[float]) -> str:
    return f"{statistics.median(entropies):.3f}"


def bar_table(lines: Sequence[Bar]) -> str:
    """The table of bars."""
    words = {True: "yes", False: "NO", None: ""}
    rows = [("what", "measured", "bar", "met")] + [(b.what, b.measured, b.bar, words[b.met]) for b in lines]
    judged = [line.met for line in lines if line.met is not None and "discovery" not in line.bar]
    return f"\n{table(rows)}\n{sum(judged)} of {len(judged)} bars met"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text in columns, as a table of Markdown."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
