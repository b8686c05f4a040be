"""Columns of printed tables: which of a summary's variables stand for a metric, and how each is printed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .display import REACHED, plain, shown

if TYPE_CHECKING:
    import pandas as pd

Record = Mapping[Any, Any]

Columns = dict[str, tuple[str, Callable[[Record], str]]]
"""Column of `Run.summary` → heading and how to print it."""

# By metric; columns that a run lacks are left out.
COLUMNS: dict[str, Columns] = {
    "sid": {
        "sid_corrected": ("SID ± se\nnats/pixel", lambda row: with_error(row, "sid_corrected", 3)),
        "sid": ("reached", lambda row: number(row["sid"], ".3f")),
        "concentration_corrected": ("concentr.\n± se", lambda row: with_error(row, "concentration_corrected", 2)),
        "n": ("n", lambda row: f"{row['n']:d}"),
        "feature_distance": ("dis-\ntance", lambda row: number(row["feature_distance"], ".2f")),
        "gap": ("gap", lambda row: number(row["gap"], ".3f")),
        "passes": ("passes", lambda row: number(row["passes"], ".0f")),
        "converged": ("conv.", lambda row: number(row["converged"], ".0%")),
        "capped_share": ("at\ncap", lambda row: share(row["capped_share"])),
    },
    "ru": {
        "ru": ("RU ± se\nnats/pixel", lambda row: with_error(row, "ru", 3)),
        "ru_floor": ("floor", lambda row: number(row["ru_floor"], ".3f")),
        "ru_concentration": ("concentr.\n± se", lambda row: with_error(row, "ru_concentration", 2)),
        "n": ("n", lambda row: f"{row['n']:d}"),
        "ru_feature_distance": ("dis-\ntance", lambda row: number(row["ru_feature_distance"], ".2f")),
        "ru_gap": ("gap", lambda row: number(row["ru_gap"], ".3f")),
        "ru_passes": ("passes", lambda row: number(row["ru_passes"], ".0f")),
        "ru_converged": ("conv.", lambda row: number(row["ru_converged"], ".0%")),
    },
}
AS_REACHED: Columns = {
    "sid": ("SID ± se\nreached", lambda row: with_error(row, "sid", 3)),
    "concentration": ("concentr.\nreached", lambda row: with_error(row, "concentration", 2)),
}
"""What a run without corrected values shows in place of them, and what it is called."""


def columns_of(metric: str, summary: pd.DataFrame) -> Columns:
    """Returns the columns that stand for a metric, as far as a summary has them.

    The gap is for values as they were reached: beside a corrected one, what is missing can be seen.
    """
    chosen: Columns = {}
    for name, item in COLUMNS[metric].items():
        variable = shown(plain(name), summary) if name in REACHED else name
        if variable in summary and variable not in chosen and not (name == "gap" and REACHED.keys() & chosen):
            chosen[variable] = item if variable == name else AS_REACHED[variable]
    return chosen


def number(value: float, form: str) -> str:
    """Prints a number; a dash where there is none."""
    return "–" if value != value else "∞" if value == math.inf else format(value, form)


def share(value: float) -> str:
    """Prints a share, so that a small one does not look like none."""
    return "<0.1%" if 0 < value < 0.001 else number(value, ".1%" if value else ".0%")


def with_error(row: Record, name: str, digits: int) -> str:
    value, error = row[name], row[f"{name}_se"]
    return number(value, f".{digits}f") + ("" if error != error else f" ± {error:.{digits}f}")
