"""A run as text: one line, and a table of plain columns."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.columns import columns_of
from ..analysis.summary import TRUSTED, summarise
from ..analysis.trust import of_run
from ..core.metrics import METRICS
from ..results.run import StoredRun


def run_text(run: StoredRun) -> str:
    """Returns a run in one line, its means over the samples by metric, and what speaks against them."""
    summary, lines = summarise(run), [repr(run)]
    if summary.empty:
        return "\n".join([*lines, "Nothing is measured yet."])
    several = len(run.plan.networks) > 1
    for metric in run.metrics:
        columns = columns_of(metric, summary)
        heads = [METRICS[metric].title, *(heading for heading, _ in columns.values())]
        rows = []
        for row in summary.to_dict("records"):
            name = f"{row['network']} {row['layer']}" if several else str(row["layer"])
            doubted = " !" * (row["trust"] != TRUSTED)
            rows.append([f"{name}{doubted}", *(form(row) for _, form in columns.values())])
        lines += ["", *aligned([run.plan.layout.words(head).split("\n") for head in heads], rows)]
    doubts = [f"{row.layer}: {row.trust}" for row in summary.itertuples() if row.trust != TRUSTED]
    doubts += of_run(run)
    return "\n".join([*lines, *([""] * bool(doubts)), *(f"! {text}." for text in doubts)])


def aligned(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table, the first column to the left and the others to the right.

    Args:
        heads: of each column, its lines.
        rows: the cells of each.
    """
    deep = max(map(len, heads))
    above = [[[*[""] * (deep - len(head)), *head][line] for head in heads] for line in range(deep)]
    table = [*above, *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
