"""What is seen of a run while it is measured: pace, log, status."""

import json

import pytest

from infodiscard import InfodiscardError
from infodiscard.api.run import Run
from infodiscard.measurement.progress import LOG, STATUS, Watch, read_status
from synthetic import make_plan
from watched_run import SMALL, watched


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
