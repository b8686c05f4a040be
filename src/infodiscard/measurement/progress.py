"""Progress bar, log and status file of a run that is being measured."""

from __future__ import annotations

import json
import math
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
from ..results.plan import Unit
from ..results.run import StoredRun
from ..results.unfinished import Unfinished
from ..solver.stage import Stage
from .engines import Finished
from .pace import Layer, Pace, duration_range
from .text_bar import TextBar, in_notebook
from .unit import Follower

EVERY, KEPT, SHOWN = (2.0, 15.0), 15.0, 0.2
"""Seconds between two writings of the status, in a directory and in a remote place; between two snapshots of a unit
that is being measured; and between two changes of the bar."""


class OutOfTime(Exception):
    """The time that was given for a measurement is over; what has been finished is stored."""


class Watch:
    """Shows and records how a run proceeds; a context manager around the work, and its `Observer`.

    Args:
        run: the run that is written.
        bar: draw a progress bar on standard error.
        log: a file for one line of JSON per event; by default `log.jsonl` in the run's directory, if that is local.
        looks: as for `Pace`.
        budget: seconds after which the work ends; `None` for no end.

    Raises:
        InfodiscardError: the log cannot be written.
    """

    def __init__(
        self,
        run: StoredRun,
        bar: bool,
        log: str | Path | None = None,
        looks: Mapping[Layer, tuple[float, float]] | None = None,
        budget: float | None = None,
    ) -> None:
        self._run, self._work_left = run, bool(pending := run.pending())
        left: dict[Layer, int] = defaultdict(int)
        for unit in pending:
            left[unit.network, unit.layer] += unit.stop - unit.start
        layers = sum(map(len, run.plan.layers.values()))
        self.total = layers * len(run.plan.samples)
        self.done = self.total - sum(left.values())
        self.pace = Pace(left, looks)
        self._look = 0.0
        self._deadline = math.inf if budget is None else time.monotonic() + budget
        folder = run.path if isinstance(run.path, Path) else None
        self._unfinished = Unfinished(folder, run.created)
        self._every, self._next, self._keep = EVERY[folder is None], 0.0, time.monotonic() + KEPT
        kind = TextBar if in_notebook() else _Bar
        self._bar = kind(self.done, self.total) if bar and pending else None
        self._log: IO[str] | None = None
        if log is None and folder is not None:
            log = folder / LOG
        if log is not None and pending:
            with translate_os_errors("write the log", log):
                self._log = Path(log).expanduser().open("a", encoding="utf-8")

    def __enter__(self) -> Watch:
        if self._work_left:
            self._note("started", done=self.done, total=self.total)
            self._write_status("running")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> bool:
        ended = kind is OutOfTime
        state = "finished" if kind is None else "interrupted" if ended or not issubclass(kind, Exception) else "failed"
        if self._bar is not None:
            self._bar.stop()
        if self._work_left:
            self._note(state, **({} if error is None else {"why": str(error) or kind.__name__}))  # type: ignore[union-attr]
            self._write_status(state)
        if self._log is not None:
            self._log.close()
        return ended

    def follower(self, unit: Unit) -> Follower:
        """Returns who follows a unit: the bar, the deadline, and what is kept of it for the case of an interruption."""
        self.pace.begin(unit)
        spent: dict[tuple[str, ...], float] = {}
        expected: dict[tuple[str, ...], float] = {}
        self._show(unit)

        def note(key: tuple[str, ...], stage: Stage) -> None:
            """Notes how far a search is, for which a device that is computing has to be waited for."""
            metric = key[0]
            spent[key], expected[key] = float(stage.spent.sum()), float(stage.expected.nan_to_num(math.inf).sum())
            metrics = self._run.plan.settings.metrics
            later = metrics[metrics.index(metric) + 1 :]
            others = (unit.stop - unit.start) * sum(self._run.plan.settings.max_passes[name] for name in later)
            self.pace.advance(sum(spent.values()), sum(expected.values()) + others)
            self._show(unit)
            self._note_status()

        def tell(metric: str, samples: tuple[str, ...], stage: Stage) -> None:
            key, now = (metric, *samples), time.monotonic()
            if now >= self._look:
                note(key, stage)
                self._look = now + SHOWN
            ends = now >= self._deadline
            if stage.snapshot is not None and (ends or now >= self._keep):
                self._unfinished.keep(unit, key, stage.snapshot())
                self._keep = time.monotonic() + KEPT
            if ends:
                raise OutOfTime("the time given is over")

        return Follower(tell, lambda metric, samples: self._unfinished.kept(unit, (metric, *samples)))

    def record(self, finished: Finished) -> None:
        """Records a unit that is stored.

        Raises:
            OutOfTime: the time given is over.
        """
        self.pace.record(finished)
        self._unfinished.forget()
        self.done += finished.unit.stop - finished.unit.start
        self._show(finished.unit, at_once=True)
        about = asdict(finished)
        self._note("unit", **about.pop("unit"), **about)
        self._note_status()
        if time.monotonic() >= self._deadline and self.done < self.total:
            raise OutOfTime("the time given is over")

    def _show(self, unit: Unit, at_once: bool = False) -> None:
        if self._bar is not None:
            self._bar.show(self.done, self.pace, f"{unit.network} {unit.layer}", at_once)

    def _note_status(self) -> None:
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
    seconds_left_most: float | None


def read_status(path: Any) -> Status:
    """Returns the last status of the run in a directory; empty if it is not known."""
    try:
        status = json.loads(read_whole(path / STATUS) or b"{}")
    except (OSError, ValueError):
        return {}
    return cast("Status", status) if isinstance(status, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class _Bar:
    """The bar on standard error, by the time that is gone and likely to be left."""

    def __init__(self, done: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}/{task.fields[of]} samples × layers"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}"),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._begun = done / total
        self._task = self._progress.add_task("", total=1.0, left="?", rate="", done=done, of=total)
        self._progress.update(self._task, completed=self._begun)
        self._next = 0.0
        self._progress.start()

    def show(self, done: int, pace: Pace, last: str, at_once: bool) -> None:
        """Shows how far the work is; unless that is wanted at once, not more often than one can read."""
        from rich.markup import escape

        if time.monotonic() < self._next and not at_once:
            return
        self._next = time.monotonic() + SHOWN
        remaining = pace.remaining
        share = self._progress.tasks[0].completed
        if remaining is not None:
            likely = (remaining[0] * remaining[1]) ** 0.5
            gone = pace.elapsed / max(pace.elapsed + likely, 1e-9)
            share = max(share, self._begun + (1 - self._begun) * gone)  # never back
        self._progress.update(
            self._task,
            completed=share,
            description=escape(last),
            left="?" if remaining is None else duration_range(*remaining),
            rate=f"{pace.rate:,.0f} passes/s",
            done=done,
        )

    def stop(self) -> None:
        self._progress.stop()
