"""Paired comparison of networks or runs, layer by layer over the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..core.metrics import METRICS
from ..errors import InfodiscardError, nearest, quoted
from .difference import Difference, Statistics
from .display import basis, is_corrected, plain, shown, systematic_difference
from .side import Side, Sources, sides_of
from .statistics import half_width
from .trust import mean_gap, row_warnings, settings_warnings
from .verdict import LEAST, SHARE, verdicts

if TYPE_CHECKING:
    import pandas as pd


def compare_runs(
    runs: Sources,
    metric: str = "sid",
    reference: str | None = None,
    by: Literal["name", "position", "auto"] = "name",
) -> pd.DataFrame:
    """Returns paired differences by layer over the samples that both sides have.

    It is `infodiscard.compare` without networks to measure, whose docstring describes all else.

    Args:
        runs: name → run, or its directory; or one run, whose networks are compared.
        metric, reference, by: as for `infodiscard.compare`.
    """
    import pandas as pd

    if not isinstance(metric, str):
        raise InfodiscardError(f"metric was {quoted(metric)}; give the name of a scalar, such as 'sid'.")
    check_pairing(by)
    sides = sides_of(runs)
    names = [side.name for side in sides]
    if len(sides) < 2:
        raise InfodiscardError(f"A comparison needs two networks or more; given: {', '.join(names) or 'none'}.")
    if reference is not None and not (isinstance(reference, str) and reference in names):
        raise InfodiscardError(f"No entry is named '{reference}'; the nearest are {nearest(str(reference), names)}.")
    first = sides[names.index(reference)] if reference else sides[0]
    rows = [row for side in sides if side is not first for row in compare_sides(first, side, metric, by)]
    found = pd.DataFrame(verdicts(rows)).rename(columns={"word": "verdict"})
    table = pd.concat([pd.DataFrame(rows).drop(columns="chi2"), found], axis=1)
    return table[[*(name for name in table if name != "warning"), "warning"]]


def check_pairing(by: str) -> None:
    """Raises InfodiscardError unless `by` is a way to pair layers."""
    if not isinstance(by, str) or by not in ("name", "position", "auto"):
        raise InfodiscardError(
            f"Layers are paired by 'name', by 'position' or by 'auto' (by name if any is shared), not by '{by}'."
        )


def compare_sides(a: Side, b: Side, metric: str, by: str) -> list[Difference]:
    """Returns the rows of one pair of entries, which hold what `compare` returns, but for the verdicts.

    Raises:
        InfodiscardError: as for `compare`.
    """
    _check(a, b)
    general = settings_warnings(a, b)
    table_a, table_b = a.table, b.table
    for side, table in ((a, table_a), (b, table_b)):
        scalars = [str(name) for name in table.columns if table[name].dtype.kind in "fib" and name != "label"]
        if (metric if is_corrected(metric) else plain(metric)) not in scalars:
            raise InfodiscardError(f"'{side.name}' has no '{metric}'; the nearest are {nearest(metric, scalars)}.")
    rows = []
    for layer_a, layer_b in pair_layers(a.name, a.layers, b.name, b.layers, by):
        left, right = (
            table[table["layer"] == layer].set_index("sample").dropna(subset=[plain(metric)])
            for table, layer in ((table_a, layer_a), (table_b, layer_b))
        )
        shared = left.index.intersection(right.index, sort=False)
        left, right = left.loc[shared], right.loc[shared]
        variable, known = _known(metric, left, right)
        if known.any():
            layer = layer_a if layer_a == layer_b else f"{layer_a} ~ {layer_b}"
            # Of corrected values the error holds it, and what is not solved for itself has none.
            searched = plain(metric) in METRICS and not is_corrected(variable)
            gap = max(mean_gap(table[known], metric) for table in (left, right)) if searched else 0.0
            as_reached = basis(variable) == "reached"
            warnings = general + row_warnings(a, b, left, right, int(known.sum()), as_reached, metric)
            paired = _paired(left[known], right[known], variable)
            rows.append(
                Difference(
                    layer=layer,
                    a=a.name,
                    b=b.name,
                    **paired,
                    basis=basis(variable),
                    gap=gap,
                    allowed=_allowed(a, metric, paired["mean_a"]),
                    warning="; ".join(warnings),
                )
            )
    if not rows:
        raise InfodiscardError(
            f"'{a.name}' and '{b.name}' have no layer measured on the same samples yet ({a.missing} and {b.missing} "
            "units are missing); finish the runs first."
        )
    return rows


def _check(a: Side, b: Side) -> None:
    """Raises InfodiscardError if the two cannot be paired at all."""
    sizes = [f"{plan.size} ({plan.kind})" for plan in (a.run.plan, b.run.plan)]
    if sizes[0] != sizes[1]:
        raise InfodiscardError(
            f"'{a.name}' was measured on inputs of {sizes[0]} and '{b.name}' of {sizes[1]}; values per pixel are "
            "comparable for one size only: measure both on the same inputs."
        )
    if not set(a.run.plan.samples) & set(b.run.plan.samples):
        raise InfodiscardError(f"'{a.name}' and '{b.name}' share no samples; measure both on the same inputs.")


def pair_layers(
    name_a: str, layers_a: Sequence[str], name_b: str, layers_b: Sequence[str], by: str
) -> list[tuple[str, str]]:
    """Returns the pairs of two networks' layers, in the order of the first.

    Raises:
        InfodiscardError: no layer has a partner, or by position some have none.
    """
    shared = [(layer, layer) for layer in layers_a if layer in layers_b]
    if by == "position" or (by == "auto" and not shared):
        if len(layers_a) != len(layers_b):
            raise InfodiscardError(
                f"'{name_a}' has {len(layers_a)} layers and '{name_b}' has {len(layers_b)}; pairing by position needs "
                "as many: measure as many layers of each."
            )
        return list(zip(layers_a, layers_b, strict=True))
    if not shared:
        raise InfodiscardError(
            f"'{name_a}' ({layers_a[0]} …) and '{name_b}' ({layers_b[0]} …) share no layer names; pair them by "
            "position."
        )
    return shared


def _known(metric: str, left: pd.DataFrame, right: pd.DataFrame) -> tuple[str, pd.Series]:
    """Returns the variable in which the same samples of two sides are compared, and which samples have it on both."""
    variable = shown(metric, left, right)
    known = left[variable].notna() & right[variable].notna()
    if variable != metric and is_corrected(variable) and not known.any():
        variable = plain(metric)
        known = left[variable].notna() & right[variable].notna()
    return variable, known


def _allowed(a: Side, metric: str, mean: float) -> float:
    """Returns up to which size a difference does not count: a least one, or a share of what the first discards."""
    owner, settings = METRICS.get(plain(metric)), a.run.plan.settings
    level = owner.at_identity(settings.alpha, settings.tau) if owner else None
    return max(LEAST, 0.0 if level is None else SHARE * (mean - level))


def _paired(a: pd.DataFrame, b: pd.DataFrame, variable: str) -> Statistics:
    """Returns the statistics of a variable over n pairs of samples."""
    values_a, values_b = (table[variable].to_numpy(np.float64) for table in (a, b))
    differences = values_b - values_a
    n, mean = len(differences), float(differences.mean())
    shared = systematic_difference(a, b, variable)
    se = math.hypot(float(differences.std(ddof=1) / math.sqrt(n)), shared) if n > 1 else math.nan
    half = half_width(se, n)
    # What is known of the errors of single samples: their own noise and the correction's.
    errors = f"{variable}_se"
    known = is_corrected(variable) and errors in a and errors in b
    noise = np.hypot(*(table[errors].to_numpy(np.float64) for table in (a, b))) if known else np.full(n, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.where(differences == 0, 0.0, (differences / noise) ** 2)
    return {
        "mean_a": float(values_a.mean()),
        "mean_b": float(values_b.mean()),
        "difference": mean,
        "se": se,
        "low": mean - half,
        "high": mean + half,
        "n": n,
        "systematic": shared,
        "spread": float(np.sqrt((differences**2).mean())),
        "noise": float(np.sqrt((noise**2).mean())),
        "chi2": float(squares.sum()) if known else math.nan,
    }
