"""The studies' verdicts: intervals against scipy, and when a claim holds, does not, or cannot be told."""

import math

import numpy as np
import pytest
from scipy import stats

from infodiscard.experiments.interval import Interval
from infodiscard.experiments.verdicts import FAILS, FEW, HOLDS, UNKNOWN, direction, equalities, equality, together

NAN = math.nan
AT = 4.302652729911275 / math.sqrt(3)  # half the interval of three values one apart: Student's t, 2 degrees of freedom


def sample(n, mean=0.3, seed=0):
    return np.random.default_rng(seed).normal(mean, 0.2, n).tolist()


# -- intervals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 6, 32, 500])
def test_intervals_are_those_of_scipy(n):
    values = sample(n)
    found = Interval.of(values)
    low, high = stats.t.interval(0.95, n - 1, np.mean(values), stats.sem(values))
    assert (found.mean, found.se, found.n) == pytest.approx((np.mean(values), stats.sem(values), n))
    assert high - found.mean == pytest.approx(found.high - found.mean, rel=2e-3)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6)


def test_an_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [Interval.of(values) for values in rng.normal(1, 2, (1000, 3)).tolist()]
    covered = np.mean([each.low < 1 < each.high for each in found])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000)


def test_nan_is_left_out_and_few_values_have_no_error():
    values = sample(5)
    assert Interval.of([NAN, *values, NAN]) == Interval.of(values)
    one = Interval.of([NAN, 0.25])
    assert (one.mean, one.n) == (0.25, 1) and all(map(math.isnan, (one.se, one.low, one.high)))
    for none in ([], [NAN, NAN]):
        assert Interval.of(none).n == 0 and math.isnan(Interval.of(none).mean)
    assert Interval.of([0.5] * 4) == Interval(0.5, 0.0, 0.5, 0.5, 4, 3)


def test_intervals_in_words():
    words = Interval.of([0.1, 0.2, 0.6]).words("SID of x minus y,")
    half = 4.302652729911275 * np.std([0.1, 0.2, 0.6], ddof=1) / math.sqrt(3)
    wanted = f"95 % {0.3 - half:+.3f} … {0.3 + half:+.3f} (3 trainings)"
    assert words == f"SID of x minus y, +0.300 ± 0.153 nats/pixel, {wanted}"
    assert Interval.of([-1, -1]).words("a", "", "images") == "a -1.000 ± 0.000, 95 % -1.000 … -1.000 (2 images)"
    assert Interval.of([2]).words("a") == "a +2.000 nats/pixel (a single one of the trainings, so no error of it)"
    assert Interval.of([NAN]).words("a") == "a: nothing to measure it on"


# -- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.0, 1.1, 1.2], HOLDS),
        ([-1.0, -1.1, -1.2], FAILS),
        ([-1.0, 1.1, 1.2], UNKNOWN),
        ([1.0, 1.1], UNKNOWN),  # fewer than three
        ([1.0, 1.1, NAN], UNKNOWN),
        ([1.0, 1.1, 1.2, NAN], HOLDS),
        ([1.0], UNKNOWN),
        ([], UNKNOWN),
        ([NAN] * 5, UNKNOWN),
        ([0.1] * 3, HOLDS),  # no scatter at all
        ([-0.1] * 3, FAILS),
        ([0.0] * 3, UNKNOWN),  # neither above nor below
        ([AT * 1.01 + each for each in (-1, 0, 1)], HOLDS),
        ([AT * 0.99 + each for each in (-1, 0, 1)], UNKNOWN),
        ([-AT * 0.99 + each for each in (-1, 0, 1)], UNKNOWN),
        ([-AT * 1.01 + each for each in (-1, 0, 1)], FAILS),
    ],
)
def test_a_direction_is_judged_by_the_interval(values, verdict):
    claim = direction("A is above B.", values, "A minus B")
    assert (claim.text, claim.verdict) == ("A is above B.", verdict)
    seen = Interval.of(values).seen()
    effect = "" if seen is None else f"; an effect of {seen:.3f} nats/pixel would be seen 4 times in 5"
    assert claim.statistic == Interval.of(values).words("A minus B") + effect and claim.seen == seen
    shifted = direction("A is above B.", [each + 5 for each in values], "A minus B", above=5)
    assert shifted.verdict == verdict or set(values) == {0.1}, "a limit other than zero is judged likewise"
    assert "; to be above 5" in shifted.statistic


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.01, -0.01, 0.02], HOLDS),
        ([0.2, 0.21, 0.22], FAILS),
        ([-0.2, -0.21, -0.22], FAILS),
        ([0.0, 0.1, 0.2], UNKNOWN),
        ([0.01, -0.01], UNKNOWN),
        ([0.2, 0.21, NAN], UNKNOWN),
        ([], UNKNOWN),
        ([0.0] * 3, HOLDS),
        ([0.1] * 3, UNKNOWN),  # on the margin
        ([-0.1] * 4, UNKNOWN),
        ([0.5] * 3, FAILS),
        ([0.099 / AT * each for each in (-1, 0, 1)], HOLDS),
        ([0.101 / AT * each for each in (-1, 0, 1)], UNKNOWN),
    ],
)
def test_equality_is_judged_by_the_interval_and_the_margin(values, verdict):
    claim = equality("A is B.", values, 0.1, "A minus B", of="images")
    assert claim.verdict == verdict
    words = Interval.of(values).words("A minus B", of="images") + "; equal means within ±0.1"
    assert claim.statistic.startswith(words)


def test_how_few_are_too_few_can_be_said():
    assert FEW == 3
    assert direction("", [1, 1.01], "", few=2).verdict == HOLDS and direction("", [1, 1.01], "").verdict == UNKNOWN
    assert direction("", [1, 1.01, 1.02], "", few=4).verdict == UNKNOWN == equality("", [0] * 3, 1, "", few=4).verdict


def test_a_true_zero_seldom_passes_for_a_direction():
    rng = np.random.default_rng(1)
    verdicts = [direction("", values, "").verdict for values in rng.normal(0, 1, (1000, 3)).tolist()]
    for verdict in (HOLDS, FAILS):
        assert verdicts.count(verdict) / 1000 == pytest.approx(0.025, abs=4 * math.sqrt(0.025 / 1000))


# -- what could have been seen, and what would change a verdict ------------------------------------------------------


@pytest.mark.parametrize("n", [3, 8, 32])
def test_the_effect_that_could_be_seen_is_seen_four_times_in_five(n):
    rng = np.random.default_rng(n)
    scatter = 0.2
    effect = Interval(0, scatter / math.sqrt(n), 0, 0, n, n - 1).seen()
    verdicts = [direction("", values, "").verdict for values in rng.normal(effect, scatter, (1000, n)).tolist()]
    assert verdicts.count(HOLDS) / 1000 == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 1000))


def test_statsmodels_finds_the_same_power():
    from statsmodels.stats.power import TTestPower

    for n in (3, 8, 40):
        effect = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8, alternative="two-sided")
        assert Interval(0, 1 / math.sqrt(n), 0, 0, n, n - 1).seen() == pytest.approx(effect, rel=2e-3)


def test_a_systematic_error_stays_however_many_values_there_are():
    values = sample(400)
    plain, wider = Interval.of(values), Interval.of(values, systematic=0.5)
    assert wider.se == pytest.approx(math.hypot(plain.se, 0.5)) and wider.mean == plain.mean
    assert (
        direction("", Interval.of(values, systematic=0.5), "").verdict == UNKNOWN != direction("", values, "").verdict
    )


def test_what_would_change_a_verdict_is_said():
    values = [0.1, 0.2, 0.6]
    claim = direction("", values, "")
    assert claim.change == "About 10 trainings, if the mean stays as it is."
    assert direction("", [-0.1, 0.1, 0.0], "").change.startswith("More than 1,000 trainings")
    assert direction("", [0.1, 0.1], "").change == "At least 3 trainings; there are 2."
    told = direction("", [1.0, 1.1, 1.2], "")
    assert told.change == f"An interval that is {told.interval.low:.3f} nats/pixel nearer to the limit."
    same = equality("", [0.01, -0.01, 0.02], 0.1, "")
    slack = 0.1 - max(abs(same.interval.low), abs(same.interval.high))
    assert same.change == f"An interval that is {slack:.3f} nats/pixel nearer to the limit."


def test_equal_everywhere_is_more_than_equal_on_average():
    near, far, wide = (Interval.of(values) for values in ([0.01, 0.0, -0.01], [0.4, 0.41, 0.42], [-0.3, 0.0, 0.3]))
    assert equalities("", {"a": near, "b": near}, 0.1, "x").verdict == HOLDS
    assert equalities("", {"a": near, "b": wide}, 0.1, "x").verdict == UNKNOWN
    claim = equalities("", {"a": near, "b": far}, 0.1, "x")
    assert claim.verdict == FAILS and "at a +0.000" in claim.statistic and "at b +0.410" in claim.statistic
    low, high = far.mean - 0.1, far.widened(2).mean - far.widened(2).low
    edge = Interval.about(0.1 + (high + (far.mean - far.low)) / 2, far.se, 3, 2)
    assert edge.low > 0.1 and low > 0 and equalities("", {"a": near, "b": edge}, 0.1, "x").verdict == UNKNOWN


def test_two_quantities_of_one_sign():
    up, down, wide = (direction("", values, "") for values in ([1, 1.1, 1.2], [-1, -1.1, -1.2], [-1, 0, 1]))
    assert together("", up, up).verdict == HOLDS == together("", down, down).verdict
    assert together("", up, down).verdict == FAILS and together("", up, wide).verdict == UNKNOWN
