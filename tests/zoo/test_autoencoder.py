"""Auto-encoders: shapes, and the classifier's encoder."""

from __future__ import annotations

import pytest
import torch

from tiny import random_network


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (33, 47), (5, 6)])
def test_an_autoencoder_restores_the_shape(size: tuple[int, int]) -> None:
    network = random_network(f"autoencoder20,width=0.1,size={size[0]}x{size[1]}")
    assert network.input_size == size
    x = torch.rand(2, 3, *size)
    assert network.module(x).shape == x.shape
    assert network.default_layers == ("bn1", "layer1", "layer2", "layer3")


@pytest.mark.parametrize("depth", [20, 44])
def test_an_encoder_is_the_classifier_without_its_end(depth: int) -> None:
    classifier, whole = (
        random_network(f"resnet{depth},width=0.5").module,
        random_network(f"autoencoder{depth},width=0.5").module,
    )
    names = [name for name, _ in whole.named_modules() if name and not name.startswith("decoder")]
    assert names == [name for name, _ in classifier.named_modules() if name and name != "linear"]
    found = whole.load_state_dict(classifier.state_dict(), strict=False)
    assert found.unexpected_keys == ["linear.weight", "linear.bias"]
    assert all(key.startswith("decoder.") for key in found.missing_keys)
    seen = []
    classifier.layer3.register_forward_hook(lambda module, given, out: seen.append(out))
    x = torch.rand(2, 3, 32, 32)
    classifier(x)
    assert torch.equal(whole.encode(x), seen[0])
