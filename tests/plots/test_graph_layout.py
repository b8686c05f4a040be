"""Where stages stand: skips lie beside them, short ones inside long ones, and a run without stages is a chain."""

from dataclasses import replace

from infodiscard.plots.graph_layout import Arc, Row, layout
from synthetic import make_plan

BLOCK = (("input", ()), ("stem", (0,)), ("a", (1,)), ("b", (1, 2)), ("c", (3,)), ("d", (1, 3, 4)))


def test_skips_have_tracks_beside_the_stages():
    plan = replace(make_plan(layers=("a", "d"), networks=("n",)), stages={"n": BLOCK})
    found = layout(plan, "n")
    assert found.known and found.rows[2] == Row("a", True) and found.rows[1] == Row("stem", False)
    straight = [(arc.start, arc.stop) for arc in found.arcs if arc.track == 0]
    assert straight == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert {arc for arc in found.arcs if arc.track} == {Arc(1, 3, 1), Arc(3, 5, 1), Arc(1, 5, 2)} and found.tracks == 2


def test_a_run_without_stages_or_with_others_is_a_chain():
    plan = make_plan(layers=("a", "b"), networks=("n",))
    for each in (plan, replace(plan, stages={"n": BLOCK[:3]})):  # which lacks a layer
        found = layout(each, "n")
        assert not found.known and "not recorded" in found.says
        assert found.rows == (Row("input", False), Row("a", True), Row("b", True))
        assert found.arcs == (Arc(0, 1, 0), Arc(1, 2, 0)) and found.tracks == 0
