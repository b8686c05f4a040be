"""The style sheet: the colours of the page are in it, and nothing that is fetched."""

import re

from infodiscard.report import colours
from infodiscard.report.stylesheet import stylesheet


def test_networks_have_their_colours_in_light_and_dark():
    sheet = stylesheet()
    for number, (light, dark) in enumerate(zip(colours.NETWORKS, colours.NETWORKS_DARK, strict=True)):
        assert re.findall(rf"--n{number}:(#\w+)", sheet) == [light, dark]
        assert f".n{number}{{--network:var(--n{number})}}" in sheet


def test_only_pages_of_texts_have_shades():
    assert ".w0{" not in stylesheet()
    rules = re.findall(r"\.w(\d+)\{background:(#\w{6});color:(#\w{6})\}", stylesheet(words=True))
    assert [int(number) for number, _, _ in rules] == list(range(colours.SHADES))
    assert all(colours.ink(ground) == ink for _, ground, ink in rules)


def test_nothing_is_fetched():
    assert not re.search(r"url\(|@import|http", stylesheet(words=True))
