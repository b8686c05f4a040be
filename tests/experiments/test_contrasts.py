"""Differences between kinds of networks: mixed models against an analysis of variance, and their coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infodiscard.experiments.contrasts import contrast


def trainings(rng, kinds=4, seeds=4, images=12, effect=0.0, scatter=0.05, shared=0.05):
    """Values of several kinds of networks, trained with several seeds, on the same images, at two layers."""
    value = rng.normal(0, shared, (1, seeds, 1)) + rng.normal(0, scatter, (kinds, seeds, 1))
    value = value + rng.normal(0, 0.3, (1, 1, images)) + rng.normal(0, 0.1, (kinds, seeds, images))
    value[1] += effect
    rows = [
        (f"kind{kind}", seed, layer, f"image{image}", value[kind, seed, image] + step)
        for kind in range(kinds) for seed in range(seeds) for image in range(images)
        for layer, step in (("low", -1.0), ("high", 1.0))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["network", "seed", "layer", "sample", "value"])


def test_two_kinds_are_paired_by_seed():
    values = trainings(np.random.default_rng(0), kinds=2)
    means = values.groupby(["network", "seed"])["value"].mean().unstack("network")
    found, wanted = contrast(values, "kind1", "kind0"), stats.ttest_rel(means["kind1"], means["kind0"])
    low, high = wanted.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high)) and (found.n, found.freedom) == (4, 3)
    assert "mixed" not in found.words("x")


def test_a_mixed_model_agrees_with_the_analysis_of_variance_of_complete_values():
    values = trainings(np.random.default_rng(1), scatter=0.1)
    found = contrast(values, "kind1", "kind0")
    means = values.groupby(["network", "seed"])["value"].mean().unstack("seed").to_numpy()
    rest = means - means.mean(1, keepdims=True) - means.mean(0, keepdims=True) + means.mean()
    error = np.sqrt(2 * (rest**2).sum() / 9 / 4)
    assert found.mean == pytest.approx(means[1].mean() - means[0].mean(), abs=1e-6)
    assert found.se == pytest.approx(error, rel=0.02) and (found.n, found.freedom) == (4, 9)
    assert "(4 trainings, mixed model, 9 degrees of freedom)" in found.words("x")
    assert contrast(values, "kind0", "kind1").mean == pytest.approx(-found.mean)


def test_layers_are_chosen_and_images_without_one_are_left_out():
    values = trainings(np.random.default_rng(2), kinds=2)
    at = values["layer"] == "high"
    values.loc[at & (values["network"] == "kind1"), "value"] += 1
    assert contrast(values, "kind1", "kind0", ["high"]).mean - contrast(values, "kind1", "kind0", ["low"]).mean == (
        pytest.approx(1)
    )
    holes = values.copy()
    holes.loc[at & (holes["sample"] == "image0"), "value"] = np.nan
    without = values[values["sample"] != "image0"]
    assert contrast(holes, "kind1", "kind0") == contrast(without, "kind1", "kind0")
    assert contrast(values, "kind1", "nothing").n == 0


def test_intervals_cover_the_truth_and_are_shorter_than_those_of_pairs():
    rng, widths, covered = np.random.default_rng(3), [], 0
    for _ in range(12):
        values = trainings(rng, images=4, effect=0.2)
        pooled = contrast(values, "kind1", "kind0")
        alone = contrast(values[values["network"].isin(["kind0", "kind1"])], "kind1", "kind0")
        covered += pooled.low < 0.2 < pooled.high
        widths.append((pooled.high - pooled.low, alone.high - alone.low))
    assert covered >= 9  # of 95 %, fewer come once in a thousand times
    pooled, alone = np.mean(widths, axis=0)
    assert pooled < alone
