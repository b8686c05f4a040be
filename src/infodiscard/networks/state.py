"""What a forward pass may change of a network and of the process: noted, compared and put back.

That is every tensor, attribute and container that the network's modules hold, hooks and flags among them, and all
random generators: the process's own, and those that the network keeps.
"""

from __future__ import annotations

import random
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn

from .aside import is_large, set_aside

OBJECTS = 2
"""Objects other than modules that are followed one into another: a cache that a module keeps, but not a trainer's."""


@dataclass(frozen=True)
class State:
    """What some objects were at one moment; whatever they lead to belongs to them.

    Attributes:
        parts: of it.
    """

    parts: tuple[_Part, ...] = ()

    @classmethod
    def of(cls, model: nn.Module) -> State:
        """Notes the state of a network, and of the process's random generators."""
        return cls(tuple(_parts([model, *_generators(model)])))

    def changed(self) -> State:
        """Returns the parts that are no longer what they were."""
        return State(tuple(part for part in self.parts if not part.kind.same(part.owner, part.saved)))

    def restore(self) -> None:
        """Makes every part what it was."""
        for part in self.changed().parts:
            part.kind.write(part.owner, part.saved)

    @property
    def draws(self) -> bool:
        """Whether a generator of random numbers is among the parts."""
        return any(part.kind.random for part in self.parts)

    @property
    def names(self) -> list[str]:
        """Where the parts are that are no generators, without the containers that they are in."""
        names = sorted({part.name for part in self.parts if part.name and not part.kind.random})
        return [name for name, after in pairwise([*names, ""]) if not after.startswith(f"{name}.")]


@contextmanager
def generators_kept() -> Iterator[None]:
    """Leaves the process's random generators on the CPU as they were; the block may draw from them."""
    before = State(tuple(_parts(_generators(nn.Identity()))))
    try:
        yield
    finally:
        before.restore()


# -- kinds of parts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Kind:
    """How a kind of object is noted, compared with what was noted, and made that again.

    Attributes:
        note: from the object.
        same: from the object and what was noted.
        write: from the same.
        random: whether it is a generator of random numbers.
    """

    note: Callable[[Any], Any]
    same: Callable[[Any, Any], bool]
    write: Callable[[Any, Any], Any]
    random: bool = False


@dataclass(frozen=True)
class _Part:
    """Something that a pass may change: where it is, of which kind, the object itself, and what was noted of it."""

    name: str
    kind: _Kind
    owner: Any
    saved: Any


_VALUES = (int, float, bool, str, bytes, type(None))


def _is(now: Any, old: Any) -> bool:
    """Whether two objects are the same one, or equal plain values."""
    return now is old or (type(now) is type(old) and isinstance(old, _VALUES) and now == old)


def _all_are(now: Iterable[Any], old: list[Any]) -> bool:
    """Whether two sequences hold the same objects."""
    now = list(now)
    return len(now) == len(old) and all(map(_is, now, old))


def _write_keys(each: dict[Any, Any], old: dict[Any, Any]) -> None:
    base = OrderedDict if isinstance(each, OrderedDict) else dict  # past what a class makes of them
    base.clear(each)
    for key, value in old.items():
        base.__setitem__(each, key, value)


def _same_keys(each: dict[Any, Any], old: dict[Any, Any]) -> bool:
    """Whether a dict has the same keys, in their order, and the same values."""
    return _all_are(each, list(old)) and _all_are(each.values(), list(old.values()))


_DICT = _Kind(dict, _same_keys, _write_keys)
_ATTRIBUTES = _Kind(
    lambda each: dict(vars(each)),
    lambda each, old: _same_keys(vars(each), old),
    lambda each, old: _write_keys(vars(each), old),
)
_LIST = _Kind(list, _all_are, lambda each, old: (each.clear(), each.extend(old)))
_SET = _Kind(set, lambda each, old: each == old, lambda each, old: (each.clear(), each.update(old)))
_ARRAY = _Kind(
    np.ndarray.copy, lambda each, old: each.tobytes() == old.tobytes(), lambda each, old: np.copyto(each, old)
)
_LOCK = _Kind(
    lambda each: each.locked(),
    lambda each, old: each.locked() == old,
    lambda each, old: each.release() if each.locked() else None,
)


def _class_data(each: type) -> dict[str, Any]:
    """Data that a class holds: counters, and containers that all instances share."""
    held = (*_VALUES, list, dict, set, deque, torch.Tensor)
    return {key: each for key, each in vars(each).items() if not key.startswith("__") and isinstance(each, held)}


def _write_class(each: type, old: dict[str, Any]) -> None:
    for key, value in old.items():
        setattr(each, key, value)


_CLASS = _Kind(
    _class_data,
    lambda each, old: _same_keys(_class_data(each), old),
    _write_class,
)

# -- tensors


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _same_bits(each: torch.Tensor, old: torch.Tensor) -> bool:
    """Whether two tensors of any shape are the same to the last bit, NaN included."""
    if each.shape != old.shape or each.dtype != old.dtype:
        return False
    bits = _BITS.get(old.dtype.itemsize, torch.uint8)
    one, two = (tensor.detach().cpu().contiguous().reshape(-1).view(bits) for tensor in (each, old))
    return torch.equal(one, two)


def _write_tensor(each: torch.Tensor, old: torch.Tensor) -> None:
    if each.shape == old.shape and each.dtype == old.dtype:
        each.data.copy_(old)
    else:
        each.data = old.to(each.device, copy=True)


def _write_flags(each: torch.Tensor, old: tuple[bool, torch.Tensor | None]) -> None:
    each.requires_grad_(old[0])
    each.grad = old[1]


_TENSOR = _Kind(lambda each: each.detach().to("cpu", copy=True), _same_bits, _write_tensor)
_LARGE = _Kind(set_aside, lambda each, aside: aside.same(each), lambda each, aside: aside.write(each))
_FLAGS = _Kind(
    lambda each: (each.requires_grad, each.grad),
    lambda each, old: each.requires_grad == old[0] and each.grad is old[1],
    _write_flags,
)


def _tensor_kinds(tensor: torch.Tensor) -> Iterator[_Kind]:
    """What there is to note of a tensor: whether it requires a gradient and has one; and its values, if it is plain."""
    if tensor.is_leaf:
        yield _FLAGS
    plain = type(tensor) in (torch.Tensor, nn.Parameter, nn.Buffer) and tensor.layout is torch.strided
    if plain and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta or tensor.is_inference()):
        yield _LARGE if is_large(tensor) else _TENSOR


# -- generators


def _comparable(state: Any) -> Any:
    """The state of a generator in a form that can be compared."""
    if isinstance(state, torch.Tensor | np.ndarray):
        return state.tolist()
    if isinstance(state, dict):
        return {key: _comparable(value) for key, value in state.items()}
    return tuple(map(_comparable, state)) if isinstance(state, tuple) else state


def _generator(get: Callable[[Any], Any], put: Callable[[Any, Any], Any]) -> _Kind:
    return _Kind(get, lambda each, old: _comparable(get(each)) == _comparable(old), put, random=True)


_GENERATORS: dict[type, _Kind] = {
    torch.Generator: _Kind(
        torch.Generator.get_state,
        lambda each, old: torch.equal(each.get_state(), old),
        torch.Generator.set_state,
        random=True,
    ),
    random.Random: _generator(random.Random.getstate, random.Random.setstate),
    np.random.RandomState: _generator(np.random.RandomState.get_state, np.random.RandomState.set_state),
    np.random.Generator: _generator(
        lambda each: each.bit_generator.state, lambda each, old: setattr(each.bit_generator, "state", old)
    ),
}


def _generators(model: nn.Module) -> list[Any]:
    """Returns the process's random generators, on the CPU and the network's devices."""
    devices = {tensor.device for tensor in [*model.parameters(), *model.buffers()]}
    cuda = [torch.cuda.default_generators[device.index] for device in devices if device.type == "cuda"]
    return [torch.default_generator, *cuda, np.random.mtrand._rand, random._inst]  # type: ignore[attr-defined]


# -- all of them -----------------------------------------------------------------------------------------------------

_CONTAINERS: tuple[tuple[type | tuple[type, ...], _Kind], ...] = (
    (dict, _DICT),
    ((list, deque), _LIST),
    (set, _SET),
    (np.ndarray, _ARRAY),
    (type(Lock()), _LOCK),
)
_NO_STATE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def _parts(roots: Iterable[Any]) -> Iterator[_Part]:
    """Goes through all that some objects lead to."""
    seen: dict[int, Any] = {}  # holds on to what was seen, so that no address is used twice
    todo = [("", each, 0) for each in roots]
    while todo:
        name, each, objects = todo.pop()
        if id(each) in seen or isinstance(each, _VALUES):
            continue
        seen[id(each)] = each
        module = isinstance(each, nn.Module)
        plain = isinstance(getattr(each, "__dict__", None), dict) and not isinstance(each, _NO_STATE)
        if isinstance(each, torch.Tensor):
            kinds = list(_tensor_kinds(each))
        elif type(each) in _GENERATORS:
            kinds = [_GENERATORS[type(each)]]
        elif isinstance(each, type):
            kinds = [_CLASS]
        elif found := next((kind for of, kind in _CONTAINERS if isinstance(each, of)), None):
            kinds = [found]
        elif plain and (module or objects < OBJECTS):
            kinds, objects = [_ATTRIBUTES], 0 if module else objects + 1
        else:
            kinds = []
        parts = [_Part(name, kind, each, kind.note(each)) for kind in kinds]
        yield from parts
        inside = [each, *(part.saved for part in parts if not part.kind.random)]
        todo += [(_joined(name, key), value, objects) for holder in inside for key, value in _items(holder)]
        if module:
            own = (kind for kind in type(each).__mro__ if issubclass(kind, nn.Module))
            todo += [(kind.__name__, kind, 0) for kind in own if not kind.__module__.startswith("torch.")]


def _items(holder: Any) -> Iterable[tuple[Any, Any]]:
    """Returns what a dict or a sequence holds, by key or place."""
    if isinstance(holder, dict):
        return holder.items()
    return enumerate(holder) if isinstance(holder, list | tuple) else ()


def _joined(name: str, key: Any) -> str:
    """The name of what is within something; PyTorch's own dicts of a module do not show in it."""
    return name if key in ("_modules", "_parameters", "_buffers") else f"{name}.{key}".lstrip(".")
