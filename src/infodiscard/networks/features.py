"""The features of several layers from one forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from threading import get_ident
from typing import Any

import torch
from torch import nn

from ..errors import InfodiscardError
from .addresses import Address, located
from .outputs import choose
from .preserve import unwrap
from .probe import Call, arguments
from .raised import network_errors


class LayerFeatures:
    """The network up to the deepest of several layers: a callable from inputs to the features of all of them.

    Use it inside `preserved(model)`. No hook stays behind.

    Args:
        model: the network.
        addresses: the layers.
    """

    def __init__(self, model: nn.Module, addresses: Sequence[str]) -> None:
        self._model = unwrap(model)
        modules = dict(self._model.named_modules())
        self._wanted: dict[nn.Module, dict[str, Address]] = {}
        self._ask: dict[str, bool] = {}
        for text in addresses:
            address = Address.parse(text, modules)
            name, entry, ask = located(address, modules)
            self._wanted.setdefault(modules[name], {})[text] = replace(address, entry=entry)
            self._ask |= ask
        self._count = len(set(addresses))

    def __call__(self, inputs: Call) -> dict[str, torch.Tensor]:
        """Returns the feature of each layer for `inputs` (`batch × …` each), without gradients.

        Raises:
            InfodiscardError: the network raised something, or a layer was not called, or its output is no tensor of
                floats.
        """
        caught: dict[str, torch.Tensor] = {}
        args, kwargs = arguments(inputs)
        with ExitStack() as stack:
            for module, addresses in self._wanted.items():
                stack.callback(module.register_forward_hook(self._catcher(addresses, caught)).remove)
            try:
                # For networks that differentiate within themselves.
                with torch.enable_grad(), network_errors(self._model):
                    self._model(*args, **kwargs, **self._ask)
            except _Complete:
                pass
        missing = [text for addresses in self._wanted.values() for text in addresses if text not in caught]
        if missing:
            raise InfodiscardError(f"Layer '{missing[0]}' was not called in a forward pass, so it cannot be read.")
        return caught

    def _catcher(self, addresses: Mapping[str, Address], caught: dict[str, torch.Tensor]) -> Any:
        """Returns a hook that notes a module's output for the addresses that mean this call of it."""
        calls, thread = 0, get_ident()

        def catch(_module: nn.Module, _args: Any, output: Any) -> None:
            nonlocal calls
            if get_ident() != thread:  # a pass of the user's own
                return
            for text, address in addresses.items():
                if calls == (address.call or 0):
                    # An in-place operation behind the layer must not reach what was caught.
                    caught[text] = choose(output, address.entry, text).detach().clone().float()
            calls += 1
            if len(caught) == self._count:
                raise _Complete

        return catch


class _Complete(BaseException):
    """Ends a forward pass when all layers have been seen; no error, so that no network takes it for one of its own."""
