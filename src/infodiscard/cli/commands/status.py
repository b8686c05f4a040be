"""Commands about a run that is under way, or has been: status, verify."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...api.run import open_run
from ...measurement.pace import duration
from ...measurement.progress import read_status
from ...results.verify import verify_run
from ..answer import Answer, answers
from ..console import plain_console
from ..exit_codes import FAILED
from ..tables import progress_table, show_paths, show_progress

if TYPE_CHECKING:
    from ...api.run import Run

RunPlace = Annotated[str, typer.Argument(metavar="RUN", help="Directory or URL of a run.", show_default=False)]


@answers
def status(
    answer: Answer,
    run: RunPlace,
    follow: Annotated[bool, typer.Option("--follow", help="Say it again every few seconds until it ends.")] = False,
) -> None:
    """Says how far a run is, how fast it goes and how long it will take, from another terminal or machine."""
    console = plain_console()
    while True:
        opened = open_run(run)
        going = _print_state(opened)
        show_progress(console, opened)
        last, left = read_status(opened.path), opened.pending()
        known = {"run": opened.path, "finished": not left, "state": "finished" if not left else _state(last)}
        if written := answer.give(progress_table(opened), **known):
            show_paths(console, written)
        if not (follow and going):
            return
        time.sleep(5)


def _print_state(run: Run) -> bool:
    """Prints what is known of the process that writes a run; returns whether it still does."""
    last = read_status(run.path)
    left = sum(unit.stop - unit.start for unit in run.pending())
    total = sum(unit.stop - unit.start for unit in run.plan.units())
    say = f"Run in {run.path}: {total - left:,} of {total:,} samples × layers ({1 - left / total:.0%})"
    state = _state(last)
    typer.echo(f"{say}, {'finished' if not left else state}.")
    for line in run.plan.described():
        typer.echo(line)
    if left and state.startswith("running"):
        rates = (
            f"{last['cells_per_second'] * 60:.1f} samples × layers a minute, {last['passes_per_second']:,.0f} passes/s"
        )
        typer.echo(f"{rates}; left: {duration(last['seconds_left'])}.")
    elif left:
        typer.echo("The command that made it continues it.")
    return bool(left) and state.startswith("running")


def _state(last: Mapping[str, Any]) -> str:
    """Returns what is known of the process that writes a run, in words."""
    if not last:
        return "of which nothing is known but what is stored"
    where = f"on {last['host']}, process {last['pid']}"
    # The clock there, or here, may have been set: an age is only an indication.
    age = max(0.0, datetime.now().timestamp() - datetime.fromisoformat(last["updated"]).timestamp())
    if last["state"] == "running" and last["host"] == socket.gethostname() and not _lives(last["pid"]):
        return f"cut off: it ran {where}, which is gone"
    if last["state"] == "running":
        return f"running {where}, last heard of {age:.0f} s ago"
    return f"{last['state']} {where}"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is someone else's
        pass
    return True


def verify(
    run: RunPlace,
    keep: Annotated[bool, typer.Option("--keep", help="Only say what is damaged; change nothing.")] = False,
) -> None:
    """Reads all that a run has stored and checks it; exits with 1 if something is missing or damaged.

    What is damaged is removed, unless --keep is given, and the command that made
    the run then measures it again, and nothing else.
    """
    result = verify_run(run, repair=not keep)
    console = plain_console()
    if not result.damaged:
        console.print(f"Whole: all that {result.units:,} finished units have stored.", style="green")
        return
    for damage in result.damaged:
        console.print(str(damage), markup=False, soft_wrap=True)
    after = "left as they are" if keep else "removed; the command that made the run measures them again"
    console.print(
        f"Damaged or missing: parts of {len(result.damaged):,} of {result.units:,} finished units, {after}.",
        style="red",
    )
    raise typer.Exit(FAILED)
