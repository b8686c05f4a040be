"""What a forward pass may change of a network and of the process: noted, compared and put back.

That is every tensor, attribute and container that the network's modules hold, hooks and flags among them, and all
random generators: the process's own, and those that the network keeps.
"""

from __future__ import annotations

import random
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn

OBJECTS = 2
"""Objects other than modules that are followed one into another: a cache that a module keeps, but not a trainer's."""

_GENERATORS: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]] = {
    torch.Generator: (torch.Generator.get_state, lambda each, state: each.set_state(state)),
    random.Random: (random.Random.getstate, random.Random.setstate),
    np.random.RandomState: (np.random.RandomState.get_state, np.random.RandomState.set_state),
    np.random.Generator: (
        lambda each: each.bit_generator.state,
        lambda each, state: setattr(each.bit_generator, "state", state),
    ),
}
"""Kinds of generators, and how their state is read and written."""

_PLAIN = (torch.Tensor, nn.Parameter, nn.Buffer)
_NO_STATE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_VALUES = (int, float, bool, str, bytes, type(None))
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class _Part:
    """Something that a pass may change.

    Attributes:
        name: where it is.
        saved: what it was.
        same: whether it still is.
        write: makes it that again.
        random: whether it is a generator of random numbers.
    """

    name: str
    saved: Any
    same: Callable[[Any], bool]
    write: Callable[[Any], None]
    random: bool = False


@dataclass(frozen=True)
class State:
    """What some objects were at one moment; whatever they lead to belongs to them.

    Attributes:
        parts: of it.
    """

    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, model: nn.Module) -> State:
        """Notes the state of a network, and of the process's random generators."""
        devices = {tensor.device for tensor in [*model.parameters(), *model.buffers()]}
        return cls(tuple(_parts([("", model), *_generators(devices)])))

    def changed(self) -> State:
        """Returns the parts that are no longer what they were."""
        return State(tuple(part for part in self.parts if not part.same(part.saved)))

    def restore(self) -> None:
        """Makes every part what it was."""
        for part in self.changed().parts:
            part.write(part.saved)

    @property
    def draws(self) -> bool:
        """Whether a generator of random numbers is among the parts."""
        return any(part.random for part in self.parts)

    @property
    def names(self) -> list[str]:
        """Where the parts are that are no generators, without the containers that they are in."""
        names = sorted({part.name for part in self.parts if part.name and not part.random})
        return [name for name, after in pairwise([*names, ""]) if not after.startswith(f"{name}.")]


@contextmanager
def generators_kept() -> Iterator[None]:
    """Leaves the process's random generators as they were, on the CPU; the block may draw from them."""
    before = State(tuple(_parts(_generators(()))))
    try:
        yield
    finally:
        before.restore()


def _generators(devices: Sequence[torch.device] | set[torch.device]) -> list[tuple[str, Any]]:
    """Returns the process's random generators, those of some devices among them."""
    own = [torch.default_generator, *(torch.cuda.default_generators[d.index] for d in devices if d.type == "cuda")]
    return [("", each) for each in (*own, np.random.mtrand._rand, random._inst)]  # type: ignore[attr-defined]


def _parts(roots: Sequence[tuple[str, Any]]) -> Iterator[_Part]:
    """Goes through all that some named objects lead to."""
    seen: dict[int, Any] = {}  # holds on to what was seen, so that no address is used twice
    todo = [(name, each, 0) for name, each in roots]
    while todo:
        name, each, objects = todo.pop()
        if id(each) in seen or isinstance(each, _VALUES):
            continue
        seen[id(each)] = each
        inner: list[tuple[str, Any]] = []
        if isinstance(each, torch.Tensor):
            yield from _tensor(name, each)
        elif type(each) in _GENERATORS:
            yield _generator(name, each, *_GENERATORS[type(each)])
        elif isinstance(each, np.ndarray):
            yield _Part(name, each.copy(), lambda old, now=each: old.tobytes() == now.tobytes(), _copier(each))
        elif isinstance(each, type(Lock())):
            yield _Part(name, each.locked(), lambda old, now=each: old == now.locked(), _freer(each))
        elif isinstance(each, dict):
            yield _keys(name, each)
            inner = [(_joined(name, str(key)), value) for key, value in each.items()]
        elif isinstance(each, list | deque):
            yield _Part(name, list(each), lambda old, now=each: _alike(old, now), _filler(each))
            inner = [(f"{name}.{i}", value) for i, value in enumerate(each)]
        elif isinstance(each, set):
            yield _Part(name, set(each), lambda old, now=each: old == now, _filler(each))
        elif isinstance(each, tuple):
            inner = [(f"{name}.{i}", value) for i, value in enumerate(each)]
        elif not isinstance(each, _NO_STATE) and isinstance(getattr(each, "__dict__", None), dict):
            module = isinstance(each, nn.Module)
            if not module and objects == OBJECTS:
                continue
            objects = 0 if module else objects + 1
            yield _keys(name, vars(each))
            inner = [(_joined(name, key), value) for key, value in vars(each).items()]
            if module:
                yield from _of_class(type(each), seen, inner)
        todo += [(within, value, objects) for within, value in inner]


def _joined(name: str, key: str) -> str:
    """The name of an attribute; PyTorch's own dicts of a module do not show in it."""
    return name if key in ("_modules", "_parameters", "_buffers") else f"{name}.{key}".lstrip(".")


def _of_class(kind: type, seen: dict[int, Any], inner: list[tuple[str, Any]]) -> Iterator[_Part]:
    """Data that a module's classes hold, other than PyTorch's: counters, and lists that all instances share."""
    for each in kind.__mro__[: kind.__mro__.index(nn.Module)]:
        if each.__module__.startswith("torch.") or id(each) in seen:
            continue
        seen[id(each)] = each
        data = {
            key: value
            for key, value in vars(each).items()
            if not key.startswith("__") and isinstance(value, (*_VALUES, list, dict, set, deque, torch.Tensor))
        }
        inner += [(f"{each.__name__}.{key}", value) for key, value in data.items()]

        def same(old: dict[str, Any], owner: type = each) -> bool:
            return all(_is(value, vars(owner).get(key)) for key, value in old.items())

        def write(old: dict[str, Any], owner: type = each) -> None:
            for key, value in old.items():
                setattr(owner, key, value)

        yield _Part(each.__name__, data, same, write)


def _tensor(name: str, tensor: torch.Tensor) -> Iterator[_Part]:
    """The values of a plain dense tensor, and whether it requires a gradient and has one."""
    if tensor.is_leaf:

        def flag(old: tuple[bool, Any]) -> None:
            tensor.requires_grad_(old[0])
            tensor.grad = old[1]

        flags = tensor.requires_grad, tensor.grad
        yield _Part(name, flags, lambda old: old[0] == tensor.requires_grad and old[1] is tensor.grad, flag)
    plain = type(tensor) in _PLAIN and tensor.layout is torch.strided
    if not plain or tensor.is_nested or tensor.is_quantized or tensor.is_meta or tensor.is_inference():
        return

    def write(old: torch.Tensor) -> None:
        if tensor.shape == old.shape and tensor.dtype == old.dtype:
            tensor.data.copy_(old)
        else:
            tensor.data = old.to(tensor.device, copy=True)

    saved = tensor.detach().to("cpu", copy=True)
    yield _Part(name, saved, lambda old: _same_bits(old, tensor.detach().cpu()), write)


def _same_bits(old: torch.Tensor, now: torch.Tensor) -> bool:
    """Whether two tensors of any shape are the same to the last bit, NaN included."""
    if old.shape != now.shape or old.dtype != now.dtype:
        return False
    bits = _BITS.get(old.dtype.itemsize, torch.uint8)
    return torch.equal(*(each.contiguous().reshape(-1).view(bits) for each in (old, now)))


def _generator(name: str, each: Any, get: Callable[[Any], Any], put: Callable[[Any, Any], None]) -> _Part:
    state = get(each)
    return _Part(name, state, lambda old: _equal(old, get(each)), lambda old: put(each, old), random=True)


def _equal(old: Any, now: Any) -> bool:
    """Whether two states of a generator are equal."""
    if isinstance(old, torch.Tensor):
        return torch.equal(old, now)
    return repr(old) == repr(now) if isinstance(old, dict) else _nested(old) == _nested(now)


def _nested(state: Any) -> Any:
    """A state with tuples for its arrays, which can be compared."""
    return tuple(each.tobytes() if isinstance(each, np.ndarray) else each for each in state)


def _keys(name: str, each: dict[Any, Any]) -> _Part:
    """The keys and values of a dict, and their order."""
    base = OrderedDict if isinstance(each, OrderedDict) else dict  # past what a class makes of them

    def write(old: list[tuple[Any, Any]]) -> None:
        base.clear(each)
        for key, value in old:
            base.__setitem__(each, key, value)

    def same(old: list[tuple[Any, Any]]) -> bool:
        return len(old) == len(each) and all(
            (key is now or key == now) and _is(value, at)
            for (key, value), (now, at) in zip(old, each.items(), strict=True)
        )

    return _Part(name, list(each.items()), same, write)


def _alike(old: list[Any], now: Sequence[Any]) -> bool:
    """Whether two sequences hold the same objects."""
    return len(old) == len(now) and all(map(_is, old, now))


def _is(old: Any, now: Any) -> bool:
    """Whether two objects are the same one, or equal plain values."""
    return old is now or (type(old) is type(now) and isinstance(old, _VALUES) and old == now)


def _copier(array: np.ndarray) -> Callable[[np.ndarray], None]:
    def write(old: np.ndarray) -> None:
        array[...] = old

    return write


def _freer(lock: Any) -> Callable[[bool], None]:
    def write(locked: bool) -> None:
        if lock.locked() and not locked:
            lock.release()

    return write


def _filler(each: Any) -> Callable[[Any], None]:
    def write(old: Any) -> None:
        each.clear()
        each.update(old) if isinstance(each, set) else each.extend(old)

    return write
