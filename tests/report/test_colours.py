"""The page's colours: networks are told apart, and words can be read on every shade."""

import re

import numpy as np

from infodiscard.plots import palette
from infodiscard.report import colours


def luminance(colour):
    parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_words_can_be_read_on_every_shade():
    shades = [colours.shade(share) for share in np.linspace(0, 1, 500)]
    assert min(contrast(shade, palette.ink(shade)) for shade in shades) >= 4.5


def test_shades_rise_and_what_is_beyond_has_that_of_the_end():
    assert np.all(np.diff([luminance(colours.shade(share)) for share in np.linspace(0, 1, 64)]) > 0)
    assert [colours.shade_class(share) for share in (-1, 0, 0.5, 1, 2)] == ["w0", "w0", "w32", "w63", "w63"]


def test_networks_have_a_colour_for_light_and_for_dark():
    assert len(colours.NETWORKS) == len(set(colours.NETWORKS)) == len(set(colours.NETWORKS_DARK))
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in (*colours.NETWORKS, *colours.NETWORKS_DARK))
    assert colours.network_class(len(colours.NETWORKS)) == colours.network_class(0) == "n0"


def test_scales_are_tables_of_bytes():
    table = colours.table(colours.DIVERGING)
    assert table.shape == (255, 3) and table.dtype == np.uint8
