"""A prepared network: its input space, its copies, and the errors of its layers."""

import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, Network
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.prepared_network import PreparedNetwork
from infodiscard.networks.network import weights_hash
from infodiscard.results.plan import Unit

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def prepared(module=None, dtype=torch.float32, cap="range"):
    network = Network(module or nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).to(dtype), "net", (0.5,) * 3, (0.25,) * 3)
    return PreparedNetwork.prepare("net", network, coerce_inputs(IMAGES), ["*"], Settings(cap=cap), None)


def test_layers_and_cap_are_those_of_the_network():
    network = prepared()
    assert network.layers == ("0", "1", "output") and network.cap == 40.0
    assert prepared(cap={"net": 3.0}).cap == prepared(cap=3.0).cap == 3.0


def test_the_input_space_is_undone():
    network = prepared()
    inputs = network.normalised(network.inputs)
    torch.testing.assert_close(inputs, (IMAGES - 0.5) / 0.25)
    torch.testing.assert_close(network.as_images(inputs), IMAGES)


@pytest.mark.parametrize(("dtype", "space"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_inputs_are_kept_in_single_precision_or_better(dtype, space):
    network = prepared(dtype=dtype)
    assert network.normalised(network.inputs).dtype == space and network.call(network.first(1))[0][0].dtype == dtype


def test_samples_stay_here():
    network = prepared()
    assert len(network.part(Unit("net", "0", 1, 3)).names) == 2 and len(network.first(2).names) == 2
    assert network.without_samples().inputs.names == () and network.without_samples().layers == network.layers


def test_errors_name_the_layer():
    network = prepared()
    for error, says in (
        (InfodiscardError("it is odd"), "cannot be measured: it is odd"),
        (MemoryError(), "does not fit"),
    ):
        with pytest.raises(InfodiscardError, match=f"Layer '1' of 'net' {says}"), network.layer("1"):
            raise error
    with pytest.raises(ValueError, match="mine"), network.layer("1"):
        raise ValueError("mine")


class Mixed(nn.Module):
    """A network whose first parameter has another precision than its layers."""

    def __init__(self, dtype):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.layer = nn.Linear(6, 4).to(dtype)

    def forward(self, x):
        return self.layer(x) * self.scale


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_come_in_a_precision_that_the_network_takes(dtype):
    rows = coerce_inputs(torch.rand(2, 6))
    network = PreparedNetwork.prepare("net", Network(Mixed(dtype), "net"), rows, ["output"], Settings(), None)
    assert network.dtype == dtype and network.call(network.first(1))[0].dtype == dtype
    with pytest.raises(InfodiscardError, match="does not take an input of shape"):
        narrow = coerce_inputs(torch.rand(2, 5))
        PreparedNetwork.prepare("net", Network(Mixed(dtype), "net"), narrow, ["output"], Settings(), None)


def test_the_hash_of_the_weights_leaves_out_what_passes_write():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 3)
            self.register_buffer("seen", torch.zeros(()))
            self.register_buffer("offset", torch.zeros(()))

        def forward(self, x):
            self.seen += len(x)
            return self.layer(x) + self.offset

    module = Counting()
    before = prepared(module).weights_hash()
    module(IMAGES)
    assert module.seen == 3 and prepared(module).weights_hash() == before
    module.offset += 1
    assert prepared(module).weights_hash() != before
    plain = prepared()
    assert plain.weights_hash() == weights_hash(plain.module)
