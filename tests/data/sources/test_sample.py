"""Samples: the geometry of boxes, crops and sizes."""

from __future__ import annotations

import torch

from infodiscard.data.sources.sample import box_mask, crop_window, fit


def test_box_mask_counts_whole_pixels() -> None:
    mask = box_mask((2, 1, 3, 2), 6, 7)
    assert mask.sum() == 6 and mask[1:3, 2:5].all()


def test_crop_window_grows_about_the_centre_and_stops_at_the_edge() -> None:
    assert crop_window((4, 4, 4, 2), 1.0, 20, 20) == (slice(4, 6), slice(4, 8))
    assert crop_window((4, 4, 4, 2), 1.5, 20, 20) == (slice(4, 6), slice(3, 9))  # 4.25 … 5.75 … rounded
    assert crop_window((4, 4, 4, 2), 9.0, 20, 20) == (slice(0, 14), slice(0, 20))
    assert crop_window((4, 4, 4, 2), float("inf"), 20, 20) == (slice(0, 20), slice(0, 20))
    assert crop_window((25, 25, 4, 2), 1.0, 20, 20) == (slice(19, 20), slice(19, 20))


def test_fit_covers_and_crops_the_centre() -> None:
    """A picture twice as wide as the size loses its sides, and its mask with them."""
    image = torch.zeros(3, 8, 16)
    image[:, :, 4:12] = 1
    mask = box_mask((4, 2, 4, 4), 8, 16)
    small, small_mask = fit(image, mask, (4, 4))
    assert small.shape == (3, 4, 4) and small[:, :, 1:3].min() == 1 and small_mask is not None
    assert torch.equal(small_mask, box_mask((0, 1, 2, 2), 4, 4))


def test_fit_agrees_with_torchvision() -> None:
    from torchvision.transforms import functional

    for height, width in ((50, 37), (37, 51), (16, 33), (5, 4)):
        image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
        usual = functional.center_crop(functional.resize(image, 16, antialias=True), 16)
        torch.testing.assert_close(fit(image, None, (16, 16))[0], usual, atol=1e-5, rtol=0)


def test_fit_leaves_the_right_size_alone() -> None:
    image = torch.rand(3, 4, 5)
    assert torch.equal(fit(image, None, (4, 5))[0], image)
