"""Evaluation of trained networks on held-out images."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ..data import ImageSet
from ..data import load as load_data
from ..networks.network import Network
from ..zoo.autoencoder import AutoEncoder
from .recipe import Recipe


def accuracy(network: Network, images: ImageSet, batch_size: int = 256) -> float:
    """Returns the share of images that the network classifies as labelled, 0 … 1.

    Raises:
        InfodiscardError: they have no labels.
    """
    pixels, labels = images.images, images.known_labels()
    correct = 0
    with torch.inference_mode():
        for batch, right in zip(pixels.split(batch_size), labels.split(batch_size), strict=True):
            correct += int((network.module(network.normalise(batch)).argmax(1) == right).sum())
    return correct / len(images)


def reconstruction_error(network: Network, images: ImageSet, batch_size: int = 256) -> float:
    """Returns an auto-encoder's mean squared error per unit of its normalised input."""
    total = 0.0
    with torch.inference_mode():
        for batch in images.images.split(batch_size):
            inputs = network.normalise(batch)
            total += F.mse_loss(network.module(inputs), inputs).item() * len(batch)
    return total / len(images)


def evaluate(network: Network, images: ImageSet | None) -> dict[str, float]:
    """Returns a classifier's `accuracy` or an auto-encoder's `mse`; nothing without images."""
    if images is None:
        return {}
    if isinstance(network.module, AutoEncoder):
        return {"mse": reconstruction_error(network, images)}
    return {"accuracy": accuracy(network, images)}


def load_held_out(spec: str | None, recipe: Recipe, samples: int | None, network: Network) -> ImageSet | None:
    """Returns the images that a trained network is evaluated on; load them before training, so that faults show early.

    Args:
        spec: of the images; `None` for the test split of the recipe's data, where there is one.
        recipe: of the training.
        samples: how many; `None` for all.
        network: what is trained.

    Raises:
        InfodiscardError: they cannot be loaded, or a classifier is to be evaluated on images without labels.
    """
    spec = spec or (recipe.data if recipe.data.partition(":")[0] in ("cifar10", "cub") else None)
    if spec is None:
        return None
    images = load_data(spec, samples, network.input_size, "test", recipe.crop if spec.startswith("cub:") else None)
    if not isinstance(network.module, AutoEncoder):
        images.known_labels()
    return images
