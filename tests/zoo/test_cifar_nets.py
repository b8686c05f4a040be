"""AlexNet, VGG and ResNet-18/34 for small images: sizes, classes and widths."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from infodiscard import zoo
from tiny import random_network


@pytest.mark.parametrize(
    "name, parameters", [("vgg16", 14.73), ("vgg19", 20.04), ("resnet18", 11.17), ("resnet34", 21.28)]
)
def test_networks_for_small_images_have_their_usual_size(name: str, parameters: float) -> None:
    """As usual for CIFAR-10 (github.com/kuangliu/pytorch-cifar), in millions."""
    module = random_network(name).module
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == parameters
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    # VGG with one linear layer instead of three.
    assert len(layers) - len(shortcuts) + 2 * name.startswith("vgg") == int(name[-2:])


def test_alexnet_has_its_size() -> None:
    """Counted by hand: five convolutions, and three linear layers from 4 × 4 × 256."""
    sizes = [(3 * 25, 64), (64 * 25, 192), (192 * 9, 384), (384 * 9, 256), (256 * 9, 256), (4096, 1024), (1024, 1024)]
    module = random_network("alexnet").module
    assert sum(p.numel() for p in module.parameters()) == sum((i + 1) * o for i, o in [*sizes, (1024, 10)])
    assert sum(isinstance(m, nn.Dropout) for m in module.modules()) == 2


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "vgg19", "resnet18", "resnet34", "resnet20"])
def test_classes_width_and_size(name: str) -> None:
    network = random_network(f"{name},width=0.1,classes=7,size=64x48")
    assert network.input_size == (64, 48) and network.name == f"{name},width=0.1,classes=7,size=64x48"
    inputs = network.normalise(torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        logits = network.module(inputs)
    assert logits.shape == (2, 7) and logits.isfinite().all() and not torch.equal(logits[0], logits[1])
    assert not any(tensor.is_meta for tensor in network.module.state_dict().values())
    assert set(network.default_layers) <= {layer for layer, _ in network.module.named_modules()}
    wide, narrow = random_network(name).module.state_dict(), random_network(f"{name},width=0.1").module.state_dict()
    assert wide.keys() == narrow.keys()
    for key, value in wide.items():
        for usual, made in zip(value.shape, narrow[key].shape, strict=True):
            # Kernels, input colours and classes stay; AlexNet's linear layer takes 16 numbers of each channel.
            cells = 16 if key == "classifier.1.weight" and usual == 4096 else 1
            assert made in (usual, cells * round(usual / cells * 0.1))
    assert sum(v.numel() for v in narrow.values()) < 0.03 * sum(v.numel() for v in wide.values())


def test_the_thinnest_network_has_a_channel_left() -> None:
    assert random_network("vgg16,width=0.001").module(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert random_network("resnet20,width=0.001").module.conv1.out_channels == 1


def test_a_network_for_small_images_is_torchvisions_but_for_its_entrance() -> None:
    """Weights of torchvision's ResNet-18 fit all blocks, and then the blocks compute the same."""
    ours, theirs = random_network("resnet18").module, zoo.load("torchvision:resnet18", allow_random=True, seed=1).module
    state = {key: value for key, value in theirs.state_dict().items() if key.startswith("layer")}
    assert not ours.load_state_dict(state, strict=False).unexpected_keys
    x = torch.rand(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(*(m.layer4(m.layer3(m.layer2(m.layer1(x)))) for m in (ours, theirs)))
