"""Statistics of comparisons: known values, the methods by hand, and what too few networks say."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats import spearmanr
from statsmodels.stats.multitest import multipletests

from infodiscard.analysis.statistics import (
    binomial_tail,
    chi2_tail,
    half_width,
    holm,
    rank_correlation,
    t_bound,
    t_quantile,
    t_tail,
)
from infodiscard.errors import InfodiscardError


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (7, 2.36462), (30, 2.04227)]
)
def test_quantiles_of_students_t_are_those_of_printed_tables(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, rel=1e-5)


def test_values_of_the_continued_fraction_that_was_here_before_are_met():
    """Known to 1e-9 of their value, far into the tail."""
    assert t_tail(2.5, 7) == pytest.approx(0.02049610929287647, rel=1e-9)
    assert t_tail(40, 30) == pytest.approx(6.863022597203146e-28, rel=1e-9)
    assert t_bound(0.025, 3) == pytest.approx(3.1824463052837095, rel=1e-9)
    assert t_bound(0.05, 19) == pytest.approx(1.7291328115213676, rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 40, 50_000])
def test_tail_and_bound_invert_each_other(freedom):
    for level in (0.49, 0.25, 0.05, 0.05 / 7, 1e-5):
        assert t_tail(t_bound(level, freedom), freedom) == pytest.approx(level, rel=1e-9)
    assert t_tail(-1.7, freedom) == pytest.approx(1 - t_tail(1.7, freedom), rel=1e-12)
    assert t_tail(np.inf, freedom) == 0 and t_tail(-np.inf, freedom) == 1


def test_an_interval_is_students_and_a_single_sample_has_none():
    assert half_width(0.5, 4) == pytest.approx(0.5 * 3.18245, rel=1e-5)
    assert math.isnan(half_width(0.5, 1)) and math.isnan(half_width(math.nan, 1))


def test_holm_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # 3 × 0.01, the 0.06 before it, 2 × 0.03, 4 × 0.005
    assert (
        holm([0.6, 0.7]) == [1, 1] and holm([]) == [] and holm([0.04]) == [0.04] and holm([0.02, 0.02]) == [0.04, 0.04]
    )


@pytest.mark.parametrize("count", [1, 2, 20])
def test_holm_is_that_of_statsmodels(count):
    p = np.random.default_rng(count).beta(0.3, 2, count)
    p[-1] = p[0]
    assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)


@pytest.mark.parametrize("freedom", [1, 2, 12])
def test_tails_are_scipys(freedom):
    for value in (0.0, 0.3, 5.0, 40.0, np.inf):
        assert chi2_tail(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-12)
    for count in range(freedom + 1):
        expected = stats.binomtest(count, freedom, alternative="greater").pvalue
        assert binomial_tail(count, freedom) == pytest.approx(expected, rel=1e-12)
    assert binomial_tail(0, 0) == 1


@pytest.mark.parametrize("n", [4, 9, 30])
@pytest.mark.parametrize("ties", [False, True])
def test_rho_is_scipys(n, ties):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(2, n))
    y = y + 0.5 * x
    if ties:
        x, y = np.round(x), np.round(y)
    found = rank_correlation(x, y)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic)
    assert -1 <= found.low <= found.rho <= found.high <= 1 and found.n == n
    assert found == rank_correlation(pd.Series(x, index=range(n, 0, -1)), list(y))
    assert n < 30 or found != rank_correlation(x, y, seed=1)


def test_the_interval_is_about_as_wide_as_fishers():
    """For 100 normal pairs ρ has a standard error of about 1.03 / √97 on Fisher's scale."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    found = rank_correlation(x, x + rng.normal(size=100))
    assert math.atanh(found.high) - math.atanh(found.low) == pytest.approx(2 * 1.96 * 1.03 / 97**0.5, rel=0.25)


def test_a_perfect_order_has_no_spread():
    assert rank_correlation(range(6), [2.0**k for k in range(6)]) == pytest.approx((1, 1, 1, 6))


def test_too_few_networks_or_no_difference_say_nothing():
    for x, y, n in (([1, 2, 3], [1, 2, 3], 3), ([1, 2, 3, 4, math.nan], [1, 2, 3, math.nan, 5], 3), ([], [], 0)):
        *values, count = rank_correlation(x, y)
        assert np.isnan(values).all() and count == n
    assert np.isnan(rank_correlation([1, 1, 1, 1, 1], range(5))[:3]).all()
    with pytest.raises(InfodiscardError, match="There are 4 and 5 values"):
        rank_correlation(range(4), range(5))


def test_draws_of_the_bootstrap_are_fixed_by_the_seed():
    found = rank_correlation([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5])
    assert found == pytest.approx((0.8285714285714286, 0.0, 1.0, 6), rel=1e-9)
