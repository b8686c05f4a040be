"""Command that reruns the paper's studies: reproduce."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from ...errors import InfodiscardError
from ...experiments import STUDIES, collect, reproduce_given
from ...experiments import reproduce as run_study
from ..answer import Answer, answers
from ..console import interruptible, plain_console
from ..options import Device
from ..tables import new_table, show_paths

if TYPE_CHECKING:
    from ...experiments.findings import Findings

NAMES = "coherency, maps, networks, flaws, compression, distillation, epochs, robustness, or all"
SIZES = "'quick' (minutes, for tests), 'cpu' (two hours on two cores), 'desk' (nights on them) or 'paper' (for a GPU)."


@answers
def reproduce(
    answer: Answer,
    study: Annotated[str, typer.Argument(metavar="STUDY", help=f"{NAMES}.", show_default=False)],
    profile: Annotated[str, typer.Option(help=SIZES)] = "cpu",
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where 'cifar10/' (Parquet) and 'CUB_200_2011/' are; CIFAR-10 is downloaded."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where all goes; runs/reproduce-PROFILE.")] = None,
    device: Device = "cpu",
    networks: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=SPEC", help="A trained network to judge by instead, or a .toml file; repeatable."),
    ] = None,
    images: Annotated[
        int | None, typer.Option(metavar="N", help="With --networks: images to measure; more of them go on.")
    ] = None,
) -> None:
    """Reruns one of the paper's studies, or all: trains what is missing, measures it, and says which claims held.

    With --networks nothing is trained: the claims are judged by trained networks that you give, as intact=SPEC and
    damaged=SPEC@WEIGHTS to the study of flaws.
    """
    place = out or Path("runs") / f"reproduce-{profile}"
    if images is not None and not networks:
        raise InfodiscardError("--images is for networks given with --networks; a study's own are in its profile.")
    rows: list[dict[str, str]] = []
    found: Iterable[tuple[Findings, Path]]
    with interruptible(place):
        if networks:
            found = reproduce_given(networks, study, profile, data_dir, place, device, images)
        else:
            chosen = STUDIES if study == "all" else [study]
            found = (run_study(each, profile, data_dir, place, device) for each in chosen)
        for findings, folder in found:
            _show(findings, folder)
            rows += [
                {"study": findings.study, "claim": claim.text, "verdict": claim.verdict, "statistic": claim.statistic}
                for claim in findings.claims
            ]
    if study == "all":
        typer.echo(f"All of them: {collect(place)}")
    if written := answer.give(pd.DataFrame(rows), folder=place):
        show_paths(plain_console(), written)


def _show(findings: Findings, folder: Path) -> None:
    """Prints the verdicts and where the figures are."""
    from rich.markup import escape

    console = plain_console()
    table = new_table(f"{findings.study}: {findings.title}", None)
    for heading in ("claim", "here", "statistic"):
        table.add_column(heading, overflow="fold")
    for claim in findings.claims:
        table.add_row(escape(claim.text), claim.verdict, escape(claim.statistic))
    table.box = table.box if console.is_terminal else None
    console.print(table)
    for note in findings.notes:
        console.print(escape(note), style="dim")
    console.print()
    figures = {name.replace("_", " "): folder / f"{name}.png" for name in findings.figures}
    show_paths(console, {**figures, "table": folder / "table.csv", "page": folder / "result.md"})
