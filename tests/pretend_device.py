"""An accelerator that is pretended: its tensors have a device of their own, their values are a CPU's.

What works only because everything is on one device fails on it as it would on a GPU, and what would make a GPU wait
for the host, or copy to it, is counted. Its values are those of the CPU to the last bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("lazy")
"""A device that PyTorch knows, whose backward passes run in the CPU's threads, and that nothing here uses."""

aten = torch.ops.aten
WAITS = {torch.Tag.data_dependent_output}
SHAPED = (aten.nonzero, aten.masked_select, aten.unique_dim, aten._unique2, aten.repeat_interleave)
INDEXED = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index)


class There(torch.Tensor):
    """A tensor on the pretended device; `here` has its values."""

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        like = {"dtype": here.dtype, "layout": here.layout, "device": DEVICE, "requires_grad": here.requires_grad}
        strides = {"strides": here.stride(), "storage_offset": here.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(cls, here.size(), **strides, **like)

    def __init__(self, here: torch.Tensor) -> None:
        self.here = here

    def __repr__(self) -> str:
        return f"There({self.here})"

    def tolist(self) -> Any:
        return self.cpu().tolist()  # counted as the copy that it is

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of the pretended device")


class Accelerator(TorchDispatchMode):
    """Computes what is on the device, within it.

    Attributes:
        waits: what makes the host wait for the device, and how often it has.
        uploads: copies from the host that it has to wait for.
        calls: operations on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.uploads = self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there = any(isinstance(leaf, There) for leaf in leaves)
        device = kwargs.get("device")
        target = there if device is None else torch.device(device).type == DEVICE.type
        if not there and not target:
            return func(*args, **kwargs)
        packet = func.overloadpacket
        self.calls += 1
        self._check(func, packet, leaves)
        self._count(packet, func, leaves, kwargs, there, target)
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        here, own = tree_map(_here, (args, kwargs))
        result = func(*here, **own)
        known = {id(leaf.here): leaf for leaf in leaves if isinstance(leaf, There)}
        return tree_map(lambda each: _there(each, known), result) if target else result

    def _check(self, func: Any, packet: Any, leaves: list[torch.Tensor]) -> None:
        """Raises what a GPU would about tensors that are elsewhere; numbers may be anywhere."""
        if packet in (aten._to_copy, aten.copy_, aten.copy, *INDEXED):
            return
        if away := [leaf for leaf in leaves if not isinstance(leaf, There) and leaf.ndim]:
            raise RuntimeError(f"{func}: expected all tensors to be on the same device, found {away[0].shape} on cpu")

    def _count(
        self, packet: Any, func: Any, leaves: list[torch.Tensor], kwargs: Any, there: bool, target: bool
    ) -> None:
        """Counts what the host waits for."""
        if packet in (aten._to_copy, aten.copy_):
            if there and (not target or (packet is aten.copy_ and not isinstance(leaves[0], There))):
                self.waits["copy to the host"] += 1
            elif any(not isinstance(leaf, There) for leaf in leaves) and not kwargs.get("non_blocking"):
                self.uploads += 1
        elif packet in INDEXED:
            index = leaves[1:]
            self.waits["index by a mask"] += any(leaf.dtype in (torch.bool, torch.uint8) for leaf in index)
            self.uploads += sum(not isinstance(leaf, There) for leaf in index)
        elif packet in SHAPED or not WAITS.isdisjoint(func.tags):
            self.waits[str(packet)] += 1


def _here(each: Any) -> Any:
    return each.here if isinstance(each, There) else each


def _there(each: Any, known: dict[int, There]) -> Any:
    """A result on the device; an input that is handed on stays the same object."""
    if not isinstance(each, torch.Tensor) or isinstance(each, There):
        return each
    return known[id(each)] if id(each) in known else There(each)


def move(module: nn.Module) -> nn.Module:
    """Moves a module's parameters and buffers to the device."""
    for each in module.modules():
        for name, parameter in each._parameters.items():
            if parameter is not None:
                each._parameters[name] = nn.Parameter(There(parameter.detach()), parameter.requires_grad)
        for name, buffer in each._buffers.items():
            each._buffers[name] = None if buffer is None else There(buffer)
    return module


@contextmanager
def accelerator() -> Iterator[Accelerator]:
    """Lets the block compute on the device. Its generators are the CPU's, so that its noise is the same, too."""
    with (
        mock.patch("torch.Generator", _Generator),
        mock.patch("torch.autocast", _autocast(torch.autocast)),
        Accelerator() as within,
    ):
        swaps, lifts = torch.__future__.get_swap_module_params_on_conversion(), torch._C._only_lift_cpu_tensors()
        torch.__future__.set_swap_module_params_on_conversion(True)  # `module.to` cannot do it in place
        torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor(…, device=…)` makes it on the CPU, and copies it
        try:
            yield within
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swaps)
            torch._C._set_only_lift_cpu_tensors(lifts)


def _autocast(real: Any) -> Any:
    """Automatic precision, of which the device has none."""
    return lambda kind, *args, **kwargs: nullcontext() if kind == DEVICE.type else real(kind, *args, **kwargs)


class _Generator(torch.Generator):
    """A generator on the CPU, wherever it is wanted."""

    def __new__(cls, device: Any = None) -> _Generator:
        return super().__new__(cls)
