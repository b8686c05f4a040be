"""Masks and boxes: one meaning, wherever they come from; whatever could mean something else is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import data, measure
from infodiscard.data.coerce import coerce_inputs
from infodiscard.data.masks import box_masks
from infodiscard.errors import InfodiscardError

IMAGE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
HARD = torch.zeros(1, 8, 8, dtype=torch.bool)
HARD[:, 2:6, 2:6] = True


def from_npz(path, **arrays):
    np.savez(path / "x.npz", images=IMAGE.numpy(), **arrays)
    return data.load(f"npz:{path / 'x.npz'}").masks


@pytest.mark.parametrize(
    "box", [[2, 1, 3, 4], [0.4, 0.4, 1.2, 1.2], [0.6, 2.5, 3.0, 3.2], [-0.2, 0, 8.4, 8], [0, 0, 8, 8]]
)
def test_a_box_means_the_same_to_measure_and_in_a_file(box, tmp_path):
    """The pixels whose centres are in it."""
    x, y, w, h = box
    slow = [[x <= j + 0.5 < x + w and y <= i + 0.5 < y + h for j in range(8)] for i in range(8)]
    for found in (coerce_inputs(IMAGE, [box]).masks, from_npz(tmp_path, boxes=np.array([box]))):
        assert found.tolist() == [slow]


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([20, 20, 4, 4], "leaves it"),
        ([-3, 0, 4, 4], "leaves it"),
        ([6, 6, 4, 1], "leaves it"),
        ([2, 3, 7, 8], "leaves it; if it is x1, y1, x2, y2, give x1, y1, x2 − x1, y2 − y1"),
        ([0.25, 0.25, 0.5, 0.5], "is in fractions of it; multiply by its width and height"),
        ([0, 0, 1, 1], "is in fractions"),
        ([3, 3, 0, 2], "holds none of its pixels"),
        ([3, 3, -2, 2], "holds none of its pixels"),
        ([3.6, 3.6, 0.8, 3], "holds none of its pixels"),
        ([float("nan")] * 4, "is not finite"),
        ([1, 1, float("inf"), 2], "is not finite"),
    ],
)
def test_boxes_that_are_not_of_pixels_of_the_image_are_refused(box, message, tmp_path):
    with pytest.raises(InfodiscardError, match=rf"Box 0 is \(.*\); a box is x, y, width, height .* of 8×8.*{message}"):
        coerce_inputs(IMAGE, [box])
    with pytest.raises(InfodiscardError, match=message):
        from_npz(tmp_path, boxes=np.array([box]))


def test_every_box_is_checked():
    with pytest.raises(InfodiscardError, match="Box 1 is"):
        box_masks(torch.tensor([[1, 1, 2, 2], [7, 7, 4, 4]]), 8, 8)


@pytest.mark.parametrize(
    ("masks", "value"),
    [
        (torch.where(HARD, 0.99, 0.01), "0.01"),
        (torch.where(HARD, 1.0, torch.nan), "nan"),
        (torch.where(HARD, torch.inf, 0.0), "inf"),
        (HARD * 255, "255"),
        (HARD * 1 - (~HARD) * 1, "-1"),
        (torch.where(HARD, 1, 255).byte(), "255"),
        (HARD.numpy() * 2, "2"),
    ],
)
def test_masks_that_are_neither_true_nor_false_are_refused(masks, value):
    with pytest.raises(
        InfodiscardError, match=f"The masks hold {value}, but may hold true and false only .*masks > 0.5"
    ):
        coerce_inputs(IMAGE, masks)
    tokens = torch.rand(1, 8, 3)
    with pytest.raises(InfodiscardError, match=f"The masks hold {value}"):
        coerce_inputs(tokens, masks[:, :, 2], kind="tokens")


@pytest.mark.parametrize(
    "valid", [torch.tensor([[0.0, -torch.inf]]), torch.tensor([[1, 2]]), torch.tensor([[0.9, 0.1]])]
)
def test_padding_that_is_neither_true_nor_false_is_refused(valid):
    with pytest.raises(InfodiscardError, match="The values of valid hold"):
        coerce_inputs(torch.rand(1, 2, 3), kind="tokens", valid=valid)


def test_masks_without_an_object_are_refused_unless_others_have_one(tmp_path):
    with pytest.raises(InfodiscardError, match="The masks are false everywhere"):
        coerce_inputs(IMAGE, ~(HARD | ~HARD))
    with pytest.raises(InfodiscardError, match="The masks are false everywhere"):
        from_npz(tmp_path, masks=np.zeros((1, 8, 8), bool))
    two = torch.cat([HARD, HARD & ~HARD])
    run = measure(
        nn.Conv2d(3, 2, 3, padding=1).eval(),
        IMAGE.repeat(2, 1, 1, 1),
        ["output"],
        masks=two,
        max_passes=256,
        progress=False,
    )
    assert np.isfinite(run.dataset["concentration"].values).ravel().tolist() == [True, False]
