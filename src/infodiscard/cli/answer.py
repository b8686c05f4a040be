"""Answer of a command that has a table: printed for people, or as JSON or CSV for programs and nothing else."""

from __future__ import annotations

import inspect
import json as encoding
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from ..core.files import translate_os_errors
from ..errors import InfodiscardError
from .console import for_programs, write_table

if TYPE_CHECKING:
    import pandas as pd

PRINTED = "-"
"""In place of a file: the terminal, or what reads the command's output."""

Csv = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Also write the table as CSV here; '-': print that, and nothing else."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the table, and what is known besides, as JSON.")]


class Answer:
    """Takes the table that a command is about.

    Args:
        as_json: print it as JSON.
        csv: a file to write it to, or `PRINTED`.
        output: what programs read.
    """

    def __init__(self, as_json: bool, csv: str | None, output: IO[str]) -> None:
        self._as_json, self._csv, self._output = as_json, csv, output

    def give(self, table: pd.DataFrame, **facts: Any) -> dict[str, Path]:
        """Prints or writes a table where that is asked for.

        Args:
            table: the rows.
            facts: what JSON says besides, by name; paths are written as texts.

        Returns:
            "CSV" → the file that was written, for people; nothing if there is none.

        Raises:
            InfodiscardError: it cannot be written.
        """
        if self._as_json:
            rows = encoding.loads(table.to_json(orient="records", double_precision=12, force_ascii=False))
            print(encoding.dumps(facts | {"rows": rows}, ensure_ascii=False, default=str), file=self._output)
        elif self._csv == PRINTED:
            self._output.write(table.to_csv(index=False))
        if self._csv in (None, PRINTED):
            return {}
        write_table(table, Path(str(self._csv)))
        return {"CSV": Path(str(self._csv))}


def _check_place(file: Path) -> None:
    """Raises InfodiscardError if a table cannot be written there, before anything is done for it."""
    with translate_os_errors("write the table", file):
        if file.is_dir() or not file.parent.is_dir():
            what = "is a directory" if file.is_dir() else "is in a directory that does not exist"
            raise InfodiscardError(f"--csv was '{file}', which {what}; name a file, or '-' to print the table.")


@contextmanager
def answering(as_json: bool, csv: str | None) -> Iterator[Answer]:
    """Yields what takes the table; where programs read it, tables for people are omitted and notes are no output."""
    if csv not in (None, PRINTED):
        _check_place(Path(str(csv)))
    if not as_json and csv != PRINTED:
        yield Answer(as_json, csv, sys.stdout)
        return
    output = sys.stdout
    with for_programs(), redirect_stdout(sys.stderr):
        yield Answer(as_json, csv, output)


def answers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a command take `--csv` and `--json` in place of its parameter `answer`."""
    own = inspect.signature(command, eval_str=True)
    given: Mapping[str, tuple[Any, Any]] = {"csv": (Csv, None), "json": (Json, False)}

    @wraps(command)
    def called(csv: str | None = None, json: bool = False, **values: Any) -> Any:
        with answering(json, csv) as answer:
            return command(**values, answer=answer)

    kind = inspect.Parameter.KEYWORD_ONLY
    kept = [each.replace(kind=kind) for each in own.parameters.values() if each.name != "answer"]
    added = [inspect.Parameter(name, kind, default=usual, annotation=sort) for name, (sort, usual) in given.items()]
    called.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    return called
