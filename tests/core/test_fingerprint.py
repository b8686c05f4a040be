"""Fingerprints differ for other features, and not for the rounding of another machine."""

import numpy as np
import pytest

from infodiscard.core.fingerprint import alike, fingerprint

FEATURES = [np.random.default_rng(seed).normal(1, 2, (1, 4, 5, 5)).astype(np.float32) for seed in (1, 2)]


def rounded(feature, error):
    """The feature as a machine finds it whose every value has a relative error of that size."""
    return feature * (1 + error * np.random.default_rng(3).normal(size=feature.shape))


@pytest.mark.parametrize(("error", "half", "same"), [(1e-5, False, True), (2e-3, False, True), (2e-2, True, True)])
def test_rounding_changes_nothing(error, half, same):
    known = fingerprint(FEATURES, half)
    assert alike(known, fingerprint([rounded(feature, error) for feature in FEATURES], half)) is same


@pytest.mark.parametrize(
    "change",
    [
        lambda feature: feature * 1.02,
        lambda feature: feature + 0.1,
        lambda feature: -feature,
        lambda feature: feature[..., ::-1],
        lambda feature: feature.swapaxes(2, 3),
        lambda feature: feature[..., ::2],
        lambda feature: np.maximum(feature, 0),
        lambda feature: np.full_like(feature, np.nan),
    ],
)
def test_other_features_have_another(change):
    assert not alike(fingerprint(FEATURES), fingerprint([change(feature) for feature in FEATURES]))
    assert not alike(fingerprint(FEATURES), fingerprint([FEATURES[0], change(FEATURES[1])]))


def test_features_that_are_not_numbers_and_constant_ones_have_one():
    odd = [np.array([np.nan, np.inf, 1.0]), np.zeros(3), np.zeros(0)]
    assert alike(fingerprint(odd), fingerprint(odd)) and np.isfinite(fingerprint(odd)).all()
