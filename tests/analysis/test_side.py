"""Sides of a comparison: what they are called and what they hold."""

import pytest

from infodiscard.analysis.side import as_run, sides_of
from infodiscard.errors import InfodiscardError
from synthetic import RESNET, make_run, shared_run

SMALL = {"layers": RESNET[:2], "samples": 5, "size": 4}


def test_sides_are_named_by_network_or_by_run():
    two, one = shared_run(networks=("r20", "r32"), **SMALL), shared_run(**SMALL)
    assert [side.name for side in sides_of(two)] == ["r20", "r32"]
    assert [side.name for side in sides_of({"x": two, "y": one})] == ["x/r20", "x/r32", "y"]


def test_a_side_holds_the_part_of_its_network():
    run = make_run(networks=("r20", "r32"), units=3, **SMALL)
    first, second = sides_of(run)
    assert first.layers == RESNET[:2] and (first.missing, second.missing) == (0, 1)
    assert set(first.table["layer"]) == set(RESNET[:2]) and set(second.table["layer"]) == {RESNET[0]}
    assert "network" not in first.table and len(first.table) == 10


def test_a_run_is_opened_by_its_directory(tmp_path):
    run = make_run(tmp_path / "run", **SMALL)
    assert as_run(run) is run and as_run(str(tmp_path / "run")).plan == run.plan
    with pytest.raises(InfodiscardError, match="Cannot compare a int"):
        as_run(3)
