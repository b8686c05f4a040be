"""The curves as SVG: points stand where their values are on the scale of the ticks."""

from xml.etree import ElementTree

import numpy as np
import pytest

from infodiscard.report import content, svg_curves
from infodiscard.report.rendering import ENVIRONMENT
from synthetic import RESNET, make_run

MACROS = ENVIRONMENT.get_template("macros/curves.html.j2").module


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])  # which ticks there are depends on the range
def test_points_and_ticks_lie_where_they_belong(shift):
    """Against the values: a mark's height is linear in its mean, on the scale that the ticks give."""
    read = content.read(make_run(metrics=["sid", "ru"], layers=RESNET[:4], samples=6, size=8, shift=shift))
    for scalar in read.scalars:
        drawn = ElementTree.fromstring(MACROS.layer_curve(svg_curves.layer_curve(read, scalar), read.unit))
        axis, plot = drawn.findall("svg")
        texts = [text for text in axis.findall("text") if text.get("class") is None]
        heights = np.array([float(text.get("y")) - 4 for text in texts])
        values = np.array([float(text.text.replace("−", "-")) for text in texts])
        slope, start = np.polyfit(heights, values, 1)
        np.testing.assert_allclose(start + slope * heights, values, atol=2e-3)  # coordinates have one decimal
        marks = plot.findall("g[@data-entry='0']/svg[@class='point']")
        places = np.array([[mark.get("x").rstrip("%"), mark.get("y")] for mark in marks], float)
        expected = read.entries[0].summary[{"sid": "sid_corrected"}.get(scalar.name, scalar.name)]
        np.testing.assert_allclose(start + slope * places[:, 1], expected, atol=0.01 * np.ptp(expected))
        assert len(set(np.diff(places[:, 0]).round())) == 1 and 0 < places[0, 0] < places[-1, 0] < 100


def test_every_network_has_its_look_and_every_text_stays_one():
    runs = {f"<b>{i}": make_run(layers=RESNET[:2], samples=3, size=4, seed=i) for i in range(9)}
    read = content.read(runs)
    curve = svg_curves.layer_curve(read, read.scalars[0])
    assert len({(series.colour, series.mark) for series in curve.series}) == 9
    drawn = ElementTree.fromstring(MACROS.layer_curve(curve, read.unit))
    assert drawn.find(".//g[@data-entry='8']/svg/title").text.startswith("<b>8, conv1: ")
    assert drawn.findall(".//line[@class='level']") and not drawn.findall(".//line[@class='line floor']")


def test_one_sample_has_no_interval_and_what_is_missing_no_point():
    read = content.read({"a": make_run(samples=1, size=4, layers=RESNET[:2]), "b": make_run(samples=2, size=4)})
    alone, more = svg_curves.layer_curve(read, read.scalars[0]).series
    assert alone.means[2:] == [None] * 7 and None not in alone.means[:2] + more.means
    assert not any(point.interval for point in alone.points if point) and all(point.interval for point in more.points)
    assert svg_curves.points(read.entries[0], "ru", read.layers) == [None] * len(RESNET)
