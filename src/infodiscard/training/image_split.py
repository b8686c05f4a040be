"""Training images of decoders: those to train on, and those held out to choose the epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..data import ImageSet
from ..data import load as load_data
from ..decoders.recipe import DecoderRecipe
from ..errors import InfodiscardError
from ..networks.network import Network


@dataclass(frozen=True)
class ImageSplit:
    """Images as bytes, and which of them are held out.

    Attributes:
        pixels: uint8, `N × C × H × W` in channels-last memory: a quarter of the memory that floats take.
        training: indices, in random order, int64.
        validation: indices of the others, int64.
        source: the spec that they were loaded from.
    """

    pixels: torch.Tensor
    training: torch.Tensor
    validation: torch.Tensor
    source: str

    @classmethod
    def of(cls, images: ImageSet, recipe: DecoderRecipe) -> ImageSplit:
        """Splits images at random, by the recipe's share and seed.

        Raises:
            InfodiscardError: there are fewer than two.
        """
        if len(images) < 2:
            raise InfodiscardError(
                f"'{images.source}' holds {len(images)} image; a decoder needs 2 or more, one of them to hold out."
            )
        pixels = images.images.mul(255).round_().to(torch.uint8).contiguous(memory_format=torch.channels_last)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(recipe.seed))
        held_out = min(len(images) - 1, max(1, round(recipe.validation_share * len(images))))
        return cls(pixels, order[held_out:], order[:held_out], images.source or "images")

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return tuple(self.pixels.shape[1:])

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Returns the images of these indices as float32 in [0, 1], `rows × C × H × W`."""
        return self.pixels[rows].float().div_(255)

    def digest(self) -> str:
        """SHA-256 of the images."""
        sha = hashlib.sha256(str(tuple(self.pixels.shape)).encode())
        sha.update(self.pixels.permute(0, 2, 3, 1).contiguous().numpy().data)
        return sha.hexdigest()


@dataclass(frozen=True)
class SplitBatches:
    """One pass over some images of a split.

    Attributes:
        split: the images.
        rows: which of them, indices.
        size: images per batch; the last may be smaller.
        seed: of their order; `None` to keep it.
    """

    split: ImageSplit
    rows: torch.Tensor
    size: int
    seed: int | None = None

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def __iter__(self) -> Iterator[torch.Tensor]:
        order = torch.arange(len(self.rows))
        if self.seed is not None:
            order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(self.seed))
        for part in order.split(self.size):
            yield self.split.take(self.rows[part])


def load_images(data: str | ImageSet, samples: int | None, network: Network, split: str) -> ImageSet:
    """Returns images of the size that the network takes.

    Args:
        data: the images, or their spec.
        samples: how many, from the first; `None` for all.
        network: for the size.
        split: `train` or `test`, for a spec that has both.

    Raises:
        InfodiscardError: they cannot be loaded, or have another size.
    """
    if isinstance(data, str):
        return load_data(data, samples, network.input_size, split)
    network.check_size(data.images.shape[2:])
    return data if samples is None else data.take(samples)
