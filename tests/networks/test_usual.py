"""Usual layers of networks that nobody has named any of."""

import pytest
import torch
import torchvision
from torch import nn

from infodiscard.networks.addresses import Layer
from infodiscard.networks.probe import list_layers
from infodiscard.networks.usual import choose_layers, usual_layers


class Tutorial(nn.Module):
    """The network of PyTorch's tutorial: a pooling that is called twice, and functions in between."""

    def __init__(self):
        super().__init__()
        self.conv1, self.pool, self.conv2 = nn.Conv2d(3, 6, 5), nn.MaxPool2d(2, 2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x))).flatten(1)
        return self.fc2(torch.relu(self.fc1(x)))


class Blocks(nn.Module):
    """A transformer whose blocks are in a list, which is never called."""

    def __init__(self):
        super().__init__()
        self.patch, self.norm, self.head = nn.Conv2d(3, 16, 8, 8), nn.LayerNorm(16), nn.Linear(16, 10)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0, batch_first=True) for _ in range(12)
        )

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def mlp(depth):
    return nn.Sequential(*(nn.Linear(8, 8) for _ in range(depth)))


PICTURE, ROW = torch.rand(1, 3, 32, 32), torch.rand(1, 8)
STAGES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
EXPECTED = {
    "tutorial": (Tutorial, PICTURE, ("conv1", "pool#0", "conv2", "pool#1", "output")),
    "transformer": (Blocks, PICTURE, ("patch", "blocks.1", "blocks.5", "blocks.8", "norm", "output")),
    "torchvision's": (torchvision.models.resnet18, torch.rand(1, 3, 64, 64), (*STAGES, "output")),
    "wrapped": (
        lambda: nn.Sequential(nn.Identity(), torchvision.models.resnet18()),
        torch.rand(1, 3, 64, 64),
        (*(f"1.{name}" for name in STAGES), "output"),
    ),
    "a table": (lambda: mlp(5), ROW, ("0", "1", "2", "3", "output")),
    "a deep one": (lambda: mlp(20), ROW, ("0", "4", "9", "14", "output")),
    "one module": (lambda: nn.Conv2d(3, 4, 3), PICTURE, ("output",)),
    "recurrent": (lambda: nn.LSTM(8, 4, batch_first=True), torch.rand(1, 5, 8), ("output",)),
    "dropout": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.Conv2d(4, 4, 3), nn.Dropout2d()),
        PICTURE,
        ("0", "output"),
    ),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_usual_layers(kind):
    build, example, expected = EXPECTED[kind]
    model = build().eval()
    assert choose_layers(list_layers(model, example), None, (), "net", dict(model.named_modules())) == expected


def test_an_output_that_is_no_feature_is_none_of_them():
    layers = [Layer("conv", "Conv2d", (4, 8, 8), 1, (0,)), Layer("output", "Net", None, 1, (1,))]
    assert usual_layers(layers, {}) == ("conv",)
