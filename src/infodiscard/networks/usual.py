"""Choice of layers: those that the user names, else a network's usual ones, which are found for any network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from ..errors import InfodiscardError, nearest
from .addresses import HIDDEN, OUTPUT, Layer, resolve

FEW, MANY = 4, 8
"""Parts below which the largest is looked into, and above which those that end a resolution are enough."""

SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
"""Modules that hand on what they are given, outside training."""


def choose_layers(
    layers: Sequence[Layer],
    wanted: Any,
    usual: Sequence[str],
    network: str,
    modules: Mapping[str, nn.Module] | None = None,
) -> tuple[str, ...]:
    """Converts the layers that the user named, or else the network's usual ones, to addresses, as `resolve` does.

    Args:
        layers, network, modules: as for `resolve`.
        wanted: names, addresses, patterns or modules, or one of these; none of them for the usual ones.
        usual: the network's own; where it has none, `usual_layers` finds them.

    Raises:
        InfodiscardError: as `resolve` does; or the network has no layer that could be measured.
    """
    alone = isinstance(wanted, str | nn.Module) or not isinstance(wanted, Iterable | None)
    patterns = ([wanted] if alone else [] if wanted is None else list(wanted)) or list(usual)
    if chosen := resolve(layers, patterns, network, modules) if patterns else usual_layers(layers, modules or {}):
        return chosen
    raise InfodiscardError(
        f"No layers were given for '{network}', and none of it returns floats; its layers include "
        f"{nearest('layer', [layer.name for layer in layers])}."
    )


def usual_layers(layers: Sequence[Layer], modules: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Returns the addresses that are measured of a network of which nothing else is known, in execution order.

    They are the children of its top level that carry spatial features (more than one place: pixels, tokens, steps), and
    its output. A child that carries none, but holds such, stands for these; so does the largest one where there are
    hardly any others. Of many, those count that end a resolution, or else a quarter of the depth. A network without
    spatial features has all its children.

    Args:
        layers: what `list_layers` returned.
        modules: all modules of the network by name, where they are at hand.
    """
    tree = _Tree(layers, modules)
    trunk = list(tree.spatial("")) or tree.children.get("", [])
    while 0 < len(trunk) < FEW and (inner := max((list(tree.inside(name)) for name in trunk), key=len)):
        place = next(place for place, name in enumerate(trunk) if inner == list(tree.inside(name)))
        trunk[place : place + 1] = inner
    trunk = sorted(dict.fromkeys(trunk), key=lambda name: tree.known[name].places or (0,))
    calls = [(tree.known[name], call) for name in trunk for call in range(tree.known[name].calls)]
    calls.sort(key=lambda each: each[0].places[each[1]] if each[0].places else 0)
    chosen = _thinned(calls)
    output = next((layer for layer in layers if layer.name == OUTPUT and layer.shape is not None), None)
    if output is not None and chosen and chosen[-1][0].shape == output.shape:
        chosen.pop()  # it is the output, or nearly so
    addresses = [layer.name if layer.calls == 1 else f"{layer.name}#{call}" for layer, call in chosen]
    return (*addresses, *([] if output is None else [OUTPUT]))


class _Tree:
    """The layers that have features, by the module that they are in.

    Attributes:
        known: name → layer, of those that have a feature of their own.
        children: name → layers right below, where modules that are not called themselves do not count; "" is the top.
    """

    def __init__(self, layers: Sequence[Layer], modules: Mapping[str, nn.Module]) -> None:
        self.known = {
            layer.name: layer
            for layer in layers
            if layer.shape is not None
            and layer.name != OUTPUT
            and not layer.name.startswith(f"{HIDDEN}[")
            and not isinstance(modules.get(layer.name), SAME)
        }
        self.children: dict[str, list[str]] = {}
        for name in self.known:
            above = name
            while above and (above := above.rpartition(".")[0]) not in self.known:
                pass
            self.children.setdefault(above, []).append(name)

    def spatial(self, name: str) -> Iterator[str]:
        """Yields the layers below that carry spatial features; of one that does not, those in it."""
        for child in self.children.get(name, []):
            if _is_spatial(self.known[child]):
                yield child
            else:
                yield from self.spatial(child)

    def inside(self, name: str) -> Iterator[str]:
        """Yields what a layer consists of, as far as it is like it: of a spatial one, its spatial parts."""
        yield from self.spatial(name) if _is_spatial(self.known[name]) else self.children.get(name, [])


def _is_spatial(layer: Layer) -> bool:
    shape = layer.shape or ()
    return len(shape) > 1 and math.prod(shape[1:]) > 1


Call = tuple[Layer, int]
"""A layer and the number of one of its calls."""


def _thinned(calls: list[Call]) -> list[Call]:
    """Returns at most `MANY` of the calls: those that end a resolution, or a quarter of the depth."""
    if len(calls) <= MANY:
        return calls
    ends = [one for one, other in pairwise(calls) if (one[0].shape or ())[1:] != (other[0].shape or ())[1:]]
    ends.append(calls[-1])
    if FEW - 1 <= len(ends) <= MANY:
        return ends
    return [calls[0], *(calls[len(calls) * quarter // 4 - 1] for quarter in (1, 2, 3, 4))]
