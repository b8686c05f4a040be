"""A run as a notebook shows it: the tables with units and marks of doubt, and the layer curve."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from ..analysis.columns import columns_of
from ..analysis.summary import summarise
from ..analysis.trust import distrust
from ..core.metrics import METRICS
from ..plots import layer_curve
from ..results.run import StoredRun
from .rendering import render

if TYPE_CHECKING:
    import pandas as pd


class Table(NamedTuple):
    """A table of a metric: its title, its headings line by line, "!" over doubts, and the texts of cells."""

    title: str
    heads: list[list[str]]
    rows: list[list[str]]


def run_html(run: StoredRun) -> str:
    """Returns a fragment of HTML that needs nothing else; all texts are escaped.

    A run that is not finished shows what is there, and says what is missing. A layer that is not to be trusted has `!`,
    and the reason in words.
    """
    summary, values = summarise(run), run.to_dataframe()
    whole = not summary.empty and all(values[metric].notna().any() for metric in run.metrics)
    return render(
        "notebook.html.j2",
        run=repr(run),
        left=len(run.pending()),
        total=len(run.plan.units()),
        tables=[] if summary.empty else [_table(run, metric, summary, values) for metric in run.metrics],
        curve=_curve(run) if whole else "",
    )


def _table(run: StoredRun, metric: str, summary: pd.DataFrame, values: pd.DataFrame) -> Table:
    """Returns the table of one metric: a row per network and layer."""
    columns, words = columns_of(metric, summary), run.plan.layout.words
    doubts = _doubts(run, metric, values)
    headings = ["network", "layer", *(words(heading) for heading, _ in columns.values())]
    rows = []
    for row in summary.to_dict("records"):
        reason = doubts[row["network"], row["layer"]]
        cells = [str(row["network"]), f"{row['layer']} !" if reason else str(row["layer"])]
        cells += [form(row) for _, form in columns.values()]
        rows.append([*cells, reason] if any(doubts.values()) else cells)
    headings += ["!"] if any(doubts.values()) else []
    return Table(METRICS[metric].title, [heading.split("\n") for heading in headings], rows)


def _doubts(run: StoredRun, metric: str, values: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Returns (network, layer) → what speaks against its values, "" if nothing does."""
    alpha, words = run.plan.settings.alpha, run.plan.layout.words
    groups = values.groupby(["network", "layer"], sort=False)
    return {(str(name), str(layer)): words("; ".join(distrust(rows, alpha, metric))) for (name, layer), rows in groups}


def _curve(run: StoredRun) -> str:
    """Returns the layer curve as a data URL."""
    file = BytesIO()
    layer_curve(run).savefig(file, format="png", dpi=100)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode('ascii')}"
