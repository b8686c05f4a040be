"""Verdicts on differences: the tests against SciPy's, the rates of errors, and what the words mean."""

import numpy as np
import pytest
from scipy import stats

from infodiscard.analysis.statistics import holm
from infodiscard.analysis.verdict import Limits, half_interval, in_words, named, verdicts


def row(differences, noise=None, *, gap=0.0, systematic=0.0, allowed=0.05, layer="x"):
    """A row of a comparison with these differences, one per sample, and the errors of each."""
    d = np.asarray(differences, float)
    errors = np.full(len(d), np.nan) if noise is None else np.broadcast_to(noise, d.shape)
    se = np.hypot(d.std(ddof=1) / np.sqrt(len(d)), systematic) if len(d) > 1 else np.nan
    return {
        "layer": layer,
        "difference": d.mean(),
        "se": se,
        "n": len(d),
        "systematic": systematic,
        "spread": np.sqrt((d**2).mean()),
        "noise": np.sqrt((errors**2).mean()),
        "chi2": np.nan if noise is None else ((d / errors) ** 2).sum(),
        "gap": gap,
        "allowed": allowed,
    }


def word(*args, limits=None, **more):
    return verdicts([row(*args, **more)], limits and [limits])[0].word


def test_p_are_scipys_corrected_by_holm_for_means_and_single_samples():
    rng = np.random.default_rng(0)
    values = rng.normal([[0.0], [0.05], [0.2]], 0.1, (3, 12))
    found = verdicts([row(d, 0.1) for d in values])
    p = [stats.ttest_1samp(d, 0).pvalue for d in values] + [stats.chi2.sf((d**2).sum() / 0.01, 12) for d in values]
    assert [each.p_holm for each in found] == pytest.approx(holm(p)[:3])
    low, high = stats.ttest_1samp(values[1], 0).confidence_interval(0.9)
    assert half_interval(row(values[1]), 0.9) == pytest.approx((high - low) / 2)


SIGNS = np.resize([1, -1], 20)


@pytest.mark.parametrize(
    ("differences", "more", "expected"),
    [
        (0.2 + 0.02 * SIGNS, {}, "more"),
        (-0.1 + 0.02 * SIGNS, {}, "less"),
        (0.02 * SIGNS, {}, "same"),
        (np.zeros(20), {}, "same"),
        (np.zeros(20), {"noise": 0.3}, "same"),  # one network twice
        (0.01 + 0.001 * SIGNS, {}, "more"),  # little, but not nothing
        (0.5 * SIGNS, {}, "cannot tell"),
        (0.2 + 0.9 * SIGNS, {}, "cannot tell"),
        ([0.2], {}, "cannot tell"),
        # Single samples: of both signs.
        (0.2 * SIGNS, {"noise": 0.02, "systematic": 0.1}, "mixed"),
        (0.09 * SIGNS, {"noise": 0.02}, "cannot tell"),  # they do differ, but by less than twice what is allowed
        (0.2 * SIGNS, {"noise": 0.2}, "cannot tell"),  # noise, for all that is known
        (0.02 * SIGNS, {"noise": 0.02}, "same"),
        # The gap counts against all.
        (0.2 + 0.02 * SIGNS, {"gap": 0.14}, "more"),
        (0.2 + 0.02 * SIGNS, {"gap": 0.21}, "cannot tell"),
        (0.02 * SIGNS, {"gap": 0.03}, "same"),
        (0.02 * SIGNS, {"gap": 0.05}, "cannot tell"),
    ],
)
def test_words(differences, more, expected):
    assert word(differences, **more) == expected
    opposite = {"more": "less", "less": "more"}.get(expected, expected)
    assert word(-np.asarray(differences), **more) == opposite


@pytest.mark.parametrize(
    ("mean", "limits", "expected"),
    [
        (0.04, Limits(-0.1, 0.1), "same"),  # not 0, but allowed
        (0.2, Limits(-0.1, 0.1), "more"),
        (-0.2, Limits(-0.1, 0.1), "less"),
        (-0.2, Limits(-np.inf, 0.1), "same"),
        (0.2, Limits(-np.inf, 0.1), "more"),
        (0.099, Limits(-0.1, 0.1), "cannot tell"),
        (0.101, Limits(-0.1, 0.1), "more"),
        (0.0, Limits(0.0, 0.0), "cannot tell"),
    ],
)
def test_limits(mean, limits, expected):
    assert word(mean + 0.02 * SIGNS, limits=limits) == expected
    assert verdicts([row(np.zeros(5))], [Limits(0.0, 0.0)])[0].word == "same"


def simulated(rng, mean, scatter, noise, n=10, layers=6):
    """Rows of layers whose samples differ by `mean` ± `scatter`, measured with `noise`."""
    return [row(rng.normal(mean, scatter, n) + rng.normal(0, noise, n), noise) for _ in range(layers)]


@pytest.mark.parametrize(("scatter", "noise"), [(0.0, 0.05), (0.0, 0.5)])
def test_unchanged_networks_are_seldom_said_to_differ_in_any_layer(scatter, noise):
    rng, trials = np.random.default_rng(0), 500
    wrong = sum(
        any(each.word not in ("same", "cannot tell") for each in verdicts(simulated(rng, 0.0, scatter, noise)))
        for _ in range(trials)
    )
    assert wrong / trials < 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)


@pytest.mark.parametrize(("mean", "scatter"), [(0.1, 0.02), (-0.1, 0.05), (0.0, 0.2)])
def test_a_network_at_the_limit_seldom_is_the_same(mean, scatter):
    """In the mean, or, by what single samples may differ, in these alone."""
    rng, trials, limits = np.random.default_rng(1), 1000, [Limits(-0.1, 0.1)]
    same = sum(verdicts(simulated(rng, mean, scatter, 0.01, layers=1), limits)[0].word == "same" for _ in range(trials))
    assert same / trials < 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)


def test_a_real_change_is_found():
    rng = np.random.default_rng(2)
    words = [verdicts(simulated(rng, 0.2, 0.1, 0.05))[0].word for _ in range(50)]
    assert words.count("more") > 40
    words = [verdicts(simulated(rng, 0.0, 0.3, 0.05))[0].word for _ in range(50)]
    assert words.count("mixed") > 45


def test_sentences():
    import pandas as pd

    def said(*words):
        return in_words(
            "a", "b", "SID", pd.DataFrame({"layer": [f"l{i}" for i in range(len(words))], "verdict": words})
        )

    assert said("same", "same") == "SID of b is the same as that of a in all 2 layers."
    assert said("same") == "SID of b is the same as that of a in the one layer compared."
    assert said("more", "less", "same", "cannot tell") == (
        "SID of b against a: more in l0; less in l1; the same in l2; not to be told in l3."
    )
    assert said("cannot tell") == (
        "SID: it cannot be told whether b differs from a in the one layer compared; measure more samples."
    )
    assert said("mixed") == "SID of b against a: mixed in l0 (single samples change, the mean may not)."
    assert (named(["a"]), named(["a", "b", "c"]), named([*"abcdef"])) == ("a", "a, b and c", "a, b, c, d and 2 more")
