"""Weight sharing: k-means against its slow twin, and what it leaves of a module."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.training.pruning import prune
from infodiscard.training.weight_sharing import k_means, share
from tiny import small_module


def numbers(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_k_means(values: list[float], count: int, iterations: int) -> list[float]:
    """Lloyd's algorithm as it is told."""
    low, high = min(values), max(values)
    centroids = [low + (high - low) * i / (count - 1) for i in range(count)]
    for _ in range(iterations):
        members: list[list[float]] = [[] for _ in centroids]
        for value in values:
            members[min(range(count), key=lambda i: abs(value - centroids[i]))].append(value)
        centroids = [sum(m) / len(m) if m else c for m, c in zip(members, centroids, strict=True)]
    return centroids


@pytest.mark.parametrize(("count", "iterations"), [(2, 1), (5, 3), (8, 60), (31, 7)])
def test_k_means_equals_its_slow_twin(count: int, iterations: int) -> None:
    values = numbers(200)
    wanted = slow_k_means(values.tolist(), count, iterations)
    np.testing.assert_allclose(k_means(values, count, iterations).numpy(), wanted, rtol=1e-10, atol=1e-12)


def test_distortion_never_rises_and_settles() -> None:
    values = numbers(5000) ** 3

    def distortion(iterations: int) -> float:
        return float((values[:, None] - k_means(values, 16, iterations)).square().min(1).values.sum())

    course = [distortion(iterations) for iterations in range(40)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(course))
    assert course[-1] < course[0] / 2 and distortion(1000) == distortion(2000)


def test_a_cluster_of_one_value_only() -> None:
    assert k_means(numbers(9), 1).item() == pytest.approx(numbers(9).mean().item())


@pytest.mark.parametrize("bits", [2, {"conv": 3}, {"linear": 2, "0.weight": 4}])
def test_share_leaves_few_values_near_the_old_ones_and_keeps_zeros(bits: int | dict[str, int]) -> None:
    module = small_module()
    prune(module, 0.5)
    before = copy.deepcopy(module.state_dict())
    share(module, bits)
    given = {"conv": bits, "linear": bits} if isinstance(bits, int) else {"conv": 8, "linear": 5, **bits}
    for name, kind in (("0.weight", "conv"), ("4.weight", "linear")):
        old, new = before[name], module.state_dict()[name]
        allowed = given.get(name, given[kind])
        assert len(new.unique()) <= 2**allowed and torch.equal(old == 0, new == 0)
        centroids = new[new != 0].unique()
        nearest = centroids[(old.flatten()[:, None] - centroids).abs().argmin(1)].view_as(old)
        assert torch.equal(new[new != 0], nearest[new != 0])  # that k-means has settled
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in before if "weight" not in name)
    again = copy.deepcopy(module)
    share(again, bits)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in module.state_dict().items())


def test_share_uses_all_the_room_without_zeros() -> None:
    module = nn.Linear(40, 50)
    with torch.no_grad():
        module.weight.copy_(numbers(2000).view(50, 40))
    share(module, 1)
    low, high = module.weight.detach().unique().tolist()
    assert low == pytest.approx(-high, rel=0.2)


def test_few_values_are_left_as_they_are() -> None:
    module = nn.Linear(3, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.1, 0.1000001, 5.0]]))
    before = module.weight.detach().clone()
    share(module, 2)
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize("bits", [0, 17, {"conv": 2.5}])
def test_share_refuses_bits(bits: int) -> None:
    with pytest.raises(InfodiscardError, match="from 1 to 16"):
        share(small_module(), bits)


def test_share_refuses_names_and_iterations() -> None:
    with pytest.raises(InfodiscardError, match=r"no weights '4\.wieght' to share; near it are '4\.weight'"):
        share(small_module(), {"4.wieght": 3})
    with pytest.raises(InfodiscardError, match="iterations is -1"):
        share(small_module(), iterations=-1)
