"""Progress in a notebook: a line of text that is written over; VS Code, Jupyter and Colab show it without widgets."""

from __future__ import annotations

import sys
import time

from .pace import Pace, duration_range

WIDTH, SHOWN = 20, 0.5
"""Characters of the bar, and seconds between two changes."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python is not None else None
    return getattr(shell, "kernel", None) is not None


class TextBar:
    """Shows how far the work is, on standard output; the same methods as the bar of a terminal.

    Args:
        done: samples × layers that are finished.
        total: all of them.
    """

    def __init__(self, done: int, total: int) -> None:
        self._done, self._total, self._next, self._longest = done, total, 0.0, 0
        self._write("")

    def show(self, done: int, pace: Pace, last: str, at_once: bool) -> None:
        """Shows how far the work is; not more often than one can read."""
        self._done = done
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SHOWN
        left = "" if pace.remaining is None else f", left {duration_range(*pace.remaining)}"
        self._write(f"{last}{left}")

    def stop(self) -> None:
        """Leaves the last line as it is."""
        self._write("")
        sys.stdout.write("\n")
        sys.stdout.flush()

    def _write(self, about: str) -> None:
        full = WIDTH * self._done // max(self._total, 1)
        line = f"{'█' * full}{'·' * (WIDTH - full)} {self._done}/{self._total} samples × layers  {about}".rstrip()
        self._longest = max(self._longest, len(line))
        sys.stdout.write(f"\r{line.ljust(self._longest)}")
        sys.stdout.flush()
