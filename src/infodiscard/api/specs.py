"""Networks and data as users name them: by specs such as "demo" and "folder:pictures", or as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from torch import nn

from .. import data as datasets
from .. import zoo
from ..errors import InfodiscardError
from ..networks.network import Network
from ..networks.preserve import unwrap
from ..zoo.default_layers import default_layers
from ..zoo.huggingface import takes_text

SAMPLES = 16
"""Samples that are taken of a spec of data, from the first, where no number is given."""

LIBRARIES = ("torchvision", "timm", "transformers", "infodiscard")
"""Whose networks have layers of known names."""


def networks_of(networks: Any) -> Any:
    """Returns networks, of which some may be specs, as a dict by name; what is neither stays as it is.

    A module of a library that the zoo knows gets its usual layers.

    Args:
        networks: a spec, a module or a `Network`; or several, by name or in a list.

    Raises:
        InfodiscardError: a spec names no network, or two in a list have one name.
    """
    if isinstance(networks, Mapping):
        return {name: _network(value, str(name)) for name, value in networks.items()}
    alone = isinstance(networks, str | PathLike | nn.Module | Network) or not isinstance(networks, Iterable)
    named: dict[str, Any] = {}
    for value in [networks] if alone else list(networks):
        network = _network(value, None)
        if not isinstance(network, Network):
            return networks
        network.check()
        if network.name in named:
            raise InfodiscardError(f"Two networks are named '{network.name}'; give them by name, as in {{'first': …}}.")
        named[network.name] = network
    return named


def _network(value: Any, name: str | None) -> Any:
    """Returns a network under a name of its own, if it is one or the spec of one."""
    if isinstance(value, str | PathLike):
        return zoo.load(value, name=name)  # type: ignore[arg-type]
    if isinstance(value, nn.Module):
        module = unwrap(value)
        known = type(module).__module__.partition(".")[0] in LIBRARIES
        return Network(value, name or type(value).__name__, default_layers=default_layers(module) if known else ())
    return value


def data_of(data: Any, networks: Any) -> Any:
    """Returns the images that a spec names, the first `SAMPLES` in the networks' size; other data as it is.

    Args:
        data: as for `infodiscard.measure`.
        networks: by name, as `networks_of` returns them.

    Raises:
        InfodiscardError: there are no such images, or a network takes text.
    """
    if not isinstance(data, str | PathLike):
        return data
    known = {name: each for name, each in networks.items() if isinstance(each, Network)} if networks else {}
    if language := [name for name, network in known.items() if takes_text(network)]:
        raise InfodiscardError(f"'{language[0]}' takes text, not images; give what infodiscard.data.text returns.")
    return datasets.load(data, SAMPLES, common_size(known), keep_unreadable=True)  # type: ignore[arg-type]


def common_size(networks: Mapping[str, Network]) -> tuple[int, int] | None:
    """Returns the (height, width) that all the networks take; `None` if any size will do.

    Raises:
        InfodiscardError: they take different ones.
    """
    sizes = {name: network.input_size for name, network in networks.items() if network.input_size is not None}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"'{name}' {height}x{width}" for name, (height, width) in sizes.items())
        raise InfodiscardError(
            f"The networks take images of different sizes ({listed}), and a run holds images of one; give one --size, "
            "or measure them apart."
        )
    return next(iter(sizes.values()), None)
