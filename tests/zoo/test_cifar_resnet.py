"""CIFAR's ResNets: sizes, shortcuts, damage, and the names of published weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from infodiscard import data, zoo
from infodiscard.errors import InfodiscardError
from infodiscard.training.evaluate import accuracy
from infodiscard.zoo.cifar_resnet import BasicBlock, CifarResNet, damage_positions
from tiny import random_network

SHARED = Path(__file__).parents[3] / "shared" / "data"


needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data are not here")


@pytest.mark.parametrize("depth, parameters", [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_resnets_have_the_size_of_the_paper(depth: int, parameters: float) -> None:
    """He et al. (2016), table 6, in millions."""
    module = zoo.load(f"zoo:resnet{depth}", allow_random=True).module
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == parameters
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in module.modules()) == depth


def test_shortcut_subsamples_and_pads_with_zeros() -> None:
    x = torch.rand(2, 16, 8, 8)
    y = BasicBlock(16, 32, 2).shortcut(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2]) and not y[:, :8].any() and not y[:, 24:].any()
    assert BasicBlock(16, 16, 1).shortcut(x) is x


def test_a_block_outputs_what_the_next_one_takes() -> None:
    module = zoo.load("zoo:resnet20", allow_random=True).module
    seen: dict[str, torch.Tensor] = {}
    module.layer1[0].register_forward_hook(lambda block, given, out: seen.update(out=out))  # type: ignore[union-attr,index]
    module.layer1[1].register_forward_hook(lambda block, given, out: seen.update(given=given[0]))  # type: ignore[union-attr,index]
    module(torch.rand(1, 3, 32, 32))
    assert seen["out"] is seen["given"] and seen["out"].min() >= 0


DAMAGED = [("layer1.0", "layer1.1"), ("layer1.2", "layer2"), ("layer2.1", "layer2.2"), ("layer3.1", "layer3.2")]


@pytest.mark.parametrize("place, next_one", DAMAGED)
def test_a_damaging_block_lies_between_its_neighbours(place: str, next_one: str) -> None:
    module, stage = random_network(f"resnet20,damage={place}").module, place.partition(".")[0]
    seen: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    for name, child in module.named_modules():
        if name in (place, f"{stage}.damage", next_one):
            child.register_forward_hook(lambda _, given, out, name=name: seen.append((name, given[0], out)))
    module(torch.rand(1, 3, 32, 32))
    (first, _, before), (second, taken, given), (third, after, _) = seen
    assert (first, second, third) == (place, f"{stage}.damage", next_one)
    assert taken is before and after is given
    block = module.get_submodule(f"{stage}.damage")
    assert [type(part).__name__ for part in block] == ["Conv2d", "ReLU", "Conv2d", "ReLU"]
    assert block[0].kernel_size == block[2].kernel_size == (1, 1) and block[0].out_channels == 8
    assert block[2].out_channels == block[0].in_channels == before.shape[1]
    with torch.no_grad():  # no shortcut: of nothing it makes what its biases are
        block[0].bias.zero_(), block[2].bias.zero_()
        assert not block(torch.zeros(1, before.shape[1], 4, 4)).any()


@pytest.mark.parametrize("place", [place for place, _ in DAMAGED])
def test_damage_changes_no_other_name(place: str) -> None:
    whole, damaged = random_network("resnet20").module, random_network(f"resnet20,damage={place}").module
    stage = place.partition(".")[0]
    assert [name for name in damaged.state_dict() if ".damage." not in name] == list(whole.state_dict())
    found = damaged.load_state_dict(whole.state_dict(), strict=False)
    assert not found.unexpected_keys and set(found.missing_keys) == {
        f"{stage}.damage.{part}" for part in ("0.weight", "0.bias", "2.weight", "2.bias")
    }
    x = torch.rand(2, 3, 32, 32)
    assert not torch.equal(damaged(x), whole(x))
    setattr(damaged.get_submodule(stage), "damage", nn.Identity())  # noqa: B010
    assert torch.equal(damaged(x), whole(x))


def test_where_damage_can_be() -> None:
    assert damage_positions(20) == [f"layer{i}.{j}" for i in (1, 2, 3) for j in (0, 1, 2)][:-1]
    assert len(damage_positions(56)) == 26
    for place in ("layer3.2", "layer1.3", "layer4.0", "layer1", "bn1", "layer1.01"):
        with pytest.raises(InfodiscardError, match=rf"no block '{place}'.* layer1\.0, layer1\.1.*, layer3\.1\.$"):
            random_network(f"resnet20,damage={place}")
    for name in ("vgg16", "resnet18", "autoencoder20"):
        with pytest.raises(InfodiscardError, match=f"'{name}' cannot be damaged; that is for resnet20, "):
            random_network(f"{name},damage=layer1.0")


@needs_shared
@pytest.mark.parametrize("depth", [20, 32, 44])
def test_known_weights_reach_their_accuracy(depth: int) -> None:
    """91.73, 92.63 and 93.10 % of all test images; within three standard errors on the first 256."""
    network = zoo.load(f"zoo:resnet{depth}", SHARED / "weights" / f"resnet{depth}_cifar10.safetensors")
    images = data.load(f"parquet:{SHARED}/cifar10/test-*.parquet", 256)
    expected = {20: 0.9173, 32: 0.9263, 44: 0.9310}[depth]
    assert accuracy(network, images) == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 256) ** 0.5)


@needs_shared
def test_keys_are_those_of_published_weights() -> None:
    with safe_open(SHARED / "weights" / "resnet20_cifar10.safetensors", "pt") as file:
        published = set(file.keys())
    assert {key for key in CifarResNet(20).state_dict() if "tracked" not in key} == {
        k for k in published if "tracked" not in k
    }
