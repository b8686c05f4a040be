"""What stands for a metric in tables, curves and comparisons, corrected or as reached, and the error of its mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..core.metrics import corrected, reached
from ..solver.correction import SYSTEMATIC

if TYPE_CHECKING:
    import pandas as pd

AS_REACHED = "_reached"
"""Ends the name of a metric where the value that the search reached is asked for, as in `sid_reached`."""


def plain(metric: str) -> str:
    """Returns the variable that holds what was reached: `sid` for `sid`, `sid_reached` and `sid_corrected`."""
    name = metric.removesuffix(AS_REACHED)
    return name if metric != name and is_reached(name) else reached(metric) or metric


def shown(metric: str, *tables: pd.DataFrame) -> str:
    """Returns the variable that stands for a metric in print.

    It is the corrected one where every table has a value of it, and the reached one where that is asked for, where a
    run is older than corrected values, and where nothing could be corrected.

    Args:
        metric: a scalar variable, or one with `_reached` behind it.
        tables: of `Run.to_dataframe` or `Run.summary`, or rows of them.
    """
    better = corrected(metric)
    if better is not None and all(better in table and table[better].notna().any() for table in tables):
        return better
    return metric if is_corrected(metric) else plain(metric)


def is_reached(variable: str) -> bool:
    """Whether a variable is as reached, while a corrected one exists: print has to say so."""
    return corrected(variable) is not None


def is_corrected(variable: str) -> bool:
    """Whether a variable is the estimate at the optimum of what another holds as reached."""
    return reached(variable) is not None


def basis(variable: str) -> str:
    """Returns what tables call a variable: "corrected", as "reached", or "" where there is no such difference."""
    return "corrected" if is_corrected(variable) else "reached" if is_reached(variable) else ""


def called(name: str, variable: str) -> str:
    """Returns what print calls a variable, from its metric's name."""
    return f"{name} (reached)" if is_reached(variable) else name


def systematic(table: pd.DataFrame, variable: str) -> float:
    """Returns the error of a mean over samples that more samples do not make smaller; 0 where nothing is corrected.

    Args:
        table: the samples' rows.
        variable: the one whose mean is taken.
    """
    if (found := reached(variable)) is None:
        return 0.0
    mean = float((table[variable] - table[found]).mean())
    return SYSTEMATIC * abs(mean) if mean == mean else 0.0


def systematic_difference(a: pd.DataFrame, b: pd.DataFrame, variable: str) -> float:
    """Returns the same of a mean difference over pairs of samples.

    What the corrections of both sides have in common, sample by sample, cancels, and so do its errors: for a network
    compared with itself nothing is left. The rest is taken as unrelated.

    Args:
        a, b: the rows of the same samples.
        variable: whose difference is taken.
    """
    if (found := reached(variable)) is None:
        return 0.0
    added_a, added_b = ((table[variable] - table[found]).to_numpy(np.float64) for table in (a, b))
    return SYSTEMATIC * math.sqrt(float(((added_b - added_a) ** 2).mean()))


def mean_error(table: pd.DataFrame, variable: str) -> float:
    """Returns the standard error of a mean over samples, the systematic part included; NaN for a single sample."""
    values = table[variable].dropna().to_numpy(np.float64)
    scatter = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return math.hypot(scatter, systematic(table, variable))


def lacking(table: pd.DataFrame, metric: str) -> float:
    """Returns the share of the samples with a reached value of a metric and no corrected one; 0 where it has none."""
    better, measured = metric if is_corrected(metric) else corrected(metric), plain(metric)
    if better is None or better not in table or not len(known := table[table[measured].notna()]):
        return 0.0
    return float(known[better].isna().mean())
