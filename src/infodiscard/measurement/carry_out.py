"""Measurement of what a run lacks, watched: how long it will take is said beforehand, and it may end before."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

from ..results.run import StoredRun
from .execution import Execution
from .first_look import FirstLook, look
from .pace import Layer, dearest, duration, duration_range
from .prepare import Measurement
from .progress import Watch

WORTH_SAYING = 60.0
"""Seconds from which on it is said beforehand how long a measurement will take."""


def carry_out(run: StoredRun, measurement: Measurement, execution: Execution) -> None:
    """Measures what a run lacks, in the order of `Plan.units`, until it is finished or the budget is spent.

    Args:
        run: of the measurement's plan.
        measurement: checked.
        execution: how; if progress is shown, what it will take is said beforehand on standard error.
    """
    work, here = measurement.work.under(run.plan.settings), measurement.engine.device_type is None
    looks: dict[Layer, FirstLook] = {}
    if here and execution.progress:
        for layer in dict.fromkeys((unit.network, unit.layer) for unit in run.pending()):
            looks[layer] = look(work.networks[layer[0]], layer[1], work.settings, work.batch_size)
    ranges = {layer: each.range for layer, each in looks.items()}
    if execution.progress and (text := beforehand(run, looks, execution.budget)):
        print(text, file=sys.stderr)
    left = Counter(unit.start for unit in run.pending())  # layers that some samples lack
    with Watch(run, execution.progress, execution.log, ranges, execution.budget) as watch:
        for finished in measurement.engine.run(run, replace(work, observer=watch)):
            watch.record(finished)
            left[finished.unit.start] -= 1
            if execution.callback is not None and not left[finished.unit.start]:
                execution.callback(run)


def beforehand(run: StoredRun, looks: dict[Layer, FirstLook], budget: float | None = None) -> str:
    """Returns how long a measurement will take, if that is worth saying, and what shortens it.

    Args:
        run: what it lacks.
        looks: at the layers of that.
        budget: seconds that are given.
    """
    counts: dict[Layer, int] = {}
    for unit in run.pending():
        counts[unit.network, unit.layer] = counts.get((unit.network, unit.layer), 0) + unit.stop - unit.start
    low, high = (sum(counts[layer] * looks[layer].range[end] for layer in looks) for end in (0, 1))
    if high < WORTH_SAYING:
        return ""
    several = len(run.plan.networks) > 1
    likely = {" ".join(layer) if several else layer[1]: counts[layer] * looks[layer].cost() for layer in looks}
    text = f"This will take {duration_range(low, high)}"
    text += f"; {named}" if (named := dearest(likely)) else ""
    if needs := [each.need for each in looks.values() if each.need is not None]:
        text += f". It takes about {max(needs, key=lambda need: need.whole)}"
    if budget is not None and high > budget:
        text += f". It ends after {duration(budget)} with what is finished then; the same command goes on"
    return f"{text}."
