"""Accuracy and reconstruction error, against their definitions."""

from __future__ import annotations

import pytest
import torch

from infodiscard import zoo
from infodiscard.data import ImageSet
from infodiscard.errors import InfodiscardError
from infodiscard.training.evaluate import accuracy, reconstruction_error


def test_accuracy_counts() -> None:
    network = zoo.load("zoo:resnet20", allow_random=True)
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = network.module(network.normalise(images)).argmax(1)
    labels[0] = (labels[0] + 1) % 10
    assert accuracy(network, ImageSet(images, labels), batch_size=2) == 0.8
    with pytest.raises(InfodiscardError, match="no labels"):
        accuracy(network, ImageSet(images))


def test_reconstruction_error_is_a_mean_over_units() -> None:
    network = zoo.load("zoo:autoencoder20,width=0.1", allow_random=True)
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        inputs = network.normalise(images)
        wanted = float((network.module(inputs) - inputs).double().square().mean())
    assert reconstruction_error(network, ImageSet(images), batch_size=2) == pytest.approx(wanted, rel=1e-5)
