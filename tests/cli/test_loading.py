"""Loading of what the options of measuring name."""

import pytest

from infodiscard import InfodiscardError
from infodiscard.cli.loading import images_of, inputs_of, layers_of, load
from infodiscard.cli.options import Measuring


def test_images_come_in_the_size_of_the_networks(place):
    networks = load(["net.py:plain"], Measuring())
    images = images_of("npz:good.npz", networks, Measuring(samples=2))
    assert list(networks) == ["plain"] and len(images) == 2 and images.images.shape[2:] == (8, 8)
    assert layers_of(networks, images, Measuring()) == {"plain": ("conv1", "conv2")}
    assert layers_of(networks, images, Measuring(layers=["relu,conv1"])) == {"plain": ("conv1", "relu")}


def test_either_images_or_texts_are_named(place):
    networks = load(["net.py:plain"], Measuring(samples=1))
    images, options = inputs_of(networks, "npz:good.npz", None, False, Measuring(samples=1), ())
    assert len(images) == 1 and options.tau == "0.01"
    with pytest.raises(InfodiscardError, match="--data SPEC for images, or --text FILE"):
        inputs_of(networks, None, None, False, Measuring(), ())
    with pytest.raises(InfodiscardError, match="takes images, not text"):
        inputs_of(networks, None, place / "texts.txt", False, Measuring(), ())
