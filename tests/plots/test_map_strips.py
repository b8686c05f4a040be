"""Strips of maps that are lines: what they show, their scale and the marks of the object."""

import numpy as np
from matplotlib.colors import Normalize

from infodiscard.plots.map_strips import draw_strips
from infodiscard.plots.palette import MAP


def test_a_strip_per_sample_and_in_it_a_row_per_layer():
    maps = np.random.default_rng(0).normal(size=(3, 2, 9))
    maps[1, :, 7:] = np.nan  # padding
    masks = np.zeros((3, 9), bool)
    masks[2, 3:5] = True
    norm = Normalize(-2, 2)
    figure, picture, bar = draw_strips(
        maps, ["s0", "s1", "s2"], ["a", "b"], "token", "net", masks, {"cmap": MAP, "norm": norm}
    )
    *strips, last = figure.axes
    assert last is bar and len(strips) == 3 and picture is strips[-1].images[0]
    for ax, chart, name in zip(strips, maps, ("s0", "s1", "s2"), strict=True):
        np.testing.assert_array_equal(np.ma.filled(ax.images[0].get_array(), np.nan), chart)
        assert ax.get_ylabel() == name and [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
        assert ax.images[0].norm is norm
    marks = [ax.collections[0].get_offsets()[:, 0].tolist() for ax in strips]
    assert marks == [[], [], [3, 4]] and strips[-1].get_xlabel() == "token"
