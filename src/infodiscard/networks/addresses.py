"""Addresses of layers, by names and patterns.

A layer is addressed by its module's name, as in `named_modules()`:

    layer1.0.conv1        a module that is called once in a forward pass
    layer1.0.relu#1       the second call of a module that is called more than once
    encoder[1]            an entry of an output that is a tuple or a dict: `[1]`, `[last_hidden_state]`, `[0][key]`
    output                the network's own output
    hidden_states[3]      what a transformer returns under that name if it is asked for `output_hidden_states`
    layer*                a pattern: `*` and `?` stay within one level of the name, `**` crosses levels

Without an explicit entry, a tuple or dict stands for its `last_hidden_state` if it has one, else for its first floating
tensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from ..errors import InfodiscardError, nearest

OUTPUT, HIDDEN = "output", "hidden_states"
_ADDRESS = re.compile(r"(?P<module>[^#\[\]]*)(#(?P<call>\d+))?(?P<entry>(\[[^\[\]]+\])*)")


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
    def parse(cls, text: str) -> Address:
        """Parses an address; raises InfodiscardError if it is malformed."""
        match = _ADDRESS.fullmatch(text)
        if match is None or not match["module"]:
            raise InfodiscardError(
                f"'{text}' is not a layer address; write the module's name, then #CALL if it is called more than once, "
                "then [ENTRY] if its output is a tuple or dict."
            )
        entry = tuple(re.findall(r"\[([^\[\]]+)\]", match["entry"]))
        return cls(match["module"], None if match["call"] is None else int(match["call"]), entry)


def located(address: Address, modules: Mapping[str, nn.Module]) -> tuple[str, tuple[str, ...], dict[str, bool]]:
    """Returns the module that an address means, the entry of its output, and what to ask a forward pass for besides."""
    if address.module == HIDDEN and HIDDEN not in modules:
        return "", (HIDDEN, *address.entry), {"output_hidden_states": True}
    own = address.module == OUTPUT and OUTPUT not in modules
    return "" if own else address.module, address.entry, {}


def resolve(layers: Sequence[Layer], patterns: Sequence[str], network: str) -> tuple[str, ...]:
    """Converts names and patterns to addresses, in execution order, each once.

    A pattern that matches a module called more than once stands for all its calls.

    Args:
        layers: what `list_layers` returned.
        patterns: names, addresses or patterns.
        network: its name, for messages.

    Raises:
        InfodiscardError: no layer matches one of them, or a bare name means a module that is called more than once.
    """
    known = {layer.name: layer for layer in layers}
    addresses: set[str] = set()
    for pattern in patterns:
        if "*" in pattern or "?" in pattern:
            matches = [layer for layer in layers if layer.shape is not None and _matches(pattern, layer.name)]
            if not matches:
                raise InfodiscardError(
                    f"No layer of '{network}' matches '{pattern}'; its layers include {nearest(pattern, list(known))}. "
                    "'*' stays within one level of a name, '**' crosses levels."
                )
            addresses |= {address for layer in matches for address in _calls(layer)}
        else:
            addresses.add(_checked(pattern, known, network))

    def place(text: str) -> tuple[int, str]:
        address = Address.parse(text)
        layer = known.get(text) or known[address.module]
        return (layer.places[address.call or 0] if layer.places else layers.index(layer)), text

    return tuple(sorted(addresses, key=place))


def choose_layers(
    layers: Sequence[Layer], wanted: str | Sequence[str] | None, usual: Sequence[str], network: str
) -> tuple[str, ...]:
    """Converts the layers that the user named, or else the network's usual ones, to addresses, as `resolve` does.

    Raises:
        InfodiscardError: also if there are neither.
    """
    patterns = [wanted] if isinstance(wanted, str) else list(wanted or usual)
    if not patterns:
        raise InfodiscardError(
            f"No layers were given for '{network}' and it has no usual ones; name some, such as "
            f"{nearest('layer', [layer.name for layer in layers if '.' not in layer.name])}."
        )
    return resolve(layers, patterns, network)


def _calls(layer: Layer) -> list[str]:
    """Returns the addresses of all calls of a layer."""
    return [layer.name] if layer.calls == 1 else [f"{layer.name}#{i}" for i in range(layer.calls)]


def _checked(text: str, known: Mapping[str, Layer], network: str) -> str:
    """Returns an address that means one existing output."""
    address = Address.parse(text)
    if text in known and address.entry:
        return text
    layer = known.get(address.module)
    if layer is None:
        raise InfodiscardError(
            f"'{network}' has no layer '{address.module}'; the nearest are {nearest(address.module, list(known))}."
        )
    if address.call is None and layer.calls > 1:
        raise InfodiscardError(
            f"Layer '{layer.name}' of '{network}' is called {layer.calls} times in a forward pass; name one call, from "
            f"'{layer.name}#0' to '{layer.name}#{layer.calls - 1}'."
        )
    if address.call is not None and address.call >= layer.calls:
        raise InfodiscardError(
            f"Layer '{layer.name}' of '{network}' is called {layer.calls} times, so '#{address.call}' does not exist; "
            f"the last is '#{layer.calls - 1}'."
        )
    call = f"#{address.call}" if layer.calls > 1 else ""
    return address.module + call + "".join(f"[{key}]" for key in address.entry)


def _matches(pattern: str, name: str) -> bool:
    """Whether a pattern means a layer; a hidden state, which some module has made already, only where it says so."""
    if name.startswith(f"{HIDDEN}[") and not pattern.startswith(HIDDEN):
        return False
    return _regex(pattern).fullmatch(name) is not None


def _regex(pattern: str) -> re.Pattern[str]:
    """Converts a pattern to a regular expression: `**` crosses levels, `*` and `?` do not."""
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    table = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    return re.compile("".join(table.get(part, re.escape(part)) for part in parts))
