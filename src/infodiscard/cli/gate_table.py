"""The result of a check on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from ..core.metrics import METRICS
from ..core.numbers import printed
from .tables import add_row, by_reason, new_table, p_value, show_table, show_warnings

if TYPE_CHECKING:
    from ..analysis.gate import Gate


def show_gate(console: Console, gate: Gate) -> None:
    """Prints the table of the layers, what its words mean, and what should not be trusted."""
    reached = " (reached)" if (gate.table["basis"] == "reached").any() else ""
    judged = new_table(
        f"{METRICS[gate.metric].title}{reached} of the candidate against that of the base, nats/{gate.unit}"
    )
    for heading in (
        "base",
        "candidate",
        "change",
        f"{gate.confidence * 100:.4g} % interval",
        "allowed",
        "p (Holm)",
        "verdict",
    ):
        judged.add_column(heading, justify="right")
    for row in gate.table.to_dict("records"):
        allowed = f"±{printed(row['allowed_high'])}"
        if row["allowed_low"] != -row["allowed_high"]:
            allowed = f"{printed(row['allowed_low'], '+.3f')} … {printed(row['allowed_high'], '+.3f')}"
        cells = [printed(row["base"]), printed(row["candidate"]), printed(row["difference"], "+.3f")]
        cells += [f"{printed(row['low'], '+.3f')} … {printed(row['high'], '+.3f')}", allowed]
        add_row(judged, str(row["layer"]), [*cells, p_value(row["p_holm"]), row["verdict"]], bool(row["warning"]))
    show_table(console, judged)
    console.print(f"\n{_meaning(gate)}", style="dim")
    show_warnings(console, by_reason(gate.table.assign(a="base", b="candidate")))


def _meaning(gate: Gate) -> str:
    """Returns what was compared, and what the words of a check mean."""
    images = "–".join(str(n) for n in sorted({gate.table["n"].min(), gate.table["n"].max()}))
    # Between corrected values, all that is not known is in the standard error.
    gap = gate.table["basis"].ne("corrected").any()
    sentences = [
        f"Base: {gate.base}. Candidate: {gate.candidate}.",
        f"Same: the {gate.confidence * 100:.4g} % interval of the change over {images} images lies within what is "
        "allowed. More, less: the change lies outside, significantly. Mixed: that of single images does. Tests are "
        f"corrected for the number of layers ({len(gate.table)}) by Holm's method.",
    ]
    if gap:
        sentences.append("The solver's estimated gap counts against every verdict.")
    else:
        sentences.append("Values are corrected; the interval contains the systematic error of that.")
    if gate.left_out:
        sentences.append(f"Only one of both has {', '.join(gate.left_out)}, which is not compared.")
    if gate.accuracy is not None:
        sentences.append(gate.accuracy.sentence)
    return escape(" ".join(sentences))
