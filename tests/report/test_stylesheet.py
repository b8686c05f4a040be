"""The style sheet: the colours of the page are in it, and nothing that is fetched."""

import re

from infodiscard.plots import palette
from infodiscard.report import colours
from infodiscard.report.stylesheet import stylesheet


def test_networks_have_their_colours_in_light_and_dark():
    sheet = stylesheet()
    for number, (light, dark) in enumerate(zip(colours.NETWORKS, colours.NETWORKS_DARK, strict=True)):
        assert re.findall(rf"--n{number}:(#\w+)", sheet) == [light, dark]
        assert f".n{number}{{--network:var(--n{number})}}" in sheet


def test_what_is_on_a_shade_can_be_read():
    rules = re.findall(r"\.w(\d+)\{--ground:(#\w{6});--ink:(#\w{6});", stylesheet())
    assert [int(number) for number, _, _ in rules] == list(range(colours.SHADES))
    assert all(palette.ink(ground) == ink for _, ground, ink in rules)


def test_nothing_is_fetched():
    assert not re.search(r"url\(|@import|http", stylesheet(plot=500))
    assert ".plot{min-width:500px}" in stylesheet(plot=500)
