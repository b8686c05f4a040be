"""What a pass may change is noted, named and put back, to the last bit."""

import random
import threading
from collections import OrderedDict, deque
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard.networks.state import State, generators_kept
from probing import seeded, snapshot


class Holder(nn.Module):
    """A network that holds something of each kind."""

    shared: list = []  # noqa: RUF012
    count = 0

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("seen", torch.tensor([0.0, torch.nan, -0.0]))
        self.flag, self.kept, self.skips, self.cache = False, torch.ones(2), [torch.ones(1)], {"a": [1]}
        self.ring, self.names, self.table = deque([1, 2], maxlen=3), {"x"}, np.arange(3.0)
        self.order = OrderedDict(a=1, b=2)
        self.inner = SimpleNamespace(values=[], deep=SimpleNamespace(n=0))
        self.lock, self.torch_rng, self.numpy_rng = threading.Lock(), torch.Generator(), np.random.default_rng(0)
        self.python_rng, self.pair = random.Random(0), (torch.zeros(2), [3])


def _swap(model):
    model.layer.weight = nn.Parameter(model.layer.weight.detach())


def _resize(model):
    model.seen.resize_(2)


CHANGES = {
    "a parameter": (lambda m: m.layer.weight.data.add_(1), "layer.weight"),
    "a parameter's bits": (lambda m: m.seen.data.copy_(torch.tensor([-0.0, torch.nan, -0.0])), "seen"),
    "another parameter": (_swap, "layer"),
    "a parameter's flag": (lambda m: m.layer.bias.requires_grad_(False), "layer.bias"),
    "a gradient": (lambda m: setattr(m.layer.bias, "grad", torch.ones(2)), "layer.bias"),
    "a buffer": (lambda m: m.seen.add_(1), "seen"),
    "a buffer's size": (_resize, "seen"),
    "an attribute": (lambda m: setattr(m, "flag", True), ""),
    "a new attribute": (lambda m: setattr(m, "new", 1), ""),
    "a lost attribute": (lambda m: delattr(m, "flag"), ""),
    "a tensor": (lambda m: m.kept.mul_(2), "kept"),
    "a list": (lambda m: m.skips.append(1), "skips"),
    "a list's tensor": (lambda m: m.skips[0].zero_(), "skips.0"),
    "a dict": (lambda m: m.cache.pop("a"), "cache"),
    "a list in a dict": (lambda m: m.cache["a"].append(2), "cache.a"),
    "a deque": (lambda m: m.ring.append(3), "ring"),
    "a set": (lambda m: m.names.add("y"), "names"),
    "an array": (lambda m: m.table.fill(7), "table"),
    "an order": (lambda m: m.order.move_to_end("a"), "order"),
    "an object": (lambda m: m.inner.values.append(1), "inner.values"),
    "an object in an object": (lambda m: setattr(m.inner.deep, "n", 1), "inner.deep"),
    "a lock": (lambda m: m.lock.acquire(), "lock"),
    "a list in a tuple": (lambda m: m.pair[1].append(4), "pair.1"),
    "a training flag": (lambda m: m.layer.train(), "layer"),
    "a hook": (lambda m: m.layer.register_forward_hook(lambda *_: None), "layer._forward_hooks"),
    "a list of the class": (lambda m: m.shared.append(1), "Holder.shared"),
    "a number of the class": (lambda m: setattr(Holder, "count", Holder.count + 1), "Holder"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_named_and_put_back(kind):
    change, name = CHANGES[kind]
    model = seeded(Holder)
    before, state, objects = snapshot(model), State.of(model), dict(vars(model))
    assert not state.changed().parts
    change(model)
    changed = state.changed()
    assert changed.names == [name] * bool(name) and not changed.draws and changed.parts
    state.restore()
    assert not state.changed().parts and vars(model) == objects
    # A buffer that has another size has other memory, too.
    assert {k: v for k, v in snapshot(model).items() if k != "addresses"} == {
        k: v for k, v in before.items() if k != "addresses"
    }
    assert kind == "a buffer's size" or snapshot(model) == before
    assert Holder.shared == [] and Holder.count == 0 and model.seen[1].isnan()


DRAWS = {
    "torch": lambda m: torch.rand(()),
    "numpy": lambda m: np.random.rand(),
    "python": lambda m: random.random(),
    "a generator of torch's": lambda m: torch.rand((), generator=m.torch_rng),
    "one of NumPy's": lambda m: m.numpy_rng.random(),
    "one of Python's": lambda m: m.python_rng.random(),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_a_draw_is_noticed_and_taken_back(kind):
    model = Holder()
    state = State.of(model)
    first = float(DRAWS[kind](model))
    assert state.changed().draws and not state.changed().names
    state.restore()
    assert not state.changed().parts and float(DRAWS[kind](model)) == first


def test_the_processs_generators_are_kept_also_after_an_error():
    state = State.of(nn.Identity())
    with pytest.raises(ArithmeticError), generators_kept():
        torch.rand(3), np.random.rand(3), random.random()
        raise ArithmeticError
    assert not state.changed().parts


def test_what_is_far_from_the_network_is_left_alone():
    model = Holder()
    far = SimpleNamespace(values=[])
    model.inner.deep.further = far
    state = State.of(model)
    far.values.append(1)
    assert not state.changed().parts


def test_tensors_of_other_kinds_do_not_get_in_the_way():
    model = nn.Linear(2, 2)
    model.sparse, model.meta = torch.eye(2).to_sparse(), torch.ones(2, device="meta")
    model.nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    model.half, model.small = torch.ones(3, dtype=torch.bfloat16), torch.ones(2).to(torch.float8_e4m3fn)
    model.complex, model.truth = torch.ones(2, dtype=torch.complex128), torch.ones(2, dtype=torch.bool)
    state = State.of(model)
    model.half.zero_(), model.complex.zero_(), model.truth.zero_()
    assert state.changed().names == ["complex", "half", "truth"]
    state.restore()
    assert not state.changed().parts and model.truth.all()
