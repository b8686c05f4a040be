"""Splits of images: every image once, by the seed, exact as bytes."""

import pytest
import torch

from infodiscard.data import ImageSet
from infodiscard.decoders.recipe import DecoderRecipe
from infodiscard.errors import InfodiscardError
from infodiscard.training.image_split import ImageSplit, SplitBatches, load_images


def numbered(count: int) -> ImageSet:
    """Images whose pixels are their number."""
    pixels = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 3, 4, 5) / 255
    return ImageSet(pixels.clone(), source="numbered")


@pytest.mark.parametrize(("share", "held_out"), [(0.25, 5), (0.01, 1), (0.99, 19)])
def test_every_image_is_trained_on_or_held_out(share: float, held_out: int) -> None:
    images = numbered(20)
    split = ImageSplit.of(images, DecoderRecipe(validation_share=share))
    assert len(split.validation) == held_out and split.shape == (3, 4, 5)
    assert sorted([*split.training.tolist(), *split.validation.tolist()]) == list(range(20))
    assert torch.equal(split.take(split.training), images.images[split.training])
    other = ImageSplit.of(images, DecoderRecipe(validation_share=share, seed=1))
    assert not torch.equal(other.training, split.training) and other.digest() == split.digest()
    assert ImageSplit.of(numbered(19), DecoderRecipe()).digest() != split.digest()


def test_a_single_image_cannot_be_split() -> None:
    with pytest.raises(InfodiscardError, match="'numbered' holds 1 image; a decoder needs 2 or more"):
        ImageSplit.of(numbered(1), DecoderRecipe())


def test_batches_show_every_image_once_in_an_order_of_their_seed() -> None:
    split = ImageSplit.of(numbered(20), DecoderRecipe())

    def shown(seed: int | None) -> list[int]:
        batches = SplitBatches(split, split.training, 8, seed)
        parts = [(part[:, 0, 0, 0] * 255).round().int().tolist() for part in batches]
        assert len(batches) == len(parts) == 3 and [len(part) for part in parts] == [8, 8, 3]
        return [number for part in parts for number in part]

    assert shown(None) == split.training.tolist() and sorted(shown(1)) == sorted(shown(None))
    assert shown(1) == shown(1) != shown(2)


def test_images_are_given_or_loaded_in_the_networks_size(network) -> None:  # type: ignore[no-untyped-def]
    images = ImageSet(torch.rand(4, 3, 12, 12))
    assert load_images(images, None, network, "train") is images and len(load_images(images, 3, network, "test")) == 3
    assert load_images("demo", 2, network, "train").images.shape == (2, 3, 12, 12)
    with pytest.raises(InfodiscardError, match="takes inputs of 12×12 pixels"):
        load_images(numbered(4), None, network, "train")
