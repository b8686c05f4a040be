"""Augmented batches: what is drawn, and from which seed."""

from __future__ import annotations

import torch

from infodiscard import data
from infodiscard.data import ImageSet
from infodiscard.training.batches import Batches, as_bytes, augment


def test_augment_only_shifts_and_flips() -> None:
    """Each result is one of the 9 × 9 × 2 that padding, cropping and flipping give, found by trying them all."""
    images = torch.randint(1, 256, (6, 5, 7, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = augment(images, torch.Generator().manual_seed(1))
    assert made.shape == (6, 2, 5, 7) and made.dtype == torch.float32
    for image, result in zip(images.permute(0, 3, 1, 2).float() / 255, made, strict=True):
        padded = torch.nn.functional.pad(image, (4, 4, 4, 4))
        crops = [padded[:, i : i + 5, j : j + 7] for i in range(9) for j in range(9)]
        assert any(torch.equal(result, crop) or torch.equal(result, crop.flip(2)) for crop in crops)


def test_augment_without_a_shift_flips_about_half() -> None:
    images = torch.arange(3, dtype=torch.uint8).view(1, 1, 3, 1).repeat(400, 1, 1, 1)
    flipped = augment(images, torch.Generator().manual_seed(0), shift=0)[:, 0, 0, 0] > 0
    assert 150 < flipped.sum() < 250


def test_an_epoch_shows_every_image_once_and_depends_on_its_seed() -> None:
    labels = torch.arange(10)
    images = torch.zeros(10, 32, 32, 3, dtype=torch.uint8)
    epochs = [torch.cat([batch for _, batch in Batches(images, labels, 4, seed)]) for seed in (0, 0, 1)]
    assert sorted(epochs[0].tolist()) == list(range(10)) and len(Batches(images, labels, 4, 0)) == 3
    assert torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[0], epochs[2])


def test_images_go_to_bytes_and_back_exactly(tiny: str) -> None:
    images = data.load(tiny)
    pixels, labels = as_bytes(images)
    assert pixels.shape == (12, 32, 32, 3) and pixels.dtype == torch.uint8 and labels is images.labels
    assert torch.equal(pixels.permute(0, 3, 1, 2).float() / 255, images.images)
    assert as_bytes(ImageSet(images.images))[1].tolist() == [0] * 12
