"""What is seen of a run while it is measured: pace, log, status."""

import json
from types import SimpleNamespace

import pytest

from infodiscard import InfodiscardError
from infodiscard.api.run import Run
from infodiscard.measurement.engines import Finished
from infodiscard.measurement.progress import LOG, STATUS, Pace, Watch, dearest, duration, duration_range, read_status
from infodiscard.results.plan import Unit
from synthetic import make_plan
from watched_run import SMALL, watched


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


def test_the_log_has_a_line_for_every_event(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        watched(tmp_path / "run", 3, KeyboardInterrupt())
    with pytest.raises(InfodiscardError):
        watched(tmp_path / "run", 1, InfodiscardError("the disk is full"))
    watched(tmp_path / "run")
    watched(tmp_path / "run")  # nothing is left, and nothing is told
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert [line["event"] for line in lines] == (
        ["started", *["unit"] * 3, "interrupted", "started", "unit", "failed", "started", *["unit"] * 4, "finished"]
    )
    assert lines[0]["done"] == 0 and lines[5]["done"] == 6 and lines[7]["why"] == "the disk is full"
    unit = lines[1]
    assert (unit["network"], unit["layer"], unit["start"], unit["stop"]) == ("resnet20", "cheap", 0, 2)
    assert unit["seconds"] == 0.5 and unit["passes"] == 64 and list(unit["failures"].values()) == ["feature_not_finite"]
    status = read_status(tmp_path / "run")
    assert (status["state"], status["done"], status["total"]) == ("finished", 16, 16)


def test_a_status_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STATUS).mkdir()
    watched(tmp_path / "run")
    assert Run.open(tmp_path / "run").complete


def test_a_log_that_cannot_be_written_is_told_at_the_start(tmp_path):
    run = Run.create(make_plan(**SMALL))
    with pytest.raises(InfodiscardError, match="Could not write the log"):
        Watch(run, bar=False, log=tmp_path / "nowhere" / "log")
