"""Warnings about values and comparisons: what the solver says of them, how many samples they rest on, what differs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..core.metrics import corrected, metric_of
from ..core.settings import Settings
from .display import AS_REACHED, is_corrected, lacking, plain, shown, systematic
from .side import Side

if TYPE_CHECKING:
    import pandas as pd

    from ..results.run import StoredRun

FEW_SAMPLES = 5
UNCONVERGED_SHARE = 0.05
DISTANCE_ERROR = 0.05
CAPPED_SHARE = 0.01

MINOR = 0.7
"""Share of the standard error over the samples up to which the solver's own error of a mean is minor."""


def diagnostics(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns what the solver says of a scalar variable, under the names of `metric.DIAGNOSTICS`.

    A floor has none, since nothing is solved for it.

    Args:
        table: rows of `Run.to_dataframe`.
        metric: a scalar variable, or one with `_reached` behind it.

    Returns:
        The same rows, with those diagnostics that the table has.
    """
    owner = metric_of(plain(metric))
    names = owner.diagnostics if owner and metric != owner.floor else {}
    return table[[own for own in names.values() if own in table]].rename(columns={v: k for k, v in names.items()})


def distrust(table: pd.DataFrame, alpha: float, metric: str) -> list[str]:
    """Returns what speaks against the values of `metric` of one network and layer, in words.

    Args:
        table: the samples' rows of `Run.to_dataframe`.
        alpha: the feature distance they should be reported at.
        metric: as for `compare`; only its own `diagnostics` count.
    """
    trust, warnings = diagnostics(table, metric), []
    if share := lacking(table, metric):
        left_out = f"for {share:.1%} of the samples, which are left out of the mean"
        warnings.append(f"lacks corrected values {left_out if share < 1 else 'altogether'}")
    unconverged = 1 - float(trust["converged"].mean()) if "converged" in trust else 0.0
    if unconverged > UNCONVERGED_SHARE and not _known_well_enough(table, metric):
        warnings.append(f"not converged for {unconverged:.0%} of the samples")
    if "feature_distance" in trust:
        error = float((trust["feature_distance"] / alpha - 1).abs().mean())
        if error > DISTANCE_ERROR:
            warnings.append(f"distance off α = {alpha:g} by {error:.0%}")
    if "cap_matters" in trust and trust["cap_matters"].any():
        warnings.append(f"mean depends on the cap for {float(trust['cap_matters'].mean()):.1%} of the samples")
    elif "capped_share" in trust and (share := float(trust["capped_share"].mean())) > CAPPED_SHARE:
        warnings.append(f"σ at the cap for {share:.1%} of the pixels")
    return warnings


def _known_well_enough(table: pd.DataFrame, metric: str) -> bool:
    """Whether the solver's errors are a minor part of the error of a mean of corrected values.

    Then its interval, which holds them, would hardly be shorter if every sample had converged.
    """
    variable = shown(metric, table)
    if not is_corrected(variable) or (error := f"{variable}_se") not in table:
        return False
    values, errors = table[variable].dropna(), table[error].dropna()
    own = math.hypot(float((errors**2).sum()) ** 0.5 / max(len(errors), 1), systematic(table, variable))
    return len(values) > 1 and own <= MINOR * float(values.std() / len(values) ** 0.5)


def of_run(run: StoredRun) -> list[str]:
    """Returns what speaks against a run as a whole."""
    left, total = len(run.pending()), len(run.plan.units())
    warnings = [f"the run is not finished: {left} of {total} units are missing"] if left else []
    if len(run.plan.samples) == 1:
        warnings.append("one sample has no standard error; measure more to tell networks or layers apart")
    warnings += [f"{layer} is not measured: {why.rstrip('.')}" for layer, why in run.plan.skipped.items()]
    return warnings + [
        f"{name} has random weights, and so says nothing of a trained network" for name in run.plan.random
    ]


def mean_gap(table: pd.DataFrame, metric: str) -> float:
    """Returns the mean gap to the optimum of some samples of one layer, nats/pixel.

    It is infinite where one cannot be told, as where the distance was missed, and 0 where a run holds none.
    """
    trust = diagnostics(table, metric)
    return float(trust["gap"].fillna(math.inf).mean()) if "gap" in trust else 0.0


def settings_warnings(a: Side, b: Side) -> list[str]:
    """Returns what differs between the runs as wholes, and what is missing of them."""
    warnings = []
    for name in Settings.names("quantity", "limit", "noise"):
        first, second = (side.run.plan.settings.of_network(name, side.network) for side in (a, b))
        if first != second:
            warnings.append(f"{name} differs ({first} and {second})")
    if other_pixels(a, b):
        warnings.append("the samples have the same names but other pixels")
    for side in (a, b):
        if side.missing:
            warnings.append(f"'{side.name}' is not finished, {side.missing} units are missing")
    return warnings


def other_pixels(a: Side, b: Side) -> bool:
    """Whether two runs have samples of the same names that are known to be different images."""
    old, new = a.run.plan, b.run.plan
    pictures = {old.hashes.get("images"), new.hashes.get("images")}
    return old.samples == new.samples and None not in pictures and len(pictures) > 1


def row_warnings(
    a: Side, b: Side, left: pd.DataFrame, right: pd.DataFrame, count: int, as_reached: bool, metric: str
) -> list[str]:
    """Returns what speaks against the values of one row of a comparison.

    Args:
        a, b: the sides.
        left, right: their rows of the samples that both have.
        count: samples that are compared.
        as_reached: whether they are compared as reached.
        metric: as for `compare`.
    """
    warnings = [f"only {count} samples"] if count < FEW_SAMPLES else []
    if as_reached and metric == plain(metric):
        warnings += _uncorrected(a, b, left, right, corrected(metric) or "")
        metric += AS_REACHED
    for side, table in ((a, left), (b, right)):
        warnings += [f"'{side.name}' {text}" for text in distrust(table, side.run.plan.settings.alpha, metric)]
    return warnings


def _uncorrected(a: Side, b: Side, left: pd.DataFrame, right: pd.DataFrame, better: str) -> list[str]:
    """Returns which side has no corrected value, unless both are of an older version, which had none."""
    if better not in left and better not in right:
        return []
    sides = (a.name, left), (b.name, right)
    without = [name for name, table in sides if better not in table or table[better].isna().all()]
    who = " and ".join(f"'{name}'" for name in without)
    lack = f"{who} {'have' if len(without) > 1 else 'has'} no corrected values"
    return [f"{lack if without else 'no sample has corrected values on both sides'}: reached ones are compared"]
