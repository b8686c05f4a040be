"""The result of a check on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from ..core.metrics import METRICS
from .tables import add_row, by_reason, new_table, show_warnings

if TYPE_CHECKING:
    from ..analysis.gate import Gate


def show_gate(console: Console, gate: Gate) -> None:
    """Prints the table of the layers, what its words mean, and what should not be trusted."""
    reached = " (reached)" if (gate.table["basis"] == "reached").any() else ""
    judged = new_table(
        f"{METRICS[gate.metric].title}{reached} of the candidate against that of the base, nats/{gate.unit}"
    )
    judged.add_column("layer", overflow="fold", min_width=8)
    for heading in ("base", "candi-\ndate", "differ-\nence", "se", "bound", "p\n(Holm)", "verdict"):
        judged.add_column(heading, justify="right", no_wrap=True)
    for row in gate.table.to_dict("records"):
        cells = [f"{row['base']:.3f}", f"{row['candidate']:.3f}", f"{row['difference']:+.3f}", f"{row['se']:.3f}"]
        cells += [f"{row['bound']:+.3f}", "<0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}"]
        add_row(judged, str(row["layer"]), [*cells, row["verdict"]], doubted=bool(row["warning"]))
    console.print(judged)
    console.print(f"\n{_meaning(gate)}", style="dim")
    show_warnings(console, by_reason(gate.table.assign(a="base", b="candidate")))


def _meaning(gate: Gate) -> str:
    """Returns what was compared, and what the words of a check mean."""
    images = "–".join(str(n) for n in sorted({gate.table["n"].min(), gate.table["n"].max()}))
    # Between corrected values, all that is not known is in the standard error.
    gap = gate.table["basis"].ne("corrected").any()
    less, added = (", less the solver's estimated gap,", "with the gap added, ") if gap else ("", "")
    sentences = [
        f"Base: {gate.base}. Candidate: {gate.candidate}.",
        f"More: the paired difference over {images} images{less} exceeds {gate.max_increase:g} (as its bound shows). "
        f"Within, less: {added}it is at most {gate.max_increase:g}, below 0. One-sided t-tests at "
        f"{gate.confidence:.4g}, corrected for the number of layers ({len(gate.table)}) by Holm's method.",
    ]
    if not gap:
        sentences.append("Values are corrected; se contains the systematic error of that.")
    if gate.left_out:
        sentences.append(f"Only one of both has {', '.join(gate.left_out)}, which is not compared.")
    return escape(" ".join(sentences))
