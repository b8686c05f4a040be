"""The networks at a glance: graphs and heat map say what the tables do."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from infodiscard.api.run import Run
from infodiscard.report import content, network_views
from infodiscard.report.network_views import glance
from infodiscard.report.rendering import ENVIRONMENT
from pages import HOSTILE, hostile_run, run_of_lines
from synthetic import make_plan, make_run, values_of

MACROS = ENVIRONMENT.get_template("macros/networks.html.j2").module
STAGES = (("input", ()), ("stem", (0,)), ("<b>inside</b>", (1,)), ("end", (1, 2)))


@pytest.fixture(scope="module")
def view():
    plan = replace(make_plan(("stem", "end"), 6, ("one", "two"), 6), stages={"one": STAGES})
    run = Run.create(plan)
    for unit in run.pending():
        run.write(unit, values_of(plan, unit, shift=0.3 * (unit.network == "two" and unit.layer == "stem")))
    return run, glance(content.read(run))


def test_graphs_have_means_verdicts_and_connections(view):
    run, seen = view
    means = run.summary().set_index(["network", "layer"])["sid_corrected"]
    one, two = seen.graphs
    assert [box.name for box in one.boxes] == ["input", "stem", "<b>inside</b>", "end"]
    assert [box.mark and box.mark.text for box in one.boxes[:3]] == [
        None,
        f"{means['one', 'stem']:.2f}".replace("-", "−"),
        None,
    ]
    assert len(one.lines) == 3 and len(one.skips) == 1 and len(two.lines) == 2 and not two.skips
    assert [box.mark.verdict for box in two.boxes if box.mark] == ["more", "same"] and seen.against == "one"
    assert [says.split(" ")[0] for says in seen.says] == ["Lines:", "Layers"]  # one is known, and the other a chain
    drawn = ElementTree.fromstring(MACROS.graph(one, seen.title))
    assert drawn.find("svg/circle/title").text == "input" and "<b>inside</b>" in [
        each.text for each in drawn.iter("text")
    ]
    assert one.boxes[1].shade == "w0" and max(int(each.shade[1:]) for each in two.boxes if each.mark) == 63


def test_the_heat_map_is_of_several_networks(view):
    _, seen = view
    assert list(seen.heat) == ["stem", "end"] and seen.names == ["one", "two"] and "all networks" in seen.scale.text
    assert seen.heat["stem"][0].shade == "w0" and seen.heat["end"][1].doubts and seen.doubtful
    table = ElementTree.fromstring(MACROS.heat(seen, seen.names).strip().partition("</p>")[2])
    assert [cell.text for cell in table.iter("td")] == [cell.text for cells in seen.heat.values() for cell in cells]
    alone = glance(content.read(make_run(layers=("stem",), samples=3, size=4)))
    assert alone.heat == {} and not alone.against and "all networks" not in alone.scale.text


def test_names_stay_texts_and_lines_have_graphs_too(monkeypatch):
    seen = glance(content.read(hostile_run()))
    assert ElementTree.fromstring(MACROS.graph(seen.graphs[0], seen.title)).find("figcaption").text == HOSTILE[0]
    lines = content.read(run_of_lines(("a", "b")))
    assert glance(lines).title == "SID (reached), nats/token" and len(glance(lines).graphs) == 2
    monkeypatch.setattr(network_views, "MOST", 1)
    many = glance(lines)
    assert len(many.graphs) == 1 and many.left == 1 and len(many.heat["conv1"]) == 2
