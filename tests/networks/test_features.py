"""Features of several layers in one pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.networks.features import Taps
from infodiscard.networks.preserve import untouched
from infodiscard.networks.probe import Probe
from tiny_decoders import smooth_images, tiny_network


def test_taps_catch_what_probes_do_and_leave_no_hook() -> None:
    network, images = tiny_network(), smooth_images()
    addresses = ["conv1", "norm", "relu#0", "relu#1", "pair[1]", "pair", "head", "output"]
    with untouched(network.module) as module:
        found = Taps(module, addresses)(network.normalise(images.images))
        for address in addresses:
            expected = Probe(module, address)(network.normalise(images.images))
            assert torch.equal(found[address], expected) and not found[address].requires_grad
        assert torch.equal(found["output"], found["head"])
        with pytest.raises(InfodiscardError, match="was not called"):
            Taps(module, ["conv1", "relu#2"])(network.normalise(images.images))
    assert not any(child._forward_hooks for child in network.module.modules())


def test_nothing_behind_the_deepest_layer_is_computed() -> None:
    network, images = tiny_network(), smooth_images()
    network.module.head = nn.Linear(99, 5)  # would fail
    with untouched(network.module) as module:
        assert set(Taps(module, ["conv1", "conv2"])(images.images)) == {"conv1", "conv2"}
