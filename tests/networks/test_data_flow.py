"""Data flow: stages come after those that they are computed from, and branches are found."""

import pytest
import torch
from torch import nn

from infodiscard import zoo
from infodiscard.networks import data_flow
from infodiscard.networks.data_flow import Stage, stages

RESNET = ["bn1", "layer1", "layer2", "layer3", "linear"]


def test_a_trained_resnet_has_its_skip_connections():
    network = zoo.load("demo").module
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = stages(network, torch.rand(1, 3, 32, 32), RESNET)
    assert found[:6] == (
        Stage("input", ()),
        Stage("conv1", (0,)),
        Stage("bn1", (1,)),  # was asked for, and is therefore no part of another
        Stage("relu", (2,)),
        Stage("layer1.0.conv1 … bn2", (3,)),
        Stage("layer1.0", (3, 4)),
    )
    names = [stage.name for stage in found]
    assert (
        names[-3:] == ["layer3.2.conv1 … bn2", "layer3", "linear"] and [names.count(each) for each in RESNET] == [1] * 5
    )
    blocks = [stage for stage in found if len(stage.sources) == 2]
    assert len(blocks) == 9 and all(max(stage.sources) < place for place, stage in enumerate(found[1:], 1))
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class Branches(nn.Module):
    """Two branches that are concatenated, activations in place, one module called twice, and a pair for an output."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True)
        self.left, self.right = nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU(inplace=True)), nn.Conv2d(4, 2, 1)
        self.unused, self.same = nn.Conv2d(9, 9, 1), nn.Identity()

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = self.relu(torch.cat([self.left(x), self.same(self.right(x)).mul_(2)], 1))
        return x, x.mean((2, 3))


@pytest.fixture
def branches():
    return Branches().eval()


def test_branches_in_place_and_layers_of_one_feature(branches):
    x = torch.rand(1, 3, 4, 4)
    assert stages(branches, x, ["left", "right", "output[1]"]) == (
        Stage("input", ()),
        Stage("stem … relu", (0,)),
        Stage("left.0", (1,)),  # the first part of a layer
        Stage("left", (2,)),
        Stage("right", (1,)),
        Stage("relu#1", (3, 4)),
        Stage("output[1]", (5,)),
    )
    assert stages(branches, x, ["relu#1", "output[0]"])[-2:] == (
        Stage("relu#1", (2, 3)),
        Stage("output[0]", (4,)),
    )  # one feature


def test_of_many_stages_whole_blocks_are_taken(branches, monkeypatch):
    monkeypatch.setattr(data_flow, "MOST", 4)
    found = stages(zoo.load("demo").module, torch.rand(1, 3, 32, 32), RESNET)
    assert [stage.name for stage in found] == ["input", "conv1", "bn1", "relu", "layer1", "layer2", "layer3", "linear"]
    assert all(stage.sources == (place,) for place, stage in enumerate(found[1:]))


def test_what_autograd_does_not_see_is_not_guessed(branches):
    branches.same.forward = lambda x: x.detach()
    assert stages(branches, torch.rand(1, 3, 4, 4), ["stem", "same"]) == ()
    assert stages(branches, torch.rand(1, 3, 4, 4), ["unused"]) == ()
    with torch.inference_mode():  # whatever surrounds it
        assert len(stages(branches, torch.rand(1, 3, 4, 4), ["stem", "left"])) == 7
