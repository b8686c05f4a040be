"""Progress bar, log and status file of a run that is being measured."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypedDict, cast

from ..core.files import translate_os_errors
from ..results.places import LOG, STATUS, read_whole, write_whole
from ..results.run import StoredRun
from .engines import Finished

EVERY = 2.0, 15.0
"""Seconds between two writings of the status, in a directory and in a remote place."""


class Pace:
    """How fast a run goes, from what has been finished since it was started or continued.

    Layers differ in cost many times over, so what is left is estimated layer by layer.

    Args:
        left: (network, layer) → cells that are not measured yet.
        clock: seconds from any beginning; one that never goes back.
    """

    def __init__(self, left: Mapping[tuple[str, str], int], clock: Any = time.monotonic) -> None:
        self._left, self._clock, self._begin = dict(left), clock, clock()
        self._cells: dict[tuple[str, str], int] = defaultdict(int)
        self._seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.passes = 0

    def record(self, finished: Finished) -> None:
        """Records a unit."""
        unit, cells = finished.unit, finished.unit.stop - finished.unit.start
        layer = unit.network, unit.layer
        self._left[layer] -= cells
        self._cells[layer] += cells
        self._seconds[layer] += finished.seconds
        self.passes += finished.passes

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._begin

    @property
    def cells(self) -> int:
        """Samples × layers finished since the start."""
        return sum(self._cells.values())

    @property
    def remaining(self) -> float | None:
        """Seconds until all is finished, at the present number of workers; `None` before anything is."""
        spent = sum(self._seconds.values())
        if not self.cells:
            return None
        usual = spent / self.cells
        work = sum(
            cells * (self._seconds[layer] / self._cells[layer] if self._cells.get(layer) else usual)
            for layer, cells in self._left.items()
        )
        return work * self.elapsed / max(spent, 1e-9)  # `spent / elapsed` workers at once

    def rates(self) -> dict[str, float | None]:
        """Cells and passes a second, seconds gone and left."""
        seconds = max(self.elapsed, 1e-9)
        return {
            "seconds": round(self.elapsed, 3),
            "cells_per_second": self.cells / seconds,
            "passes_per_second": self.passes / seconds,
            "seconds_left": self.remaining,
        }


class Watch:
    """Shows and records how a run proceeds; a context manager around the work.

    Args:
        run: the run that is written.
        bar: draw a progress bar on standard error.
        log: a file for one line of JSON per event; by default `log.jsonl` in the run's directory, if that is local.

    Raises:
        InfodiscardError: the log cannot be written.
    """

    def __init__(self, run: StoredRun, bar: bool, log: str | Path | None = None) -> None:
        self._run, self._work_left = run, bool(pending := run.pending())
        left: dict[tuple[str, str], int] = defaultdict(int)
        for unit in pending:
            left[unit.network, unit.layer] += unit.stop - unit.start
        layers = sum(map(len, run.plan.layers.values()))
        self.total = layers * len(run.plan.samples)
        self.done = self.total - sum(left.values())
        self.pace = Pace(left)
        self._every = EVERY[0] if isinstance(run.path, Path) else EVERY[1]
        self._next = 0.0
        self._bar = _Bar(self.done, self.total) if bar and pending else None
        self._log: IO[str] | None = None
        if log is None and isinstance(run.path, Path):
            log = run.path / LOG
        if log is not None and pending:
            with translate_os_errors("write the log", log):
                self._log = Path(log).expanduser().open("a", encoding="utf-8")

    def __enter__(self) -> Watch:
        if self._work_left:
            self._note("started", done=self.done, total=self.total)
            self._write_status("running")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        state = "finished" if kind is None else "interrupted" if not issubclass(kind, Exception) else "failed"
        if self._bar is not None:
            self._bar.stop()
        if self._work_left:
            self._note(state, **({} if error is None else {"why": str(error) or kind.__name__}))  # type: ignore[union-attr]
            self._write_status(state)
        if self._log is not None:
            self._log.close()

    def record(self, finished: Finished) -> None:
        """Records a unit that is stored."""
        self.pace.record(finished)
        self.done += finished.unit.stop - finished.unit.start
        if self._bar is not None:
            self._bar.show(self.done, self.pace, f"{finished.unit.network} {finished.unit.layer}")
        about = asdict(finished)
        self._note("unit", **about.pop("unit"), **about)
        if time.monotonic() >= self._next:
            self._write_status("running")

    def _note(self, event: str, **about: Any) -> None:
        """Writes a line of the log. A full disk is no reason to stop here: the next unit's own writing reports it."""
        if self._log is not None:
            with suppress(OSError):
                line = {"time": _now(), "event": event, **about}
                self._log.write(json.dumps(line, ensure_ascii=False) + "\n")
                self._log.flush()

    def _write_status(self, state: str) -> None:
        """Writes the status, for `infodiscard status`."""
        self._next = time.monotonic() + self._every
        if self._run.path is None:
            return
        about = {"state": state, "host": socket.gethostname(), "pid": os.getpid(), "updated": _now()}
        about |= {"done": self.done, "total": self.total, **self.pace.rates()}
        with suppress(Exception):  # nothing depends on it
            write_whole(self._run.path / STATUS, json.dumps(about, ensure_ascii=False).encode())


class Status(TypedDict, total=False):
    """Last known status of a run; a process writes it while it measures."""

    state: str
    host: str
    pid: int
    updated: str
    done: int
    total: int
    seconds: float
    cells_per_second: float
    passes_per_second: float
    seconds_left: float | None


def read_status(path: Any) -> Status:
    """Returns the last status of the run in a directory; empty if it is not known."""
    try:
        status = json.loads(read_whole(path / STATUS) or b"{}")
    except (OSError, ValueError):
        return {}
    return cast("Status", status) if isinstance(status, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def duration(seconds: float | None) -> str:
    """Formats seconds: 45 s, 12 min, 3 h 20 min, 5 days 2 h."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} days {hours % 24} h"


class _Bar:
    """The bar on standard error."""

    def __init__(self, done: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} samples × layers"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}"),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("", total=total, completed=done, left="?", rate="")
        self._progress.start()

    def show(self, done: int, pace: Pace, last: str) -> None:
        from rich.markup import escape

        rates = pace.rates()
        self._progress.update(
            self._task,
            completed=done,
            description=escape(last),
            left=duration(rates["seconds_left"]),
            rate=f"{rates['passes_per_second']:,.0f} passes/s",
        )

    def stop(self) -> None:
        self._progress.stop()
