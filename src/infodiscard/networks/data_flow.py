"""Data flow in a network: which of its modules' outputs are computed from which, as one forward pass shows.

What autograd notes of the pass is followed, so that sums, concatenations and other plain functions between modules are
seen through, and skip connections and branches are found in networks of any kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ..errors import InfodiscardError
from .addresses import Address, located
from .outputs import choose, default_tensor
from .preserve import preserved
from .probe import Call, arguments
from .raised import network_errors

MOST = 48
"""Stages of a network, beside the layers asked for: of one with more, whole blocks are taken for stages."""

INPUT = "input"

Value = tuple[Any, int]
"""A tensor, as autograd tells it from others, in place or not: the function that made it, the number of its output."""


class Stage(NamedTuple):
    """A part of a network: its name, and the places of the stages that it is computed from."""

    name: str
    sources: tuple[int, ...]


@dataclass
class _Pass:
    """What a pass made: the values that are the input, the names of those that are outputs, and of those asked for."""

    inputs: list[Value] = field(default_factory=list)
    outputs: dict[Value, list[str]] = field(default_factory=dict)
    layers: dict[Value, list[str]] = field(default_factory=dict)


@dataclass
class _Node:
    """Outputs in a row that nothing else is between, as they are called, and the values that the first is made from."""

    names: list[str]
    measured: bool
    sources: list[int]


def stages(model: nn.Module, example: Call, layers: Sequence[str]) -> tuple[Stage, ...]:
    """Returns the stages of a network, each after those that it is computed from; the first is the input.

    A stage is one of `layers`, which bears its address, or the output of another module, named as the outermost module
    whose output it is. Those without a branch between them are one stage, "first … last". Modules are taken at the
    greatest depth at which there are at most MOST.

    Args:
        model: the network.
        example: one input, `1 × …` each.
        layers: addresses.

    Returns:
        Nothing, `()`, if autograd does not see all of `layers`, as in a network that leaves it.
    """
    with preserved(model) as plain:
        try:
            seen = _passed(plain, example, layers)
        except InfodiscardError:  # the network, or a layer, can only be read without
            return ()
    if sum(map(len, seen.layers.values())) < len(set(layers)):
        return ()
    deepest = max((_depth(name) for names in seen.outputs.values() for name in names), default=0)
    for level in range(deepest, -1, -1):
        found = _joined(_nodes(seen, level))
        if len(found) - len(set(layers)) <= MOST:
            break
    return tuple(found)


def _passed(model: nn.Module, example: Call, layers: Sequence[str]) -> _Pass:
    """Returns what a pass made of the outputs of all modules.

    Raises:
        InfodiscardError: the network raised something, or an address means no feature.
    """
    seen, modules = _Pass(), dict(model.named_modules())
    wanted: dict[tuple[str, int], list[tuple[str, tuple[str, ...]]]] = {}
    ask: dict[str, bool] = {}
    for text in layers:
        address = Address.parse(text, modules)
        name, entry, more = located(address, modules)
        wanted.setdefault((name, address.call or 0), []).append((text, entry))
        ask |= more
    args, kwargs = tree_map_only(torch.Tensor, _followed, arguments(example))
    given = [value for value in (*args, *kwargs.values()) if value.grad_fn is not None]
    seen.inputs += [(value.grad_fn, value.output_nr) for value in given]
    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(_note(name, wanted, seen)).remove)
        with network_errors(model):
            model(*args, **kwargs, **ask)
    return seen


def _followed(value: torch.Tensor) -> torch.Tensor:
    """Returns a copy that autograd follows, and that may be written to in place."""
    return value.requires_grad_().clone() if value.is_floating_point() else value


def _note(name: str, wanted: Mapping[tuple[str, int], list[tuple[str, tuple[str, ...]]]], seen: _Pass) -> Any:
    """Returns a hook that notes each output of a module, and of which layers it is the feature."""
    calls, thread = 0, get_ident()

    def note(_module: nn.Module, _args: Any, output: Any) -> None:
        nonlocal calls
        if get_ident() != thread:  # a pass of the user's own
            return
        if name and (value := _value(default_tensor(output))) is not None:
            seen.outputs.setdefault(value, []).append(f"{name}#{calls}" if calls else name)
        for text, entry in wanted.get((name, calls), ()):
            if (value := _value(choose(output, entry, text))) is not None:
                seen.layers.setdefault(value, []).append(text)
                seen.outputs.setdefault(value, [])
        calls += 1

    return note


def _value(tensor: torch.Tensor | None) -> Value | None:
    """Returns what autograd knows of a tensor; nothing of one that does not depend on the input."""
    return None if tensor is None or tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr)


def _nodes(seen: _Pass, level: int) -> list[_Node]:
    """Returns the input, the layers, and the outputs of modules up to a depth, in an order that their sources allow."""
    kept = {value: names for value, names in seen.outputs.items() if value not in seen.inputs}
    kept = {
        value: names
        for value, names in kept.items()
        if value in seen.layers or min(map(_depth, names), default=0) <= level
    }
    sources = {value: _sources(value, {*kept, *seen.inputs}) for value in kept}
    nodes, places = [_Node([INPUT], True, [])], dict.fromkeys(seen.inputs, 0)
    for text in (text for value in seen.inputs for text in seen.layers.get(value, ())):
        nodes.append(_Node([text], True, [0]))
    left = list(kept)
    while left:
        value = next(value for value in left if all(source in places for source in sources[value]))
        left.remove(value)
        before = sorted({places[source] for source in sources[value]})
        for text in seen.layers.get(value, ()):  # layers of one feature follow each other
            nodes.append(_Node([text], True, before))
            before = [len(nodes) - 1]
        if value not in seen.layers:
            nodes.append(_Node([_outermost(kept[value])], False, before))
        places[value] = len(nodes) - 1
    return nodes


def _sources(value: Value, kept: set[Value]) -> list[Value]:
    """Returns the nearest of those values from which one is computed."""
    found, seen, left = [], set(), list(value[0].next_functions)
    while left:
        each = left.pop()
        if each[0] is None or each in seen:
            continue
        seen.add(each)
        if each in kept:
            found.append(each)
        else:
            left += each[0].next_functions
    return found


def _outermost(names: Sequence[str]) -> str:
    """Returns the outermost of the modules that return an output: `layer1`, whose last block is `layer1.2`."""
    inner = names[0]
    return min((name for name in names if inner == name or inner.startswith(f"{name}.")), key=len)


def _joined(nodes: Sequence[_Node]) -> list[Stage]:
    """Returns stages: nodes that were not asked for, and have no branch between them, in one."""
    users = [sum(place in node.sources for node in nodes) for place in range(len(nodes))]
    joined: list[_Node] = []
    places: list[int] = []
    for node in nodes:
        before = node.sources[0] if len(node.sources) == 1 else None
        if before is not None and not node.measured and users[before] == 1 and not nodes[before].measured:
            joined[places[before]].names += node.names
            places.append(places[before])
        else:
            places.append(len(joined))
            joined.append(_Node([*node.names], node.measured, sorted({places[source] for source in node.sources})))
    return [Stage(_named(node.names), tuple(node.sources)) for node in joined]


def _named(names: Sequence[str]) -> str:
    """Returns what stages in a row are called: `layer1.0.conv1 … bn2`."""
    first, last = names[0], names[-1]
    block = first.rpartition(".")[0]
    if first.startswith(f"{last}.") or len(names) == 1:  # the last is the whole that the first is the beginning of
        return last
    return f"{first} … {last.removeprefix(f'{block}.') if block else last}"


def _depth(name: str) -> int:
    return name.count(".") + 1
