"""Deep Compression: pruning, sharing, holding both through training, sizes, and the whole way."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from infodiscard import zoo
from infodiscard.errors import InfodiscardError
from infodiscard.training import compress as compression
from infodiscard.training.compress import (
    code_lengths,
    compress,
    k_means,
    relative_indices,
    share,
    size_report,
)
from infodiscard.training.pruning import hold, prune


def small(seed: int = 0) -> nn.Sequential:
    """A module with a conv, a norm and a linear layer, with sizes that fill no vector register."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.Flatten(), nn.Linear(7 * 36, 10))


def numbers(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Pruning


def test_prune_zeroes_what_is_below_the_threshold_and_nothing_else() -> None:
    module = small()
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
    assert set(prune(small(), 0).values()) == {1.0}


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), float("inf")])
def test_prune_refuses_a_threshold(threshold: float) -> None:
    with pytest.raises(InfodiscardError, match="0 or more"):
        prune(small(), threshold)


def test_prune_that_leaves_nothing_of_a_layer_changes_nothing() -> None:
    module = small()
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


# Sharing


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
    module = small()
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
        share(small(), bits)


def test_share_refuses_names_and_iterations() -> None:
    with pytest.raises(InfodiscardError, match=r"no weights '4\.wieght' to share; near it are '4\.weight'"):
        share(small(), {"4.wieght": 3})
    with pytest.raises(InfodiscardError, match="iterations is -1"):
        share(small(), iterations=-1)


# Holding


@pytest.mark.parametrize("what", ["zeros", "shared"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_hold_keeps_to_the_last_bit(what: str, layout: torch.memory_format, optimizer: str) -> None:
    module = small().to(memory_format=layout)
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


# Sizes


def test_code_lengths_of_a_known_distribution() -> None:
    """Cormen et al.'s example (Introduction to Algorithms, section 16.3): 224,000 bits for 100,000 letters."""
    counts = [45, 13, 12, 16, 9, 5]
    lengths = code_lengths(counts)
    assert lengths == [1, 3, 3, 3, 4, 4] and np.dot(counts, lengths) == 224
    assert code_lengths([1, 2, 4, 8, 16]) == [4, 4, 3, 2, 1]  # powers of two: the entropy of halves, exactly
    assert code_lengths([7] * 8) == [3] * 8
    assert code_lengths([9]) == [0] and code_lengths([]) == []


def test_code_lengths_fill_the_tree_and_lie_within_a_bit_of_the_entropy() -> None:
    counts = np.random.default_rng(0).integers(1, 1000, 77)
    lengths = np.array(code_lengths(counts.tolist()))
    shares = counts / counts.sum()
    entropy = -(shares * np.log2(shares)).sum()
    assert (0.5**lengths).sum() == 1 and entropy <= (shares * lengths).sum() < entropy + 1


def test_relative_indices_of_han_et_als_figure() -> None:
    """Figure 2 of Han et al. 2016: spans of 3 bits, and a filler zero where a gap is wider than 8."""
    weights = torch.zeros(16)
    weights[[0, 3, 14]] = torch.tensor([3.4, 0.9, 1.7])
    steps, values = relative_indices(weights, 3)
    assert steps.tolist() == [1, 3, 8, 3]
    torch.testing.assert_close(values, torch.tensor([3.4, 0.9, 0.0, 1.7]))


def test_relative_indices_at_the_edges_of_a_span() -> None:
    weights = torch.zeros(30)
    weights[[3, 7, 12, 24]] = torch.tensor([1.0, 2.0, 3.0, 4.0])  # gaps of 4, 4, 5 and 12
    steps, values = relative_indices(weights, 2)
    assert steps.tolist() == [4, 4, 4, 1, 4, 4, 4] and values.tolist() == [1, 2, 0, 3, 0, 0, 4]
    restored = torch.zeros(30)
    restored[steps.cumsum(0) - 1] = values
    assert torch.equal(restored, weights)
    assert [len(part) for part in relative_indices(torch.zeros(5), 2)] == [0, 0]


def test_size_report_counts_by_hand() -> None:
    """40 weights, of which four are left, on one gap wider than 2**5."""
    module = nn.Linear(40, 1)
    with torch.no_grad():
        module.weight.zero_()
        module.weight[0, [0, 1, 2, 39]] = torch.tensor([0.5, 0.5, 0.5, -1.0])
    table = size_report(module).set_index("name")
    row = table.loc["weight"]
    assert (row.parameters, row.left, row.share_left, row.shared_values) == (40, 4, 0.1, 2)
    assert row.index_bits == 2  # of 0.5, -1 and the filler's 0
    assert row.dense == 160
    assert row.pruned == -(-5 * (32 + 5) // 8)  # five entries: steps of 1, 1, 1, 32 to the filler, and 5
    assert row["shared"] == -(-(3 * 32 + 5 * (2 + 5)) // 8)
    values, steps = 3 * 1 + 2 + 2, 3 * 1 + 2 + 2  # bits of the codes: 3 × 0.5, 0 and -1; 3 × 1, 32 and 5
    assert row.huffman == -(-(3 * 32 + values + steps + 8 * (3 + 33)) // 8)  # code lengths of 3 values, steps 0 … 32
    others, total = table.loc["others"], table.loc["total"]
    assert others.parameters == 1 and others.huffman == others.dense == 4
    assert table.loc[["others", "total"], ["shared_values", "index_bits"]].isna().all(axis=None)
    for column in ("parameters", "left", "dense", "pruned", "shared", "huffman"):
        assert total[column] == row[column] + others[column]
    assert total.ratio == total.dense / total.huffman and total.share_left == 5 / 41


def test_each_stage_shrinks_a_network() -> None:
    module = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Linear(300, 200))
    for layer in module:
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    whole = size_report(module).set_index("name").loc["total"]
    assert whole.pruned == whole.dense  # nothing is left out, and so no positions are stored
    prune(module, 1.6)
    share(module)
    total = size_report(module).set_index("name").loc["total"]
    assert total.dense == whole.dense > total.pruned > total["shared"] > total.huffman
    assert total.ratio > 15


# The whole way


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """Two classes that differ in brightness, twelve images."""
    labels = np.arange(12) % 2
    noise = np.random.default_rng(0).integers(0, 60, (12, 32, 32, 3))
    np.savez(tmp_path / "tiny.npz", images=(noise + 150 * labels[:, None, None, None]).astype(np.uint8), labels=labels)
    return f"npz:{tmp_path / 'tiny.npz'}"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "start.safetensors"
    save_file(zoo.load("zoo:resnet20,width=0.25", allow_random=True).module.state_dict(), path)
    return path


@pytest.mark.slow
def test_compress_goes_all_the_way_and_takes_up_what_is_there(
    tiny: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict = {"weights": weights, "bits": 4, "test_data": tiny, "epochs": 2, "batch_size": 6, "share_epochs": 1}
    network, out = "zoo:resnet20,width=0.25", tmp_path / "out"
    before = torch.get_rng_state()
    result = compress(network, tiny, 0.6, out, **options)
    assert torch.equal(before, torch.get_rng_state())
    assert list(result.accuracy) == ["original", "pruned", "retrained", "shared", "tuned"]
    assert all(value is not None and 0 <= value <= 1 for value in result.accuracy.values())
    pruned, final = load_file(out / "pruned.safetensors"), load_file(result.weights)
    shared = load_file(out / "shared.safetensors")
    for name in ("conv1.weight", "layer3.1.conv2.weight"):
        assert torch.equal(pruned[name] == 0, final[name] == 0) and (final[name] == 0).any()
        assert len(final[name].unique()) <= 16 and not torch.equal(shared[name], final[name])
    assert not torch.equal(pruned["bn1.bias"], final["bn1.bias"])
    assert result.report.set_index("name").loc["total"].ratio > 3
    with safe_open(result.weights, "pt") as file:
        metadata = file.metadata()
    recipe = json.loads(metadata["recipe"])
    assert recipe == result.recipe and recipe["lr"] < 0.01 and recipe["threshold"] == 0.6
    assert json.loads(metadata["accuracy"]) == result.accuracy
    assert torch.equal(zoo.load(str(result.weights)).module.conv1.weight, final["conv1.weight"])
    assert not list(out.glob("*.part"))

    # What was written is not made again; from the files of the trainings, the end is the same.
    monkeypatch.setattr("infodiscard.training.train_network._fit", lambda *_: pytest.fail("trained again"))
    (out / "compressed.safetensors").unlink()
    (out / "shared.safetensors").unlink()
    again = compress(network, tiny, 0.6, out, **options)
    assert again.accuracy == result.accuracy and again.report.equals(result.report)
    assert all(torch.equal(value, final[name]) for name, value in load_file(again.weights).items())
    monkeypatch.setattr(compression, "train", lambda *_, **__: pytest.fail("train was called"))
    assert compress(network, tiny, 0.6, out, **options).accuracy == result.accuracy

    with pytest.raises(InfodiscardError, match=r"another compression \(it differs in epochs, threshold\)"):
        compress(network, tiny, 0.7, out, **(options | {"epochs": 3}))
    result.weights.write_bytes(b"nonsense")
    with pytest.raises(InfodiscardError, match="not a file of a compression"):
        compress(network, tiny, 0.6, out, **options)


@pytest.mark.slow
def test_compress_without_test_images_or_tuning(tiny: str, weights: Path, tmp_path: Path) -> None:
    result = compress(
        "resnet20,width=0.25", tiny, 0.6, tmp_path / "out", weights=weights, epochs=1, batch_size=12, lr=0.01
    )
    assert result.accuracy == dict.fromkeys(("original", "pruned", "retrained", "shared"))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.*")) == [
        "compressed.safetensors",
        "pruned.safetensors",
    ]
    assert result.recipe["lr"] == 0.01


def test_compress_refuses_before_it_writes(tiny: str, weights: Path, tmp_path: Path) -> None:
    network, out = "zoo:resnet20,width=0.25", tmp_path / "out"
    with pytest.raises(InfodiscardError, match="share_epochs"):
        compress(network, tiny, 0.5, out, weights=weights, share_epochs=-1)
    with pytest.raises(InfodiscardError, match="epochs is 0"):
        compress(network, tiny, 0.5, out, weights=weights, epochs=0)
    with pytest.raises(InfodiscardError, match="do not fit"):
        compress("zoo:resnet20", tiny, 0.5, out, weights=weights)
    with pytest.raises(InfodiscardError, match="leaves no weight"):
        compress(network, tiny, 50, out, weights=weights)
    with pytest.raises(TypeError, match="keep"):
        compress(network, tiny, 0.5, out, weights=weights, keep="shared")
    assert not list(tmp_path.rglob("out/*"))
