"""From the options of measuring to a run: what measure, compare-networks and check have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from .arguments import common_size, load_networks
from .options import Measuring
from .support import announce, fresh, interruptible

if TYPE_CHECKING:
    from ..data import ImageSet
    from ..network import Network
    from ..run import Run


def load(specs: list[str], options: Measuring) -> dict[str, Network]:
    """Returns the networks by name; errors as for `load_networks`."""
    return load_networks(
        specs,
        options.weights,
        options.name,
        seed=options.seed,
        allow_random=options.random_weights,
        **options.space,
    )


def images_of(
    data: str, networks: Mapping[str, Network], options: Measuring, size: tuple[int, int] | None = None
) -> ImageSet:
    """Returns the images that `data` names, in the size that the networks take, or `size` if any will do.

    Raises:
        InfodiscardError: they cannot be loaded, or the networks take different sizes.
    """
    from .. import data as datasets

    size = common_size(networks) or size
    images = datasets.load(data, options.samples, size, options.split, options.crop, keep_unreadable=True)
    if images.unreadable:
        several = f" and {len(images.unreadable) - 1} more" if len(images.unreadable) > 1 else ""
        typer.echo(f"Left out: {next(iter(images.unreadable))}{several}, which cannot be read.", err=True)
    return images


def run_of(networks: Mapping[str, Network], images: ImageSet, options: Measuring) -> Run:
    """Measures the networks into one run, in the directory that was given or in a fresh one; says where.

    Raises:
        InfodiscardError: something cannot be measured.
    """
    from ..measure import measure

    path = options.out or str(fresh(networks))
    announce(path)
    with interruptible(path, given=options.out is not None):
        return measure(networks, images, **replace(options, out=path).arguments())


def layers_of(networks: Mapping[str, Network], images: ImageSet, options: Measuring) -> dict[str, tuple[str, ...]]:
    """Returns the layers of each network that would be measured, before anything is.

    Raises:
        InfodiscardError: a layer is unknown, or a network does not take the images.
    """
    from ..inputs import coerce_inputs
    from ..job import Job

    inputs, given = coerce_inputs(images), options.arguments()
    settings = [given[name] for name in ("layers", "cap", "device", "precision")]
    return {name: Job.prepare(name, network, inputs, *settings).layers for name, network in networks.items()}
