"""Probe of a network: its layers listed, or one of them read; `networks.addresses` says how they are named."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from inspect import signature
from itertools import count
from typing import Any

import torch
from torch import nn

from ..errors import InfodiscardError, NotCalledError, nearest
from .addresses import HIDDEN, OUTPUT, Address, Layer, located
from .outputs import choose, default_tensor
from .preserve import preserved, unwrap
from .raised import network_errors

Call = torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor]
"""The arguments of a forward pass: its only one, those by place, or those by name."""


class _Reached(BaseException):
    """Ends a forward pass at the layer that was asked for; no error, so that no network takes it for one of its own."""


class Probe:
    """The network up to one layer: a callable from inputs (a tensor, a tuple or a dict) to that layer's feature.

    Use it inside `preserved(model)`. The forward pass ends right after the layer, so that nothing behind it is computed
    and no in-place operation behind it can overwrite the feature.

    Args:
        model: the network.
        address: the layer.
    """

    def __init__(self, model: nn.Module, address: str) -> None:
        self.address = address
        self._model = unwrap(model)
        modules = dict(self._model.named_modules())
        self._parsed = Address.parse(address, modules)
        name, self._entry, self._ask = located(self._parsed, modules)
        if name not in modules:
            raise InfodiscardError(
                f"The network has no layer '{address}'; the nearest are {nearest(name, [n for n in modules if n])}."
            )
        self._layer = modules[name]

    def __call__(self, inputs: Call) -> torch.Tensor:
        """Returns the feature of `inputs` (`batch × …` each).

        Raises:
            NotCalledError: the layer was not called (as often as the address says).
            InfodiscardError: it has no such output.
        """
        return choose(self.raw(inputs), self._entry, self.address)

    def raw(self, inputs: Call) -> Any:
        """Returns the layer's whole output, whatever its structure.

        Raises:
            InfodiscardError: the layer was not called (as often as the address says), or the network raised something.
        """
        wanted, count, caught = self._parsed.call or 0, 0, []

        def catch(_module: nn.Module, _args: Any, output: Any) -> None:
            nonlocal count
            if count == wanted:
                caught.append(output)
                raise _Reached
            count += 1

        handle = self._layer.register_forward_hook(catch)
        args, kwargs = arguments(inputs)
        try:
            with network_errors(self._model):
                self._model(*args, **kwargs, **self._ask)
        except _Reached:
            return caught[0]
        finally:
            handle.remove()
        raise NotCalledError(
            f"Layer '{self.address}' was called {count} times in a forward pass; "
            + ("give a smaller number after #." if count else "it is not used, so there is nothing to measure.")
        )


def arguments(call: Call) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
    """Returns copies of the arguments (`batch × …` each) by place, and of those by name.

    A network that begins with an in-place operation would otherwise overwrite what belongs to the caller.
    """
    if isinstance(call, Mapping):
        return (), {name: value.clone() for name, value in call.items()}
    return tuple(value.clone() for value in ([call] if isinstance(call, torch.Tensor) else call)), {}


def list_layers(model: nn.Module, example: Call) -> list[Layer]:
    """Lists a network's layers in execution order: by when their (first) output is ready.

    Args:
        model: any network.
        example: one or more inputs, `batch × …`; of a network with several, a tuple, or a dict by their names.

    Returns:
        One `Layer` per module that is called, the network itself last, as `output` (unless a module bears that name);
        and one per hidden state, where a transformer returns such.

    Raises:
        InfodiscardError: the network is in training mode, or raises something when it is given the example.
    """
    seen: dict[str, tuple[str, tuple[int, ...] | None, list[int]]] = {}
    outputs: list[tuple[Any, int]] = []  # tensor → when it was ready
    place = count()
    with preserved(model) as plain, ExitStack() as stack:
        modules = dict(plain.named_modules())
        if OUTPUT in modules:
            del modules[""]
        for name, module in modules.items():
            key = name or OUTPUT

            def note(module: nn.Module, _args: Any, output: Any, key: str = key) -> None:
                now, tensor = next(place), default_tensor(output)
                seen.setdefault(key, (type(module).__name__, _shape(output), []))[2].append(now)
                if tensor is not None:
                    outputs.append((weakref.ref(tensor), now))

            stack.callback(module.register_forward_hook(note).remove)
        args, kwargs = arguments(example)
        ask = {"output_hidden_states": True} if _has_hidden_states(plain) else {}
        taken = network_errors(
            plain, f"does not take {_shapes(example)}", "give inputs of the size it was made for, or fix it"
        )
        with torch.no_grad(), torch.random.fork_rng(devices=[]), taken:
            output = plain(*args, **kwargs, **ask)
        hidden = output.get(HIDDEN) if isinstance(output, Mapping) and ask else None
        maker = {id(tensor): at for ref, at in reversed(outputs) if (tensor := ref()) is not None}
        for number, state in enumerate(hidden or ()):
            seen[f"{HIDDEN}[{number}]"] = ("hidden state", _shape(state), [maker.get(id(state), next(place))])
    layers = [Layer(name, kind, shape, len(places), tuple(places)) for name, (kind, shape, places) in seen.items()]
    return sorted(layers, key=lambda layer: layer.places[0])


def joined(listings: Iterable[Sequence[Layer]]) -> list[Layer]:
    """Returns every layer of several `list_layers`, each where it is latest and called most often."""
    layers: dict[str, Layer] = {}
    for layer in (layer for listing in listings for layer in listing):
        known = layers.setdefault(layer.name, layer)
        layers[layer.name] = max(known, layer, key=lambda each: (each.calls, each.places))
    return sorted(layers.values(), key=lambda layer: (layer.places[0], layer.name))


def _has_hidden_states(model: nn.Module) -> bool:
    """Whether a network returns hidden states where it is asked to.

    Transformers say in their configuration whether they do, and take it back for one call. A wrapper may hand their
    configuration on and not the question.
    """
    if not hasattr(getattr(model, "config", None), "output_hidden_states"):
        return False
    taken = signature(model.forward).parameters
    return "output_hidden_states" in taken or any(each.kind is each.VAR_KEYWORD for each in taken.values())


def _shapes(call: Call) -> str:
    """Describes the arguments of a forward pass."""
    if isinstance(call, torch.Tensor) or (not isinstance(call, Mapping) and len(call) == 1):
        return f"an input of shape {tuple((call if isinstance(call, torch.Tensor) else call[0]).shape)}"
    named = call if isinstance(call, Mapping) else {str(place): value for place, value in enumerate(call)}
    return "inputs of shapes " + ", ".join(f"{name} {tuple(value.shape)}" for name, value in named.items())


def _shape(output: Any) -> tuple[int, ...] | None:
    """Returns the shape of the default tensor of an output without its batch dimension."""
    tensor = default_tensor(output)
    return None if tensor is None else tuple(tensor.shape[1:])
