"""Places of runs: a directory, memory, or a bucket."""

import sys
from pathlib import Path

import numpy as np
import pytest

from infodiscard.api.run import Run, open_run
from infodiscard.errors import InfodiscardError
from infodiscard.results.places import as_place, names_in, read_whole, remove, write_whole
from synthetic import RESNET, fill, make_images, make_plan, same

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


def test_a_run_is_written_continued_and_read_anywhere(place):
    plan = make_plan(**SMALL)
    images, masks = make_images(plan)
    with Run.resume_or_create(plan, place, images, masks) as run:
        fill(run, 4)
    reader = open_run(place)
    assert len(reader.pending()) == 5 and not reader.complete
    with Run.resume_or_create(plan, place, images, masks) as run:
        assert run.pending() == plan.units()[4:]
        fill(run)
    whole = Run.create(plan, None, images, masks)
    fill(whole)
    assert reader.complete
    assert same(open_run(place), whole)
    assert same(Run.resume_or_create(plan, place, images, masks), whole)
    np.testing.assert_array_equal(open_run(place).dataset["image"].values, images)
    with pytest.raises(InfodiscardError, match="different run"):
        Run.resume_or_create(make_plan(**SMALL | {"seed": 1}), place)
    with pytest.raises(InfodiscardError, match="already"):
        Run.create(plan, place)


def test_small_files_are_written_whole(place):
    where = as_place(place)
    assert read_whole(where / "note") is None
    if isinstance(where, Path):
        where.mkdir()
    for text in (b"one", b"another"):
        write_whole(where / "note", text)
        assert read_whole(where / "note") == text
    assert names_in(where) == ["note"]
    remove(where)
    assert not names_in(where)


def test_what_is_no_place_is_told(monkeypatch, bucket):
    assert as_place("~/x") == Path.home() / "x" and as_place("file:///tmp/x") == Path("/tmp/x")
    with pytest.raises(InfodiscardError, match="no place that can be reached"):
        as_place("nowhere://x")
    with pytest.raises(InfodiscardError, match="does not exist"):
        open_run("s3://elsewhere/run")
    with pytest.raises(InfodiscardError, match=r"Could not write the run in .*bucket"):
        Run.create(make_plan(**SMALL), "s3://elsewhere/run")  # a bucket is not made in passing
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(InfodiscardError, match=r"install it with pip install 'infodiscard\[s3\]'"):
        as_place("s3://runs/x")
