"""Pruning, and what holds it or sharing through training."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.training.pruning import hold, prune
from infodiscard.training.weight_sharing import share
from tiny import small_module


def test_prune_zeroes_what_is_below_the_threshold_and_nothing_else() -> None:
    module = small_module()
    before = copy.deepcopy(module.state_dict())
    left = prune(module, 0.8)
    assert list(left) == ["0.weight", "4.weight"] and list(module.state_dict()) == list(before)
    for name, value in module.state_dict().items():
        if name not in left:
            assert torch.equal(value, before[name])
            continue
        old = before[name].numpy()
        wanted = np.where(np.abs(old) < 0.8 * old.std(), np.float32(0), old)
        np.testing.assert_array_equal(value.numpy(), wanted)
        assert not np.signbit(value.numpy()[wanted == 0]).any()
        assert left[name] == pytest.approx((wanted != 0).mean()) and 0 < left[name] < 1
    assert not module[0]._forward_pre_hooks and isinstance(module[0].weight, nn.Parameter)


def test_prune_with_threshold_0_takes_nothing() -> None:
    assert set(prune(small_module(), 0).values()) == {1.0}


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf")])
def test_prune_refuses_a_threshold(threshold: float) -> None:
    with pytest.raises(InfodiscardError, match="0 or more"):
        prune(small_module(), threshold)


def test_prune_that_leaves_nothing_of_a_layer_changes_nothing() -> None:
    module = small_module()
    with torch.no_grad():
        module[4].weight.copy_(module[4].weight.sign())  # all of them one standard deviation
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(InfodiscardError, match=r"'4\.weight'; give a smaller"):
        prune(module, 1.5)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_modules_that_cannot_be_compressed() -> None:
    with pytest.raises(InfodiscardError, match="no conv or linear layer"):
        prune(nn.BatchNorm2d(3), 1)
    broken = nn.Linear(2, 2)
    with torch.no_grad():
        broken.weight[0, 0] = float("nan")
    with pytest.raises(InfodiscardError, match="not finite"):
        share(broken)


@pytest.mark.parametrize("what", ["zeros", "shared"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_hold_keeps_to_the_last_bit(what: str, layout: torch.memory_format, optimizer: str) -> None:
    module = small_module().to(memory_format=layout)
    prune(module, 0.7)
    share(module, 3)
    keep = hold(module, what)
    before = copy.deepcopy(module.state_dict())
    names = ("0.weight", "4.weight")
    for step, chosen in enumerate(steps(module, optimizer)):
        keep()
        chosen.step()
        for name in names:
            old, new = before[name].flatten(), module.state_dict()[name].flatten()
            assert torch.equal(old == 0, new == 0), step
            if what == "shared":
                assert all(len(new[old == value].unique()) == 1 for value in old.unique())
                assert len(new.unique()) == len(old.unique()) and not torch.equal(old, new)
    if what == "zeros":
        assert len(module[4].weight.unique()) > 100


def steps(module: nn.Module, optimizer: str) -> Iterator[torch.optim.Optimizer]:
    """Yields the optimiser before each of eight steps, with the gradients in place."""
    if optimizer == "sgd":
        chosen = torch.optim.SGD(module.parameters(), 0.003, momentum=0.9, weight_decay=0.01, nesterov=True)
    else:
        chosen = torch.optim.AdamW(module.parameters(), 0.003, weight_decay=0.01)
    generator = torch.Generator().manual_seed(1)
    for _ in range(8):
        chosen.zero_grad()
        inputs, labels = torch.randn(16, 3, 8, 8, generator=generator), torch.randint(10, (16,), generator=generator)
        nn.functional.cross_entropy(module(inputs), labels).backward()
        yield chosen


def test_hold_sums_the_gradients_of_what_is_shared() -> None:
    module = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[2.0, -1.0, 0.0, 2.0]]))
    keep = hold(module, "shared")
    keep()  # without gradients there is nothing to do
    module.weight.grad = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])
    keep()
    assert module.weight.grad.tolist() == [[1001.0, 10.0, 0.0, 1001.0]]
    zeros = hold(module, "zeros")
    module.weight.grad = torch.tensor([[1.0, 10.0, float("nan"), 1000.0]])
    zeros()
    assert module.weight.grad.tolist() == [[1.0, 10.0, 0.0, 1000.0]]
    with pytest.raises(InfodiscardError, match="'zeros' or 'shared', not as 'ones'"):
        hold(module, "ones")
