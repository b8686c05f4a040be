"""Pace of a run: what is left, by layers and within a unit, and how that is said."""

from types import SimpleNamespace

import pytest

from infodiscard.measurement.engines import Finished
from infodiscard.measurement.pace import Pace, dearest, duration, duration_range
from infodiscard.results.plan import Unit


def finished(layer, start, seconds, passes=100):
    return Finished(Unit("resnet20", layer, start, start + 2), seconds, passes, {}, "here/1")


def middle(remaining):
    low, high = remaining
    assert low <= high
    return (low * high) ** 0.5


def test_pace_reckons_what_is_left_layer_by_layer():
    now = SimpleNamespace(seconds=0.0)
    pace = Pace({("resnet20", "cheap"): 8, ("resnet20", "dear"): 8}, clock=lambda: now.seconds)
    assert pace.remaining is None and pace.cells == 0
    pace.record(finished("cheap", 0, 2.0))
    now.seconds = 2.0
    low, high = pace.remaining  # of the other layer no more is known than that it may be dearer, or cheaper
    assert low < 14.0 < high and high > 30.0
    pace.record(finished("dear", 0, 20.0))
    now.seconds = 22.0
    assert middle(pace.remaining) == pytest.approx(6 * 1.0 + 6 * 10.0)
    assert pace.rates()["passes_per_second"] == pytest.approx(200 / 22)
    assert pace.rates()["cells_per_second"] == pytest.approx(4 / 22)
    assert pace.rates()["seconds_left"] == pytest.approx(66.0) and 66.0 < pace.rates()["seconds_left_most"] < 99.0


def test_pace_begins_with_first_looks_and_follows_a_unit():
    now = SimpleNamespace(seconds=0.0)
    looks = {("resnet20", "cheap"): (1.0, 4.0), ("resnet20", "dear"): (10.0, 40.0)}
    pace = Pace(dict.fromkeys(looks, 4), looks, clock=lambda: now.seconds)
    assert pace.remaining == (44.0, 176.0)
    pace.begin(Unit("resnet20", "dear", 0, 4))
    now.seconds = 30.0
    assert pace.remaining == (4 * 1.0 + 10.0, 4 * 4.0 + 130.0)  # before the solver says how far it is
    pace.advance(300.0, 1200.0)
    assert middle(pace.remaining) == pytest.approx((4.0 + 90.0 / 1.5) ** 0.5 * (16.0 + 90.0 * 1.5) ** 0.5)
    assert pace.rate == pytest.approx(10.0)


def test_pace_of_several_workers():
    now = SimpleNamespace(seconds=0.0)
    pace = Pace({("resnet20", "cheap"): 8}, clock=lambda: now.seconds)
    for start in (0, 2):
        pace.record(finished("cheap", start, 10.0))
    now.seconds = 10.0  # two at a time
    assert middle(pace.remaining) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "?"), (0.4, "0 s"), (89, "89 s"), (600, "10 min"), (12_000, "3 h 20 min"), (446_400, "5 days 4 h")],
)
def test_durations_are_said_as_people_do(seconds, words):
    assert duration(seconds) == words


def test_a_range_that_reads_the_same_is_one_number():
    assert duration_range(600, 610) == "10 min" and duration_range(40, 200) == "40 s to 3 min"


def test_the_dearest_layer_is_named_if_it_takes_most():
    assert dearest({"conv": 80.0, "fc": 920.0}) == "'fc' takes 92% of it; without it about 80 s"
    assert dearest({"conv": 80.0, "fc": 80.0}) == "" == dearest({"fc": 80.0})
