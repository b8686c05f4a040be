"""Differences between kinds of trained networks, from the values of several trainings on the same images.

Trainings of one seed share the order of their images and their augmentation, and mostly the initial weights: so they
are paired by seed throughout. Where three or more kinds are trained alike, one mixed model of all of them (networks ×
images) knows the scatter between trainings better than each pair does, which with few trainings is the greater part of
an interval's width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..analysis.display import shown
from ..api.run import Run
from ..errors import InfodiscardError
from .interval import Interval
from .lab import TrainedNetwork

KINDS = 3
"""Kinds of networks from which on a mixed model is used."""


def image_values(trained: TrainedNetwork, run: Run, measure: str = "sid", layers: Sequence[str] = ()) -> pd.DataFrame:
    """Returns a measure of a network, image by image: the columns network, seed, layer, sample and value."""
    frame = run.to_dataframe()
    frame = frame[frame["layer"].isin(layers)] if layers else frame
    table = frame[["layer", "sample"]].assign(value=frame[shown(measure, frame)].to_numpy())
    return table.assign(network=trained.name, seed=trained.seed)


def contrast(
    values: pd.DataFrame, other: str, reference: str, layers: Sequence[str] = (), level: float = 0.95
) -> Interval:
    """Returns the interval of a kind of networks minus another, mean over layers, over trainings.

    Args:
        values: of `image_values`; the kinds in it beside the two only help to know the scatter.
        other, reference: names of the two.
        layers: which; all if none are named.
        level: of the interval.
    """
    chosen = values[values["layer"].isin(layers)] if layers else values
    # An image that lacks a layer somewhere would shift a mean over layers.
    table = chosen.set_index(["network", "seed", "sample", "layer"])["value"].unstack("layer")
    means = table.dropna().mean(axis=1).rename("value").reset_index()
    by_training = means.pivot_table(index="seed", columns="network", values="value")
    if other not in by_training or reference not in by_training:
        return Interval.of([], level)
    pairs = (by_training[other] - by_training[reference]).dropna()
    whole = by_training.dropna()
    if by_training.shape[1] < KINDS or len(whole) < 2 or len(whole) < len(pairs):
        return Interval.of(pairs.tolist(), level)
    return mixed(means[means["seed"].isin(whole.index)], other, reference, level)


def mixed(means: pd.DataFrame, other: str, reference: str, level: float = 0.95) -> Interval:
    """Returns the interval of a difference by a mixed model, fitted by restricted maximum likelihood.

    value = kind (fixed) + image (fixed) + seed (random) + network, a kind's training of a seed (random) + residual. The
    difference has the degrees of freedom of kinds × seeds, (kinds − 1)(seeds − 1). The scatter between trainings is
    taken to be the same for all kinds.

    Args:
        means: the columns network, seed, sample, value.
        other, reference: the networks.
        level: of the interval.

    Raises:
        InfodiscardError: statsmodels is missing.
    """
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM
    except ImportError as error:
        raise InfodiscardError(
            "Mixed models need statsmodels; install it with pip install 'infodiscard[studies]'."
        ) from error
    data = means.assign(value=means["value"] - means.groupby("sample")["value"].transform("mean"))
    kinds, seeds = sorted(data["network"].unique()), data["seed"].nunique()
    scale = float(data["value"].std()) or 1.0  # the optimiser's tolerances are for numbers about 1
    data["value"] /= scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variance that is estimated as zero
        model: Any = MixedLM.from_formula(
            "value ~ 0 + C(network)", data, groups="seed", re_formula="1", vc_formula={"training": "0 + C(network)"}
        )
        fit = model.fit(reml=True, method=["lbfgs", "powell"])
    weights = np.array([(kind == other) - (kind == reference) for kind in kinds], dtype=float)
    estimate = float(weights @ np.asarray(fit.fe_params)) * scale
    covariance = np.asarray(fit.cov_params())[: len(kinds), : len(kinds)]
    se = float(np.sqrt(weights @ covariance @ weights)) * scale
    return Interval.about(estimate, se, seeds, (len(kinds) - 1) * (seeds - 1), level)
