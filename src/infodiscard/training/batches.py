"""Augmented batches of training images, made from whole tensors at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ..data import ImageSet


@dataclass(frozen=True)
class Batches:
    """One epoch of augmented batches.

    Attributes:
        images: uint8, `N × H × W × C`, kept as bytes so that all of CIFAR-10 takes 150 MB.
        labels: int64, `N`.
        batch_size: images per batch; the last may be smaller.
        seed: of the order and the augmentation of this epoch.
    """

    images: torch.Tensor
    labels: torch.Tensor
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        shift = max(1, min(self.images.shape[1:3]) // 8)
        for rows in torch.randperm(len(self.images), generator=generator).split(self.batch_size):
            yield augment(self.images[rows], generator, shift), self.labels[rows]


def augment(images: torch.Tensor, generator: torch.Generator, shift: int = 4) -> torch.Tensor:
    """Shifts each image by up to `shift` pixels over zeros and flips half of them, each in its own way.

    For 32×32 pixels and a shift of 4 this is the augmentation of He et al. (2016, section 4.2).

    Args:
        images: uint8, `N × H × W × C`.
        generator: draws the shifts and flips.
        shift: pixels.

    Returns:
        float32 in [0, 1], `N × C × H × W` in channels-last memory.
    """
    count, height, width, _ = images.shape
    padded = F.pad(images, (0, 0, shift, shift, shift, shift))
    top, left = torch.randint(2 * shift + 1, (2, count, 1), generator=generator)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(flip, columns.flip(1), columns) + left
    rows = torch.arange(height) + top
    samples = torch.arange(count)[:, None, None]
    return padded[samples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float().div_(255)


def as_bytes(images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the images as uint8, `N × H × W × C`, a quarter of the memory, and the labels (zeros without any)."""
    labels = images.labels if images.labels is not None else torch.zeros(len(images), dtype=torch.int64)
    return images.images.mul(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous(), labels
