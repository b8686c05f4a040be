"""Engine that works in this process, on all its cores or its GPU."""

from __future__ import annotations

from collections.abc import Iterator

from ...results.run import StoredRun
from .work import Finished, Work


class LocalEngine:
    """Measures one unit after another, in this process."""

    device_type: str | None = None

    def run(self, run: StoredRun, work: Work) -> Iterator[Finished]:
        """Measures and stores all pending units; yields each as soon as it is stored."""
        for unit in run.pending():
            values, finished = work.measured(unit, *work.sources(run, unit))
            run.write(unit, values)
            yield finished
