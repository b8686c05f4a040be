"""Every kind of input goes to C × H × W and back without a change, and its parts are named for what they are."""

import numpy as np
import pytest
import torch

from infodiscard.core.kinds import IMAGE, LAYOUTS, SERIES, TABLE, TOKENS, find_layout
from infodiscard.errors import InfodiscardError

SHAPES = {"image": (2, 3, 4, 5), "tokens": (2, 7, 3), "series": (2, 3, 7), "table": (2, 7)}
INSIDE = {"image": (2, 3, 4, 5), "tokens": (2, 3, 1, 7), "series": (2, 3, 1, 7), "table": (2, 1, 1, 7)}


def values(kind):
    return torch.randn(SHAPES[kind], generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_inside_and_back_is_exact_and_differentiable(kind):
    layout, native = LAYOUTS[kind], values(kind)
    inside = layout.inside(native)
    assert inside.shape == INSIDE[kind]
    outside = layout.outside(inside)
    assert torch.equal(outside, native) and outside.is_contiguous()
    assert torch.autograd.gradcheck(lambda x: layout.outside(x).sin(), inside.clone().requires_grad_())


def test_what_a_position_and_a_channel_are():
    native = {kind: values(kind) for kind in LAYOUTS}
    assert torch.equal(TOKENS.inside(native["tokens"])[0, :, 0, 4], native["tokens"][0, 4])
    assert torch.equal(SERIES.inside(native["series"])[0, :, 0, 4], native["series"][0, :, 4])
    assert torch.equal(TABLE.inside(native["table"])[0, 0, 0], native["table"][0])
    assert IMAGE.outside(native["image"]) is native["image"]


@pytest.mark.parametrize("kind", LAYOUTS)
def test_maps_have_as_many_dimensions_as_names(kind):
    layout = LAYOUTS[kind]
    maps = np.zeros((2, *INSIDE[kind][2:]))
    assert layout.chart(maps).ndim == 1 + len(layout.dims)
    assert layout.unchart(layout.chart(maps)).shape == maps.shape


def test_words_and_sizes():
    assert IMAGE.words("nats/pixel, mean over pixels") == "nats/pixel, mean over pixels"
    assert TOKENS.words("nats/pixel, mean over pixels") == "nats/token, mean over tokens"
    assert [layout.size(3, 4, 5) for layout in (IMAGE, TOKENS, SERIES, TABLE)] == ["3×4×5", "5×3", "3×5", "5"]


@pytest.mark.parametrize(("shape", "layout"), [((2, 3, 4, 5), IMAGE), ((2, 3), TABLE)])
def test_images_and_tables_are_told_by_their_shape(shape, layout):
    assert find_layout(None, shape) is layout


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        (None, (2, 3, 4), r"\(2, 3, 4\); say what they are: kind='tokens' \(n × tokens × values\) or kind='series'"),
        (None, (2,), r"images have shape \(2,\); give at least one, as n × channels × height × width"),
        (None, (0, 3), r"images have shape \(0, 3\)"),
        ("tokens", (2, 3), r"inputs have shape \(2, 3\); give at least one, as kind='tokens' \(n × tokens × values\)"),
        ("image", (2, 3, 4), r"images have shape \(2, 3, 4\)"),
        ("audio", (2, 3, 4), "kind was 'audio'; it can be 'image', 'tokens', 'series' or 'table'"),
    ],
)
def test_other_shapes_are_refused(kind, shape, message):
    with pytest.raises(InfodiscardError, match=message):
        find_layout(kind, shape)
