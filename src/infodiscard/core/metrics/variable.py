"""What a run holds: every quantity with its dimensions, type and unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..kinds import IMAGE, Layout

if TYPE_CHECKING:
    import pandas as pd

CELL = ("network", "layer", "sample")
MAP = (*CELL, "y", "x")
UNIT_MAP = (*CELL, "channel", "y", "x")


@dataclass(frozen=True)
class Variable:
    """One quantity of a run.

    Attributes:
        dims: the names of its dimensions, in order.
        dtype: float cells start as NaN, the others as 0 or False (`done` tells which were measured).
        units: its unit, as stored in the variable's attributes.
        long_name: what it is, in words.
        needs: the metrics, and "masks", without which a run does not hold it; empty if every run does.
    """

    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str
    needs: tuple[str, ...] = ()


SID, RU = ("sid",), ("ru",)
METRICS = {"sid": "SID", "ru": "RU"}
"""What a run can measure → what it is called in print, in the order in which they are shown."""

CORRECTED = {"sid": "sid_corrected", "concentration": "concentration_corrected"}
"""What the search reached → the estimate of the same at the optimum."""

TRUST = ("converged", "feature_distance", "gap", "capped_share", "cap_matters")

# The one place that says what a run holds. A new metric adds its rows here and nothing else changes.
VARIABLES: dict[str, Variable] = {
    "sid": Variable(CELL, "float32", "nats/pixel", "strict information discarding reached, mean over pixels", SID),
    "sid_corrected": Variable(
        CELL, "float32", "nats/pixel", "strict information discarding at the optimum, estimated, mean over pixels", SID
    ),
    "sid_corrected_se": Variable(CELL, "float32", "nats/pixel", "standard error of the corrected SID", SID),
    "concentration": Variable(
        CELL, "float32", "nats/pixel", "mean SID reached of the background minus that of the object", ("sid", "masks")
    ),
    "concentration_corrected": Variable(
        CELL, "float32", "nats/pixel", "the same at the optimum, estimated", ("sid", "masks")
    ),
    "concentration_corrected_se": Variable(
        CELL, "float32", "nats/pixel", "standard error of the corrected concentration", ("sid", "masks")
    ),
    "feature_distance": Variable(CELL, "float32", "1", "feature distance reached, E / δ_f², on fresh noise", SID),
    "feature_distance_se": Variable(CELL, "float32", "1", "standard error of the feature distance", SID),
    "converged": Variable(CELL, "bool", "1", "whether the corrected SID is known to the tolerance", SID),
    "passes": Variable(CELL, "int32", "passes", "forward and backward passes of one noisy input", SID),
    "gap": Variable(CELL, "float32", "nats/pixel", "upper estimate of the remaining gap to the optimum", SID),
    "capped_share": Variable(CELL, "float32", "1", "share of the pixels whose σ is at the cap", SID),
    "cap_matters": Variable(CELL, "bool", "1", "whether the mean depends on the cap", SID),
    "ru": Variable(CELL, "float32", "nats/pixel", "reconstruction uncertainty, mean over pixels", RU),
    "ru_floor": Variable(CELL, "float32", "nats/pixel", "the same without noise: the decoder's own error", RU),
    "ru_concentration": Variable(
        CELL, "float32", "nats/pixel", "mean RU of the background minus mean RU of the object", ("ru", "masks")
    ),
    "ru_feature_distance": Variable(CELL, "float32", "1", "feature distance reached for RU, on fresh noise", RU),
    "ru_feature_distance_se": Variable(CELL, "float32", "1", "standard error of RU's feature distance", RU),
    "ru_converged": Variable(CELL, "bool", "1", "whether the solver met its tolerance for RU", RU),
    "ru_passes": Variable(CELL, "int32", "passes", "forward and backward passes of one noisy input for RU", RU),
    "ru_gap": Variable(CELL, "float32", "nats/pixel", "estimated remaining gap of RU to the optimum", RU),
    "sid_map": Variable(MAP, "float32", "nats/pixel", "strict information discarding reached of each pixel", SID),
    "correction_map": Variable(
        MAP,
        "float32",
        "nats/pixel",
        "noisy estimate of what each pixel lacks to the optimum, for means",
        SID,
    ),
    "correction_se_map": Variable(MAP, "float32", "nats/pixel", "standard error of the same", SID),
    "sigma": Variable(MAP, "float32", "input units", "standard deviation of the noise reached", SID),
    "ru_map": Variable(MAP, "float32", "nats/pixel", "reconstruction uncertainty of each pixel", RU),
    "ru_floor_map": Variable(MAP, "float32", "nats/pixel", "the same without noise: the decoder's own error", RU),
    "ru_sigma": Variable(MAP, "float32", "input units", "standard deviation of the noise that confuses most", RU),
    "reconstruction": Variable(
        UNIT_MAP, "float32", "1", "the input as the decoder restores it from the clean feature, as an image", RU
    ),
    "failure": Variable(CELL, "uint8", "1", "why the cell could not be measured; 0 where it could"),
    "done": Variable(CELL, "bool", "1", "whether the cell has been dealt with"),
}
FAILURES = ("measured", "input_unreadable", "feature_not_finite", "feature_constant")
"""What the values of `failure` mean, in their order; stored the CF way, as `flag_values` and `flag_meanings`."""

PICTURE = Variable(("sample", "channel", "y", "x"), "float32", "1", "the input as an image")
MASK = Variable(("sample", "y", "x"), "bool", "1", "whether the pixel belongs to the object")


def variables_for(given: set[str], per_unit: bool, layout: Layout = IMAGE) -> dict[str, Variable]:
    """Returns the variables of a run of the `given` metrics, and "masks"; σ has channels if it is `per_unit`.

    Dimensions and units are named for the kind of input.
    """
    chosen = {name: item for name, item in VARIABLES.items() if given.issuperset(item.needs)}
    if per_unit:
        chosen |= {name: replace(chosen[name], dims=UNIT_MAP) for name in ("sigma", "ru_sigma") if name in chosen}
    return {name: of_layout(layout, item) for name, item in chosen.items()}


def of_layout(layout: Layout, item: Variable) -> Variable:
    """Returns a variable as inputs of this kind have it."""
    dims = item.dims[:-2] + layout.dims if item.dims[-2:] == IMAGE.dims else item.dims
    return replace(item, dims=dims, units=layout.words(item.units), long_name=layout.words(item.long_name))


def diagnostics(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns what the solver says about a metric: RU's for `ru` and its concentration, SID's for all others.

    The floor of RU has none, since nothing is solved for it.

    Args:
        table: rows of `Run.to_dataframe`.
        metric: a scalar variable.

    Returns:
        The same rows, with those of `TRUST` that the table has; RU's `ru_gap` is called `gap` too.
    """
    names = {f"ru_{name}" if metric.startswith("ru") else name: name for name in TRUST if metric != "ru_floor"}
    return table[[name for name in names if name in table]].rename(columns=names)
