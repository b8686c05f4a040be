"""Checks of layers: what cannot be measured is refused, by layer."""

import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, Network
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.checks import check_layers
from infodiscard.measurement.prepared_network import PreparedNetwork
from probing import Lambda


def check(function, images=None):
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0)) if images is None else images
    network = Network(nn.Sequential(nn.Identity(), Lambda(function)), "net")
    prepared = PreparedNetwork.prepare("net", network, coerce_inputs(images), ["1"], Settings(), None)
    check_layers(prepared, 0.01)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x + torch.rand_like(x), "its output is random"),
        (lambda x: x - x.mean(0), "depends on the other inputs of its batch"),
        (lambda x: x * 0, "δ_f² = 0"),
        (lambda x: x.detach(), "gradient"),
    ],
)
def test_layers_that_cannot_be_measured_are_refused(function, says):
    with pytest.raises(InfodiscardError, match=f"Layer '1' of 'net' cannot be measured: .*{says}"):
        check(function)


@pytest.mark.parametrize("place", [0, 1, 8])
def test_one_sample_that_can_be_measured_is_enough(place):
    """Wherever it is; the layer maps the others to a constant."""
    images = torch.rand(9, 3, 4, 4, generator=torch.Generator().manual_seed(0)) - 9
    images[place] += 9
    check(torch.relu, images)
    check(torch.relu)


def test_the_random_state_is_left_alone():
    before = torch.get_rng_state()
    with pytest.raises(InfodiscardError):
        check(lambda x: x + torch.rand_like(x))
    assert torch.equal(before, torch.get_rng_state())
