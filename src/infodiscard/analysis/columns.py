"""Columns of printed tables: which of a summary's variables stand for a metric, and how each is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.metrics import METRICS
from ..core.metrics.metric import SHARE, Column
from ..core.numbers import printed
from .display import is_corrected, plain, shown

if TYPE_CHECKING:
    import pandas as pd

Record = Mapping[Any, Any]

Columns = dict[str, tuple[str, Callable[[Record], str]]]
"""Column of `Run.summary` → heading and how to print it."""


def columns_of(metric: str, summary: pd.DataFrame) -> Columns:
    """Returns the columns that stand for a metric, where a summary has them.

    The gap is for values as they were reached: beside a corrected one, what is missing can be seen.
    """
    owner, chosen = METRICS[metric], dict[str, Column]()
    for name, item in owner.columns.items():
        variable = shown(plain(name), summary) if is_corrected(name) else name
        without_gap = name == owner.own("gap") and any(map(is_corrected, chosen))
        if variable in summary and variable not in chosen and not without_gap:
            chosen[variable] = item if variable == name else owner.reached_columns[variable]
    return {name: (item.heading, partial(_printed, name, item)) for name, item in chosen.items()}


def _printed(name: str, column: Column, row: Record) -> str:
    """Prints a row's value of a column."""
    if column.error:
        return with_error(row, name, column.form)
    return share(row[name]) if column.form == SHARE else printed(row[name], column.form)


def share(value: float) -> str:
    """Prints a share, so that a small one does not look like none."""
    return "<0.1%" if 0 < value < 0.001 else printed(value, ".1%" if value else ".0%")


def with_error(row: Record, name: str, form: str) -> str:
    """Prints a value and its standard error, where it has one."""
    value, error = row[name], row[f"{name}_se"]
    return printed(value, form) + ("" if error != error else f" ± {printed(error, form)}")
