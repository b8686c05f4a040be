"""Loading of networks and samples, and their measurement: what measure, compare-networks and check share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .. import data as datasets
from ..api.measure import carry, prepared
from ..api.specs import common_size
from ..core.settings import Settings
from ..data.coerce import coerce_inputs
from ..data.load import SizesDifferError
from ..errors import InfodiscardError
from ..measurement.execution import Execution
from ..measurement.prepared_network import PreparedNetwork
from ..results.store import holds_run
from ..zoo.huggingface import embedding_tau, takes_text, tokenizer_place
from .console import announce, fresh, interruptible
from .options import Measuring
from .parsing import load_networks, patterns

if TYPE_CHECKING:
    from ..api.run import Run
    from ..data import ImageSet, TextSet
    from ..networks.network import Network

USUAL = 224, 224
"""Height and width of images of several sizes, for networks that do not say what they take."""


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


def inputs_of(
    networks: Mapping[str, Network],
    data: str | None,
    text: Path | None,
    truncate: bool,
    options: Measuring,
    typed: Collection[str],
) -> tuple[ImageSet | TextSet, Measuring]:
    """Returns the images or texts, and the options, with the usual τ for texts if none was `typed`.

    Raises:
        InfodiscardError: both or neither are named, or they cannot be loaded.
    """
    if (data is None) == (text is None):
        raise InfodiscardError(
            "Give what to measure the networks on: --data SPEC for images, or --text FILE for language models."
        )
    if data is not None:
        return images_of(data, networks, options), options
    texts = texts_of(text, networks, options, truncate)
    return texts, options if "tau" in typed else tau_of(networks, options)


def images_of(
    data: str, networks: Mapping[str, Network], options: Measuring, size: tuple[int, int] | None = None
) -> ImageSet:
    """Returns the images that `data` names, in the size that the networks take, or `size` if any will do.

    Where that is not known, they stay as they are if they have one size, and become `USUAL` if they have several.

    Raises:
        InfodiscardError: they cannot be loaded, or the networks take different sizes.
    """
    if language := [name for name, network in networks.items() if takes_text(network)]:
        raise InfodiscardError(f"'{language[0]}' takes text, not images; measure it with --text FILE and no --data.")
    size = common_size(networks) or size
    load = partial(
        datasets.load, data, options.samples,
        split=options.split, crop=options.crop, keep_unreadable=True, annotations=options.annotations,
    )  # fmt: skip
    try:
        images = load(size=size)
    except SizesDifferError:
        typer.echo(
            f"Images are brought to {USUAL[0]}x{USUAL[1]}: they differ in size, and the network does not say which it "
            "takes; --size gives another."
        )
        images = load(size=USUAL)
    for note in images.notes:
        typer.echo(note, err=True)
    if images.unreadable:
        several = f" and {len(images.unreadable) - 1} more" if len(images.unreadable) > 1 else ""
        typer.echo(f"Left out: {next(iter(images.unreadable))}{several}, which cannot be read.", err=True)
    _say_how_many(data, len(images), "images", options.samples)
    return images


def texts_of(file: Path | None, networks: Mapping[str, Network], options: Measuring, truncate: bool) -> TextSet:
    """Returns the texts in a file, in the tokens of the networks; prints which were cut.

    Raises:
        InfodiscardError: they cannot be read, or the networks take no text, or split texts differently.
    """
    texts_by_network: dict[str, TextSet] = {}
    for name, network in networks.items():
        if not takes_text(network):
            raise InfodiscardError(f"'{name}' takes images, not text; give it --data SPEC and no --text.")
        texts_by_network[name] = datasets.text(file or "", tokenizer_place(network), options.samples, truncate=truncate)
    (first, texts), *others = texts_by_network.items()
    for name, other in others:
        if not texts.ids.equal(other.ids):
            raise InfodiscardError(
                f"The tokens of '{first}' and '{name}' are not the same, so that σ would belong to different parts of "
                "the texts; measure them in separate runs."
            )
    if texts.cut:
        typer.echo(
            f"{len(texts.cut)} of {len(texts)} texts are cut to what the model takes: {'; '.join(texts.cut)}.", err=True
        )
    _say_how_many(str(file), len(texts), "texts", options.samples)
    return texts


def _say_how_many(source: str, count: int, what: str, samples: int) -> None:
    """Prints that there are fewer samples than were asked for."""
    if count < samples:
        typer.echo(f"'{source}' holds {count} {what}, fewer than the {samples} of --samples; all are taken.", err=True)


def tau_of(networks: Mapping[str, Network], options: Measuring) -> Measuring:
    """Returns the options with the τ that is usual for noise on the first network's embeddings, and prints it."""
    name, network = next(iter(networks.items()))
    tau = f"{embedding_tau(network):.4g}"
    typer.echo(f"τ is {tau}, 0.01 of the variance of the embeddings of '{name}'; --tau gives another.")
    return replace(options, tau=tau)


def run_of(
    networks: Mapping[str, Network],
    images: ImageSet | TextSet,
    options: Measuring,
    callback: Callable[[Run], object] | None = None,
) -> Run:
    """Measures the networks into one run, in the directory that was given or in a fresh one; prints where.

    Args:
        networks: by name.
        images: or texts.
        options: as typed.
        callback: as for `infodiscard.measure`.

    Raises:
        InfodiscardError: something cannot be measured.
    """
    path = options.out or str(fresh(networks))
    given = replace(options, out=path).arguments() | {"callback": callback}
    with interruptible(path, named=options.out is not None):
        return announced(networks, images, **given)


def announced(networks: Mapping[str, Network], images: ImageSet | TextSet, **given: Any) -> Run:
    """Measures networks, and prints where the run goes once all has been checked; errors as for `infodiscard.measure`.

    Args:
        networks: by name.
        images: or texts.
        given: other arguments of `infodiscard.measure`, with `out` among them.
    """
    settings = Settings.of(**{name: value for name, value in given.items() if name in Settings.names()})
    execution = Execution(**{name: value for name, value in given.items() if name in Execution.names()})
    ready = prepared(networks, images, given.get("layers"), settings, execution, {})
    known = holds_run(given["out"])
    return carry(ready, execution, given["out"], lambda run: announce(run, known))


def layers_of(networks: Mapping[str, Network], images: ImageSet, options: Measuring) -> dict[str, tuple[str, ...]]:
    """Returns the layers of each network that would be measured, before anything is.

    Raises:
        InfodiscardError: a layer is unknown, or a network does not take the images.
    """
    inputs, chosen = coerce_inputs(images), patterns(options.layers)
    return {
        name: PreparedNetwork.prepare(name, network, inputs, chosen, options.settings(), options.device).layers
        for name, network in networks.items()
    }
