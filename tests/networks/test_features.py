"""Features of several layers: as a probe of each reads them, in one forward pass that ends at the deepest."""

import pytest
import torch
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.networks.features import LayerFeatures
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe


class Tiny(nn.Module):
    """A map at full size, one at half size, a pair and a vector; an in-place ReLU overwrites the first."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, 5)
        self.pair = nn.Identity()

    def forward(self, x):
        x = self.relu(self.conv2(self.relu(self.norm(self.conv1(x)))))
        self.pair((x, 2 * x))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny().eval()


@pytest.fixture
def images():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_features_are_those_of_probes_and_no_hook_stays(network, images):
    addresses = ["conv1", "norm", "relu#0", "relu#1", "pair[1]", "pair", "head", "output"]
    with preserved(network) as module:
        features = LayerFeatures(module, addresses)(images)
        for address in addresses:
            expected = Probe(module, address)(images)
            assert torch.equal(features[address], expected) and not features[address].requires_grad
        assert torch.equal(features["output"], features["head"])
    assert not any(child._forward_hooks for child in network.modules())


def test_a_layer_that_is_not_called_is_named_and_no_hook_stays(network, images):
    with preserved(network) as module, pytest.raises(InfodiscardError, match="Layer 'relu#2' was not called"):
        LayerFeatures(module, ["conv1", "relu#2"])(images)
    assert not any(child._forward_hooks for child in network.modules())


def test_nothing_behind_the_deepest_layer_is_computed(network, images):
    network.head = nn.Linear(99, 5)  # would fail
    with preserved(network) as module:
        assert set(LayerFeatures(module, ["conv1", "conv2"])(images)) == {"conv1", "conv2"}
