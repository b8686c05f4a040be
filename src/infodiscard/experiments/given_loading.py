"""Networks that a user gives to a study: loaded, and checked against each other and their images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..data import ImageSet
from ..data import load as load_data
from ..errors import InfodiscardError, first_line
from ..networks.network import Network, weights_hash
from ..zoo import load as load_network
from .datasets import DataFolder
from .given import BLOCK, Evidence, GivenNetwork
from .given_specs import Place, Request

EXAMINED = 500
"""Images that the accuracy of a network given is measured on."""
CHANCE = 1e-3
"""Probability with which a network that guesses is as accurate, above which the images are not taken for its own."""
LARGE = 64
"""Side in pixels above which a quarter of the images is enough for a first look."""
UNTRAINED = "epoch"
"""The role of networks that may know nothing yet, but for the last of them."""


def load_given(
    request: Request, data: DataFolder, out: Path, count: int, passes: int, tolerance: float, device: str = "cpu"
) -> Evidence:
    """Loads and checks the networks given to a study, and their images.

    Args:
        request: what was given.
        data: the folder of data sets.
        out: folder of the runs.
        count: images to measure; of networks that take large ones a quarter, at least one run's.
        passes: most passes for an image and layer.
        tolerance: at which a solve stops, nats/pixel.
        device: where to measure.

    Raises:
        InfodiscardError: a network cannot be loaded, or is for other images, sizes or classes than the others or the
            images.
    """
    networks = [_loaded(place) for place in request.places]
    size = _common_size(networks)
    outputs = [_outputs(each, size or (32, 32)) for each in networks]
    images = _fitting(networks, outputs, _images(request, networks[0], outputs[0], size, data))
    if request.images is not None:
        count = request.images
    elif size is not None and max(size) > LARGE:
        count = max(BLOCK, count // 4)
    if count > len(images):
        raise InfodiscardError(
            f"{count} images of '{images.source}' were asked for, and {len(images)} can be had; ask for no more."
        )
    named = _named(request.places, networks, images, outputs[0])
    return Evidence(request.study, named, images, count, request.layers, passes, tolerance, out, device)


def correct(network: Network, images: ImageSet) -> np.ndarray:
    """Returns whether each image is classified right: bool, `n`."""
    with torch.inference_mode():
        answers = [network.module(network.normalise(batch)).argmax(1) for batch in images.images.split(64)]
    return (torch.cat(answers) == images.known_labels()).numpy()


def _loaded(place: Place) -> Network:
    network = load_network(place.spec, place.weights)
    if network.mean is None or network.std is None:
        raise InfodiscardError(
            f"The normalisation of '{place.spec}' is not known; give a function, as FILE.py:FUNCTION, that returns an "
            "infodiscard.Network with its mean and std."
        )
    return network


def _common_size(networks: Sequence[Network]) -> tuple[int, int] | None:
    """Returns the size of the images that all networks take; `None` if any will do."""
    sizes = {each.input_size: each.name for each in networks if each.input_size is not None}
    if len(sizes) > 1:
        listed = " and ".join(f"'{name}' takes {height}×{width} pixels" for (height, width), name in sizes.items())
        raise InfodiscardError(f"Networks that a study compares take images of one size, but {listed}; give others.")
    return next(iter(sizes), None)


def _images(
    request: Request, network: Network, classes: int, size: tuple[int, int] | None, data: DataFolder
) -> ImageSet:
    """Returns the images: those named, or else those of the folder of data sets with so many classes."""
    if request.data is not None:
        return load_data(request.data, EXAMINED, size, "test")
    spec = data.of_classes(classes)
    if spec is None:
        raise InfodiscardError(
            f"'{network.name}' knows {classes} classes, and the folder of data sets has no images of so many; name the "
            "images that it is for, in a .toml file, as data = 'folder:DIR'."
        )
    images = load_data(spec, EXAMINED, None, "test")
    network.check_size(images.images.shape[-2:])
    return images


def _outputs(network: Network, size: tuple[int, int]) -> int:
    """Returns the number of logits of a classifier."""
    channels = max(len(network.mean or ()), 3 if len(network.mean or ()) == 1 else 0)
    try:
        with torch.inference_mode():
            output = network.module(torch.zeros(1, channels, *size))
    except (RuntimeError, ValueError, TypeError) as error:
        raise InfodiscardError(
            f"'{network.name}' cannot take images of {size[0]}×{size[1]} pixels ({first_line(error)}); give a network "
            "for such images."
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise InfodiscardError(f"'{network.name}' gives no logits, `batch × classes`; give a classifier.")
    return output.shape[1]


def _fitting(networks: Sequence[Network], outputs: Sequence[int], images: ImageSet) -> ImageSet:
    """Returns the images, labelled as the networks number their classes."""
    have = len(images.classes) or int(images.known_labels().max()) + 1
    for each, classes in zip(networks, outputs, strict=True):
        if classes != outputs[0]:
            raise InfodiscardError(
                f"Networks that a study compares know the same classes, but '{networks[0].name}' knows {outputs[0]} "
                f"and '{each.name}' {classes}; give others."
            )
    if outputs[0] == have:
        return images
    numbers = _numbers(images)
    if numbers is None or int(numbers.max()) >= outputs[0]:
        raise InfodiscardError(
            f"'{networks[0].name}' knows {outputs[0]} classes, but the images of '{images.source}' have {have}; give "
            "the images that it was trained for, or another network."
        )
    return replace(images, labels=numbers, classes=())


def _numbers(images: ImageSet) -> torch.Tensor | None:
    """Returns labels from the numbers that the names of classes begin with, as in `000_tench`; `None` without such."""
    found = [re.match(r"\d{3,}(?=[_. -])", name) for name in images.classes]
    if not found or not all(found):
        return None
    return torch.tensor([int(each[0]) for each in found if each])[images.known_labels()]


def _named(
    places: Sequence[Place], networks: Sequence[Network], images: ImageSet, classes: int
) -> tuple[GivenNetwork, ...]:
    """Returns the networks under names of their own, with their accuracies.

    Raises:
        InfodiscardError: one classifies no better than by chance, as one of another data set does.
    """
    made: list[GivenNetwork] = []
    last = max(place.number or 0 for place in places)
    for place, network in zip(places, networks, strict=True):
        right = correct(network, images)
        if (place.kind != UNTRAINED or place.number == last) and _by_chance(right, classes):
            raise InfodiscardError(
                f"'{network.name}' classifies {right.mean():.0%} of the images of '{images.source}' right, no better "
                "than by chance; it may be of another data set, or want another normalisation: give it the images that "
                "it was trained for."
            )
        pair = sum(each.place.role == place.role for each in made)
        name = (place.role if network.name == place.role else f"{place.role}: {network.name}") + (
            f" ({pair + 1})" if pair else ""
        )
        made.append(GivenNetwork(place, name, network, float(right.mean()), pair, weights_hash(network.module)))
    return tuple(made)


def _by_chance(right: np.ndarray, classes: int) -> bool:
    """Whether a network that guesses may well be as accurate."""
    from scipy import stats

    return float(stats.binom.sf(int(right.sum()) - 1, len(right), 1 / classes)) > CHANCE
