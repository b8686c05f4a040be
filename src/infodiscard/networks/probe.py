"""Probe of a network: its layers listed, or one of them read; `networks.addresses` says how they are named."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from inspect import signature
from itertools import count
from threading import get_ident
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ..errors import InfodiscardError, NotCalledError, nearest
from .addresses import HIDDEN, OUTPUT, Address, Layer, located
from .outputs import choose, default_tensor
from .preserve import preserved, unwrap
from .raised import network_errors
from .state import State

Call = torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor]
"""The arguments of a forward pass: its only one, those by place, or those by name."""


class _Reached(BaseException):
    """Ends a forward pass at the layer that was asked for; no error, so that no network takes it for one of its own."""


class Probe:
    """The network up to one layer: a callable from inputs (a tensor, a tuple or a dict) to that layer's feature.

    Use it inside `preserved(model)`. The forward pass ends right after the layer, so that nothing behind it is computed
    and no in-place operation behind it can overwrite the feature. What such a pass leaves changed of the network, such
    as a counter, a list or a generator of random numbers, is put back before the next: every pass begins with the
    network as it was.

    Args:
        model: the network.
        address: the layer.

    Attributes:
        moved: what a pass changes of the network and of the process's random generators, as it was before the first;
            `None` until then.
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
        self.moved: State | None = None
        self._endless = False  # whether the network handles the exception that ends a pass

    def __call__(self, inputs: Call) -> torch.Tensor:
        """Returns the feature of `inputs` (`batch × …` each).

        Raises:
            NotCalledError: the layer was not called (as often as the address says).
            InfodiscardError: it has no such output.
        """
        if self.moved is None:
            before = State.of(self._model)
            feature = self._feature(inputs)
            self.moved = before.changed()
            return feature
        self.moved.restore()
        return self._feature(inputs)

    def again(self, inputs: Call) -> torch.Tensor:
        """Returns the same in a pass to the network's end, which begins with what the last such pass has left."""
        return self._feature(inputs, whole=True)

    def _feature(self, inputs: Call, whole: bool = False) -> torch.Tensor:
        """Returns the feature of a pass."""
        feature = choose(self._output(inputs, whole or self._endless), self._entry, self.address)
        return feature if torch.is_grad_enabled() else feature.detach()

    def _output(self, inputs: Call, whole: bool) -> Any:
        """Returns the layer's whole output in a pass that ends there, or goes on."""
        wanted, count, caught, thread = self._parsed.call or 0, 0, [], get_ident()

        def catch(_module: nn.Module, _args: Any, output: Any) -> None:
            nonlocal count
            if get_ident() != thread:  # a pass of the user's own
                return
            count += 1
            if count == wanted + 1:
                # Where the pass goes on, an in-place operation must not reach what was caught.
                caught.append(tree_map_only(torch.Tensor, torch.clone, output) if whole else output)
                if not whole:
                    raise _Reached

        handle = self._layer.register_forward_hook(catch)
        args, kwargs = arguments(inputs)
        try:
            # For networks that differentiate within themselves.
            with torch.enable_grad(), network_errors(self._model):
                self._model(*args, **kwargs, **self._ask)
        except _Reached:
            return caught[0]
        finally:
            handle.remove()
        if caught and not whole:
            self._endless = True
            return self._output(inputs, whole=True)
        if caught:
            return caught[0]
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
    place, thread = count(), get_ident()
    with preserved(model) as plain, ExitStack() as stack:
        modules = dict(plain.named_modules())
        if OUTPUT in modules:
            del modules[""]
        for name, module in modules.items():
            key = name or OUTPUT

            def note(module: nn.Module, _args: Any, output: Any, key: str = key) -> None:
                if get_ident() != thread:  # a pass of the user's own
                    return
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
        with taken:
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


def written_buffers(model: nn.Module, example: Call) -> frozenset[str]:
    """Returns the names of the buffers that a forward pass of `example` (`batch × …` each) writes, such as counters."""
    with preserved(model) as plain:
        before, (args, kwargs) = State.of(plain), arguments(example)
        plain(*args, **kwargs)
        return frozenset(before.changed().names) & {name for name, _ in plain.named_buffers()}


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
