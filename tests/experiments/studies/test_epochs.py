"""The least over the epochs, on courses of known shape and noise."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from infodiscard.experiments.studies import epochs
from infodiscard.experiments.verdicts import FAILS, HOLDS, UNKNOWN


def courses(rng, course, image=0.0, training=0.0, both=0.0, seeds=3, images=8):
    """SID at the last stage by training, epoch and image, with scatter of each image, of each training, and of both.

    The first two are drawn anew for each epoch; a constant of every image comes on top.
    """
    epochs_ = len(course)
    values = np.asarray(course) + rng.normal(0, 5, (1, images, 1))
    values = values + rng.normal(0, 1, (1, images, epochs_)) * image + rng.normal(0, 1, (seeds, 1, epochs_)) * training
    values = values + rng.normal(0, 1, (seeds, images, epochs_)) * both
    index = pd.MultiIndex.from_product([range(seeds), [f"i{i}" for i in range(images)], range(epochs_)])
    frame = pd.Series(values.ravel(), index.set_names(["seed", "sample", "epoch"])).rename("sid").reset_index()
    return pd.concat([frame.assign(layer="layer3"), frame.assign(layer="layer1", sid=-frame["sid"])])


def judged(images):
    """The two claims' means and verdicts."""
    claims = epochs._claims(images)
    return [float(re.search(r"epochs ([+-][\d.]+)", claim.statistic)[1]) for claim in claims], [
        claim.verdict for claim in claims
    ]


@pytest.mark.parametrize("scatter", [{"both": 1.0}, {"image": 1.0}, {"training": 0.5}])
def test_the_least_of_noise_is_not_below_its_ends(scatter):
    rng, runs = np.random.default_rng(0), 100
    found = [judged(courses(rng, np.zeros(5), **scatter)) for _ in range(runs)]
    means = np.array([each for each, _ in found])
    bias, error = means.mean(0), means.std(0, ddof=1) / math.sqrt(runs)
    assert (error < 0.08).all() and (np.abs(bias) < 3.5 * error).all(), (bias, error)
    if "image" not in scatter:  # what the given images have in common is no matter of chance between trainings
        for claim in range(2):
            assert [verdicts[claim] for _, verdicts in found].count(HOLDS) < 0.1 * runs


def test_the_two_phases_are_found_where_they_are():
    rng = np.random.default_rng(0)
    means, verdicts = judged(courses(rng, [0.5, 0.1, 0.0, 0.1, 0.3], both=0.05, training=0.02))
    assert means == pytest.approx([0.5, 0.3], abs=0.06) and verdicts == [HOLDS, HOLDS]
    means, verdicts = judged(courses(rng, [0.5, 0.4, 0.3, 0.2, 0.1], both=0.02))
    assert means == pytest.approx([0.4, 0.0], abs=0.03) and verdicts == [HOLDS, UNKNOWN]
    means, verdicts = judged(courses(rng, [0.1, 0.2, 0.3, 0.4, 0.5], both=0.02))
    assert means == pytest.approx([-0.1, 0.4], abs=0.03) and verdicts == [FAILS, HOLDS], "it never falls"


def test_one_training_chooses_no_epoch_by_itself():
    for claim in epochs._claims(courses(np.random.default_rng(0), [1, 0, 1], seeds=1)):
        assert claim.verdict == UNKNOWN and claim.statistic.endswith("nothing to measure it on")
