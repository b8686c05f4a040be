"""Console of the commands: where things go, what is printed about them, and how an interruption ends."""

from __future__ import annotations

import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from ..api.run import Run
from ..core.files import translate_os_errors
from .exit_codes import INTERRUPTED, TERMINATED
from .tables import show_paths

if TYPE_CHECKING:
    import pandas as pd

    from ..networks.network import Network


_programs: ContextVar[bool] = ContextVar("programs", default=False)


@contextmanager
def for_programs() -> Iterator[None]:
    """Keeps what is meant for people off the consoles that are made in the block."""
    token = _programs.set(True)
    try:
        yield
    finally:
        _programs.reset(token)


def fresh(networks: Mapping[str, Network]) -> Path:
    """Returns a directory for a run that was given none: `runs/NAME-TIMESTAMP`."""
    return Path("runs") / f"{file_name('+'.join(networks))}-{datetime.now():%Y%m%d-%H%M%S}"


def file_name(text: str) -> str:
    """Returns the text as the name of a file or directory: no spaces or slashes, at most 80 characters."""
    return re.sub(r"[^\w.+-]+", "-", text)[:80]


def announce(run: Run, known: bool) -> None:
    """Prints where a run goes, and how much of it is there already if it was `known` before."""
    left, total = len(run.pending()), len(run.plan.units())
    state = f"{total - left} of {total} parts are finished; going on" if left else "finished; it is reopened"
    typer.echo(f"Run in {run.path}" + f": there already, {state}." * known)


@contextmanager
def interruptible(path: str | Path, named: bool = True) -> Iterator[None]:
    """Prints on Ctrl-C or SIGTERM what is kept and how to go on.

    Args:
        path: where the work is kept.
        named: whether the same command would find it there; otherwise the command is shown with --out.
    """
    signals: list[int] = []
    try:
        with _terminable(signals):
            yield
    except (KeyboardInterrupt, SystemExit) as error:  # Lightning turns the one into the other
        cause = error.__context__ if isinstance(error, SystemExit) else error
        if not isinstance(cause, KeyboardInterrupt):
            raise
        again = "" if named else f": {shlex.join(['infodiscard', *sys.argv[1:], '--out', str(path)])}"
        typer.echo(f"\nInterrupted. What was finished is kept in '{path}'; the same command continues{again}", err=True)
        raise typer.Exit(TERMINATED if signals else INTERRUPTED) from error


@contextmanager
def _terminable(signals: list[int]) -> Iterator[None]:
    """Lets SIGTERM, by which schedulers and containers end a process, end the block as Ctrl-C does.

    Args:
        signals: gets the signal's number; libraries in between may turn the interruption into another one.
    """

    def end(number: int, _frame: object) -> None:
        signals.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def show_files(console: Console, folder: Path, **others: str | Path | None) -> None:
    """Prints where `others` are, and then the pictures, tables and pages of a report in a folder."""
    sheets = [*folder.glob("maps*.png"), *folder.glob("reconstructions*.png")]
    sheets.sort(key=lambda path: (len(path.name), path.name))  # maps, maps-2, …
    names = {path.stem.replace("-", " ").replace("_ru", " of RU"): path for path in sheets}
    known = {"layer curve": folder / "layers.png", **names, "table": folder / "summary.csv"}
    known |= {"texts": folder / "texts.html", "report": folder / "report.html"}
    show_paths(console, {**others, **{name: path for name, path in known.items() if path.exists()}})


def plain_console() -> Console:
    """Returns the console that results are printed on, without highlighting."""
    return Console(highlight=False, quiet=_programs.get())


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as CSV, over the file that may be there.

    Raises:
        InfodiscardError: it cannot be written.
    """
    with translate_os_errors("write the table", path):
        table.to_csv(path, index=False)
