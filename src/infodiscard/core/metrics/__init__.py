"""The quantities that can be measured, one module each, and the registry that lists them.

A metric is added by a module that defines a `Metric`, its place in `METRICS`, and its solver.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..kinds import IMAGE, Layout
from .metric import Metric
from .ru import RU
from .sid import SID
from .variable import CELL, GENERAL, UNIT_MAP, Variable

METRICS: dict[str, Metric] = {metric.name: metric for metric in (SID, RU)}
"""What a run can measure, by name, in the order in which it is shown."""


def all_variables() -> dict[str, Variable]:
    """Returns all that a run can hold, as images have it, in the order in which it is shown: scalars, then maps."""
    every = [item for metric in METRICS.values() for item in metric.variables.items()]
    return dict(sorted(every, key=lambda item: item[1].dims != CELL)) | GENERAL


def variables_for(metrics: Collection[str], masks: bool, per_unit: bool, layout: Layout = IMAGE) -> dict[str, Variable]:
    """Returns the variables of a run of some metrics, and of masks if it has them; σ has channels if it is `per_unit`.

    Dimensions and units are named for the kind of input.
    """
    chosen: dict[str, Variable] = {}
    for metric in (METRICS[name] for name in METRICS if name in metrics):
        chosen |= {name: item for name, item in metric.variables.items() if masks or not item.needs_masks}
        if per_unit and (sigma := metric.own("sigma")) in chosen:
            chosen[sigma] = replace(chosen[sigma], dims=UNIT_MAP)
    return {name: item.of_kind(layout) for name, item in (chosen | GENERAL).items()}


def metric_of(variable: str) -> Metric | None:
    """Returns the metric that a variable is of; `None` for one that no metric has."""
    return next((metric for metric in METRICS.values() if variable in metric.variables), None)


def corrected(variable: str) -> str | None:
    """Returns the estimate at the optimum of what a variable holds as reached; `None` if there is none."""
    metric = metric_of(variable)
    return metric.corrected.get(variable) if metric else None


def reached(variable: str) -> str | None:
    """Returns what a corrected variable holds as reached; `None` if the variable is not a corrected one."""
    metric = metric_of(variable)
    return next((name for name, better in metric.corrected.items() if better == variable), None) if metric else None
