"""Addresses of layers, by names and patterns.

A layer is addressed by its module's name, as in `named_modules()`:

    layer1.0.conv1        a module that is called once in a forward pass
    layer1.0.relu#1       the second call of a module that is called more than once
    encoder[1]            an entry of an output that is a tuple or a dict: `[1]`, `[last_hidden_state]`, `[0][key]`
    output                the network's own output
    hidden_states[3]      what a transformer returns under that name if it is asked for `output_hidden_states`
    layer*                a pattern: `*` and `?` stay within one level of the name, `**` crosses levels

A name that a module has exactly, whatever its characters, means that module before anything else.
Without an explicit entry, a tuple or dict stands for its `last_hidden_state` if it has one, else for its first floating
tensor.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..errors import InfodiscardError, nearest, quoted
from .preserve import unwrap

OUTPUT, HIDDEN = "output", "hidden_states"
_ENTRY = r"\[([^\[\]]+)\]"
_BEHIND = re.compile(rf"(#(?P<call>\d+))?(?P<entry>({_ENTRY})*)")


@dataclass(frozen=True)
class Layer:
    """One module of a network, as seen in a forward pass.

    Attributes:
        name: its address.
        type: the class of the module.
        shape: of the feature without the batch dimension; `None` if the output holds no floating tensor.
        calls: how often it is called in one forward pass.
        places: place of each of these calls in the execution order of all calls.
    """

    name: str
    type: str
    shape: tuple[int, ...] | None
    calls: int
    places: tuple[int, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Address:
    """A parsed layer address; `call` is `None` where the module is called once."""

    module: str
    call: int | None
    entry: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, modules: Container[str] = ()) -> Address:
        """Parses an address, which may begin with the name of one of `modules`, whatever characters that has.

        Raises:
            InfodiscardError: it is malformed.
        """
        address = cls.literal(text, modules) or cls._split(text, _marks(text)[0])
        if address is None:
            raise InfodiscardError(
                f"'{text}' is not a layer address; write the module's name, then #CALL if it is called more than once, "
                "then [ENTRY] if its output is a tuple or dict."
            )
        return address

    @classmethod
    def literal(cls, text: str, modules: Container[str]) -> Address | None:
        """Parses an address that begins with the name of one of `modules`, the longest of them; `None` if none does."""
        found = (cls._split(text, end) for end in reversed(_marks(text)) if text[:end] in modules)
        return next((address for address in found if address is not None), None)

    @classmethod
    def _split(cls, text: str, end: int) -> Address | None:
        """Parses an address whose module's name ends there."""
        behind = _BEHIND.fullmatch(text, end)
        if behind is None or not end:
            return None
        call = None if behind["call"] is None else int(behind["call"])
        return cls(text[:end], call, tuple(re.findall(_ENTRY, behind["entry"])))


def _marks(text: str) -> list[int]:
    """Returns where a module's name may end in an address."""
    return [*(match.start() for match in re.finditer(r"[#\[\]]", text)), len(text)]


def located(address: Address, modules: Mapping[str, nn.Module]) -> tuple[str, tuple[str, ...], dict[str, bool]]:
    """Returns the module that an address means, the entry of its output, and what to ask a forward pass for besides."""
    if address.module == HIDDEN and HIDDEN not in modules:
        return "", (HIDDEN, *address.entry), {"output_hidden_states": True}
    own = address.module == OUTPUT and OUTPUT not in modules
    return "" if own else address.module, address.entry, {}


def resolve(
    layers: Sequence[Layer], wanted: Sequence[Any], network: str, modules: Mapping[str, nn.Module] | None = None
) -> tuple[str, ...]:
    """Converts names, patterns and modules to addresses, in execution order, each once.

    A pattern, or a module, that is called more than once stands for all its calls.

    Args:
        layers: what `list_layers` returned.
        wanted: names, addresses, patterns, or modules of the network.
        network: its name, for messages.
        modules: all modules of the network by name, where it is at hand.

    Raises:
        InfodiscardError: no layer matches one of them, or a bare name means a module that is called more than once.
    """
    known, modules = {layer.name: layer for layer in layers}, modules or {}
    addresses: dict[str, tuple[int, str]] = {}  # → its place in the execution order
    for each in wanted:
        for layer, text, call in _meant(each, known, network, modules):
            addresses[text] = (layer.places[call] if layer.places else layers.index(layer)), text
    return tuple(sorted(addresses, key=addresses.__getitem__))


Meant = tuple[Layer, str, int]
"""A layer, the address of one of its calls, and the number of that call."""


def _meant(wanted: Any, known: Mapping[str, Layer], network: str, modules: Mapping[str, nn.Module]) -> list[Meant]:
    """Returns what a name, an address, a pattern or a module means."""
    if isinstance(wanted, nn.Module):
        return _calls(_called(_name(wanted, network, modules), known, network, modules), known)
    if not isinstance(wanted, str):
        raise InfodiscardError(
            f"layers holds {quoted(wanted)}; give names, patterns or modules of '{network}', such as "
            f"{nearest('layer', list(known))}."
        )
    names = known.keys() | modules.keys()
    if _is_pattern(wanted, names):
        matches = [layer for layer in known.values() if layer.shape is not None and _matches(wanted, layer.name)]
        if not matches:
            raise InfodiscardError(
                f"No layer of '{network}' matches '{wanted}'; its layers include {nearest(wanted, list(known))}. "
                "'*' stays within one level of a name, '**' crosses levels."
            )
        return [each for layer in matches for each in _calls(layer, known)]
    address = Address.parse(wanted, names)
    layer, call = _called(address.module, known, network, modules), address.call
    if call is None and layer.calls > 1:
        raise InfodiscardError(
            f"Layer '{layer.name}' of '{network}' is called {layer.calls} times in a forward pass; name one call, from "
            f"'{layer.name}#0' to '{layer.name}#{layer.calls - 1}'."
        )
    if call is not None and call >= layer.calls:
        raise InfodiscardError(
            f"Layer '{layer.name}' of '{network}' is called {layer.calls} times, so '#{call}' does not exist; "
            f"the last is '#{layer.calls - 1}'."
        )
    place, text, number = _calls(layer, known)[call or 0]
    return [(place, text + "".join(f"[{key}]" for key in address.entry), number)]


def _name(module: nn.Module, network: str, modules: Mapping[str, nn.Module]) -> str:
    """Returns the name of a module within its network."""
    name = next((name for name, each in modules.items() if each is unwrap(module)), None)
    if name is None:
        raise InfodiscardError(
            f"layers holds a {type(module).__name__} that is no module of '{network}'; give one of its own, or a name."
        )
    return name or OUTPUT


def _called(name: str, known: Mapping[str, Layer], network: str, modules: Mapping[str, nn.Module]) -> Layer:
    """Returns the layer of that name."""
    if name in known:
        return known[name]
    if name in modules:
        raise InfodiscardError(
            f"Layer '{name}' of '{network}' is not called in a forward pass, so there is nothing to measure: it is not "
            "used, or by its forward() or its weights alone; call the module itself, or name another layer."
        )
    raise InfodiscardError(f"'{network}' has no layer '{name}'; the nearest are {nearest(name, list(known))}.")


def _calls(layer: Layer, known: Container[str]) -> list[Meant]:
    """Returns all calls of a layer, each with an address that is no other layer's name."""
    if layer.calls == 1:
        return [(layer, layer.name, 0)]
    calls = []
    for number in range(layer.calls):
        digits = str(number)
        while f"{layer.name}#{digits}" in known:
            digits = f"0{digits}"
        calls.append((layer, f"{layer.name}#{digits}", number))
    return calls


def _is_pattern(text: str, names: Collection[str]) -> bool:
    """Whether a text has wildcards, and they are not those of a module's own name."""
    return any(mark in text for mark in "*?") and Address.literal(text, names) is None


def _matches(pattern: str, name: str) -> bool:
    """Whether a pattern means a layer; a hidden state, which some module has made already, only where it says so."""
    if name.startswith(f"{HIDDEN}[") and not pattern.startswith(HIDDEN):
        return False
    return _regex(pattern).fullmatch(name) is not None


def _regex(pattern: str) -> re.Pattern[str]:
    """Converts a pattern to a regular expression: `**` crosses levels, `*` and `?` do not."""
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    table = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    return re.compile("".join(table.get(part, re.escape(part)) for part in parts), re.DOTALL)
