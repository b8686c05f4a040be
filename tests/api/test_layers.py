"""Layers of networks, also where there is no input at hand."""

import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, Network, list_layers, zoo


def shapes(layers):
    return {layer.name: layer.shape for layer in layers}


def test_a_network_says_what_it_takes_or_is_tried():
    assert shapes(list_layers("zoo:resnet20"))["layer3"] == (64, 8, 8)
    assert shapes(list_layers(zoo.load("demo")))["output"] == (10,)
    conv = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 26 * 26, 3)).eval()
    assert shapes(list_layers(conv))["0"] == (2, 26, 26)  # of 28 × 28, the fourth size that is tried
    assert shapes(list_layers(nn.Sequential(nn.Linear(5, 3)).eval()))["0"] == (3,)
    assert shapes(list_layers(nn.Sequential(nn.Conv1d(2, 4, 3)).eval()))["0"] == (4, 254)
    assert shapes(list_layers(conv, torch.zeros(2, 1, 28, 28)))["2"] == (3,)


def test_what_it_takes_cannot_always_be_known():
    odd = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(7, 3))
    with pytest.raises(InfodiscardError, match="is in training mode"):
        list_layers(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)))
    with pytest.raises(InfodiscardError, match=r"The input size of 'Sequential' is not known, and it takes none of"):
        list_layers(odd.eval())
    with pytest.raises(InfodiscardError, match="network was 3"):
        list_layers(3)
    with pytest.raises(InfodiscardError, match="does not take an input"):
        list_layers(Network(odd, "odd", 0, 1, 8))
