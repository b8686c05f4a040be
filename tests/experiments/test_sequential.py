"""Looks at a study: published boundaries, and how often one of them decides where there is nothing."""

import numpy as np
import pytest
from scipy import stats

from infodiscard.experiments.presets import CPU, DESK
from infodiscard.experiments.sequential import freeze, levels
from infodiscard.experiments.verdicts import HOLDS, UNKNOWN, Claim


def test_boundaries_are_those_of_lan_and_demets():
    found = [stats.norm.isf((1 - level) / 2) for level in levels((1, 2, 3))]
    assert found == pytest.approx([3.710, 2.511, 1.993], abs=2e-3)  # their function for three looks, two-sided 5 %
    assert levels((3,)) == pytest.approx((0.95,))


def test_several_looks_decide_on_nothing_as_seldom_as_one():
    """With Student's t, of which the boundaries are but the tails: 5.3 % instead of 5 %."""
    looks, trials = DESK.schedule, 20_000
    values = np.random.default_rng(0).normal(size=(trials, looks[-1]))
    decided = np.zeros(trials, bool)
    for look, level in zip(looks, levels(looks), strict=True):
        seen = values[:, :look]
        t = seen.mean(1) / (seen.std(1, ddof=1) / look**0.5)
        decided |= np.abs(t) > stats.t.isf((1 - level) / 2, look - 1)
    assert 0.045 < decided.mean() < 0.056


def test_a_profile_has_the_level_of_its_look():
    assert [DESK.at(seeds).level for seeds in DESK.schedule] == list(levels(DESK.looks))
    assert [DESK.at(seeds).seeds for seeds in DESK.schedule] == list(DESK.looks) and DESK.looks[-1] == DESK.seeds
    assert CPU.schedule == (CPU.seeds,) and CPU.at(CPU.seeds) == CPU


def test_what_is_decided_stays_as_it_was_then():
    decided = {}
    first = freeze(decided, [Claim("a", HOLDS, "at first"), Claim("b", UNKNOWN, "wide")], 4, (4, 8))
    assert [claim.verdict for claim in first] == [HOLDS, UNKNOWN] and list(decided) == ["a"]
    second = freeze(decided, [Claim("a", UNKNOWN, "later"), Claim("b", HOLDS, "narrow")], 8, (4, 8))
    assert second[0] == first[0] and second[0].statistic == "at first; look 1 of 2, at 4 trainings"
    assert second[1].statistic == "narrow; look 2 of 2, at 8 trainings"
    assert freeze({}, [Claim("a", HOLDS, "once")], 3, (3,))[0].statistic == "once"
