"""List of a network's layers, also where no input is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import Any

import torch
from torch import nn

from .. import zoo
from ..errors import InfodiscardError, quoted
from ..networks.addresses import Layer
from ..networks.network import Network
from ..networks.preserve import unwrap
from ..networks.probe import Call
from ..networks.probe import list_layers as layers_on
from ..zoo import huggingface

SIDES, STEPS = (224, 32, 64, 28, 96, 299, 384), (256, 16, 1024)
"""Sides of images, and lengths of series, that are tried where a network does not say what it takes."""


def list_layers(network: nn.Module | Network | str, example: Call | None = None) -> list[Layer]:
    """Lists a network's layers in execution order: by when their (first) output is ready.

    Args:
        network: any network, or its spec.
        example: one or more inputs as the module takes them, `batch × …`; of a network with several, a tuple, or a dict
            by their names. By default one of zeros, in the size that the network states or else in a usual one.

    Returns:
        One `Layer` per module that is called, the network itself last, as `output` (unless a module bears that name);
        and one per hidden state, where a transformer returns such.

    Raises:
        InfodiscardError: the network is in training mode, raises something when it is given the example, or takes none
            of the usual ones.
    """
    if isinstance(network, str | PathLike):
        network = zoo.load(network, allow_random=True)  # type: ignore[arg-type]
    if isinstance(network, nn.Module):
        network = Network(network, type(network).__name__)
    if not isinstance(network, Network):
        raise InfodiscardError(f"network was {quoted(network)}; give a torch.nn.Module, a Network or a spec.")
    network.check()
    return layers_on(network.module, example_of(network)[0] if example is None else example)


def example_of(network: Network) -> tuple[Call, str]:
    """Returns an input on which layers can be listed, of zeros or of a few tokens, and what it is in words.

    Raises:
        InfodiscardError: the network is in training mode, or takes none of those that are tried.
    """
    if huggingface.takes_text(network):
        return huggingface.example(network), f"{huggingface.EXAMPLE} tokens"
    tried = []
    for shape in _shapes(network):
        call = torch.zeros(1, *shape, dtype=_dtype(network.module))
        if network.input_size is not None:
            return call, "×".join(map(str, shape))
        try:
            layers_on(network.module, call)
        except InfodiscardError as error:
            if "training mode" in str(error):
                raise
            tried.append("×".join(map(str, shape)))
        else:
            return call, "×".join(map(str, shape))
    raise InfodiscardError(
        f"The input size of '{network.name}' is not known, and it takes none of {', '.join(tried)}; give it as --size "
        "(--size 48x48), in Python as input_size of a Network or by an example."
    )


def _shapes(network: Network) -> Iterator[tuple[int, ...]]:
    """Yields shapes of an input that a network may take, by what it states and by its first layer with weights."""
    first: Any = next((each for each in unwrap(network.module).modules() if _dims(each) is not None), None)
    dims = 2 if network.mean is not None or network.input_size is not None else _dims(first)
    channels = getattr(first, "in_channels", None) or 3
    channels = len(network.mean) if network.mean is not None and len(network.mean) > 1 else channels
    if network.input_size is not None:
        yield (channels, *network.input_size)
    elif dims == 0:
        yield (first.in_features,)
        yield (8, first.in_features)
    elif dims == 1:
        yield from ((channels, length) for length in STEPS)
    else:
        yield from ((channels, side, side) for side in SIDES)


def _dims(module: Any) -> int | None:
    """Returns over how many dimensions a layer with weights goes; `None` of others."""
    kinds = ((nn.Linear, 0), (nn.Conv1d, 1), (nn.Conv2d, 2))
    return next((dims for kind, dims in kinds if isinstance(module, kind)), None)


def _dtype(module: nn.Module) -> torch.dtype:
    return next((each.dtype for each in module.parameters() if each.is_floating_point()), torch.float32)
