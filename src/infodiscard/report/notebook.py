"""A run as a notebook shows it: the tables with units and marks of doubt, and the layer curve."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from ..analysis.columns import columns_of
from ..analysis.summary import summarise
from ..analysis.trust import distrust
from ..core.metrics import METRICS
from ..plots import layer_curve

if TYPE_CHECKING:
    import pandas as pd

    from ..results.run import StoredRun


def run_html(run: StoredRun) -> str:
    """Returns a fragment of HTML that needs nothing else; all texts are escaped.

    A run that is not finished shows what is there, and says what is missing. A layer that is not to be trusted has `!`,
    and the reason in words.
    """
    parts = [f"<p>{escape(repr(run))}</p>"]
    summary = summarise(run)
    if summary.empty:
        return parts[0] + "<p>Nothing is measured yet.</p>"
    if left := len(run.pending()):
        parts.append(f"<p><b>Not finished:</b> {left} of {len(run.plan.units())} units are missing.</p>")
    values, words = run.to_dataframe(), run.plan.layout.words
    for metric in run.metrics:
        parts.append(_table(summary, metric, _doubts(run, values, metric), words))
    shown = [metric for metric in run.metrics if values[metric].notna().any()]
    return "".join(parts) + (_curve(run) if len(shown) == len(run.metrics) else "")


def _doubts(run: StoredRun, values: pd.DataFrame, metric: str) -> dict[tuple[str, str], str]:
    """Returns (network, layer) → what speaks against its values, "" if nothing does."""
    alpha, words = run.plan.settings.alpha, run.plan.layout.words
    groups = values.groupby(["network", "layer"], sort=False)
    return {(str(name), str(layer)): words("; ".join(distrust(rows, alpha, metric))) for (name, layer), rows in groups}


def _table(summary: pd.DataFrame, metric: str, doubts: dict[tuple[str, str], str], words: Callable[[str], str]) -> str:
    columns = columns_of(metric, summary)
    headings = ["network", "layer", *(words(heading) for heading, _ in columns.values())]
    doubted = any(doubts.values())
    headings += ["!"] if doubted else []
    head = "".join(f"<th>{_lines(heading)}</th>" for heading in headings)
    rows = []
    for row in summary.to_dict("records"):
        reason = doubts[row["network"], row["layer"]]
        cells = [str(row["network"]), f"{row['layer']} !" if reason else str(row["layer"])]
        cells += [form(row) for _, form in columns.values()] + ([reason] if doubted else [])
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    note = "; ! = not to be trusted as it stands" if doubted else ""
    caption = f"<caption>{METRICS[metric].title}{note}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _lines(heading: str) -> str:
    """Returns a heading of the terminal's tables, which breaks words at a hyphen, for HTML."""
    return escape(heading.replace("-\n", "")).replace("\n", "<br>")


def _curve(run: StoredRun) -> str:
    """Returns the layer curve as a picture within the text."""
    file = BytesIO()
    layer_curve(run).savefig(file, format="png", dpi=100)
    data = b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="curve by layer" src="data:image/png;base64,{data}" style="max-width: 100%">'
