"""Feature grids: which arrangement a shape is recognised as."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infodiscard.decoders.feature_grid import FeatureGrid
from random_decoders import RGB32


@pytest.mark.parametrize(
    ("feature", "size", "layout"),
    [
        ((16, 32, 32), RGB32, FeatureGrid("map", 16, (32, 32))),
        ((8, 8, 8), RGB32, FeatureGrid("map", 8, (8, 8))),
        ((64, 7, 10), (3, 224, 320), FeatureGrid("map", 64, (7, 10))),
        ((4, 1, 32), RGB32, FeatureGrid("map", 4, (1, 32))),
        ((56, 56, 96), (3, 224, 224), FeatureGrid("channels-last", 96, (56, 56))),
        ((7, 10, 64), (3, 224, 320), FeatureGrid("channels-last", 64, (7, 10))),
        ((4, 4, 6), RGB32, FeatureGrid("channels-last", 6, (4, 4))),
        ((16, 8, 10), (3, 225, 320), FeatureGrid("map", 16, (8, 10))),
        ((196, 192), (3, 224, 224), FeatureGrid("tokens", 192, (14, 14))),
        ((197, 192), (3, 224, 224), FeatureGrid("tokens", 192, (14, 14), 1)),
        ((198, 192), (3, 224, 224), FeatureGrid("tokens", 192, (14, 14), 2)),
        ((261, 64), (3, 224, 224), FeatureGrid("tokens", 64, (16, 16), 5)),
        ((71, 64), (3, 224, 320), FeatureGrid("tokens", 64, (7, 10), 1)),
        ((7, 11), (1, 9, 9), FeatureGrid("vector", 77, (5, 5))),
        ((10,), RGB32, FeatureGrid("vector", 10, (4, 4))),
        ((1,), (3, 224, 224), FeatureGrid("vector", 1, (4, 4))),
        ((), (3, 8, 8), FeatureGrid("vector", 1, (4, 4))),
        ((512, 1, 1), RGB32, FeatureGrid("vector", 512, (4, 4))),
        ((2, 3, 4, 5), (3, 8, 8), FeatureGrid("vector", 120, (4, 4))),
    ],
)
def test_layouts_are_recognised(feature, size, layout):
    found = FeatureGrid.of(feature, size)
    assert replace(found, cells=layout.cells) == layout
    assert layout.kind == "vector" or found.cells == layout.cells
