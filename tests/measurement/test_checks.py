"""Checks of layers: what cannot be measured is refused, by layer."""

import random

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from infodiscard import InfodiscardError, Network
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.checks import measurable
from infodiscard.measurement.prepared_network import PreparedNetwork
from infodiscard.networks.state import State
from probing import Lambda, seeded


def check(function, images=None, kind=None):
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0)) if images is None else images
    network = Network(nn.Sequential(nn.Identity(), Lambda(function)).to(images.dtype), "net")
    check_network(network, images, ["1"], kind)


def check_network(network, samples, layers, kind=None):
    prepared = PreparedNetwork.prepare("net", network, coerce_inputs(samples, kind=kind), layers, Settings(), None)
    measurable(prepared, 0.01)


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


# ---- one sample by itself ------------------------------------------------------------------------------------------


COUPLED = {
    "the batch's mean": lambda x: x - x.mean(0),
    "a little of it": lambda x: x + 0.3 * x.mean(0),
    "its norm": lambda x: x / x.norm(),
    "a softmax over it": lambda x: x.softmax(0),
    "sums along it": lambda x: x.cumsum(0),
    "the sample before": lambda x: x.roll(1, 0),
    "the last sample": lambda x: x - x[-1:],
    "a place in it": lambda x: x + torch.arange(len(x)).view(-1, 1, 1, 1),
    "its size": lambda x: x * len(x),
    "its own statistics": lambda x: F.batch_norm(x, None, None, training=True),
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", COUPLED)
def test_what_depends_on_the_batch_is_refused_also_of_one_sample(kind, count):
    images = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InfodiscardError, match=r"depends on the other inputs of its batch.*batch_first=True"):
        check(COUPLED[kind], images)


def test_an_output_with_a_dimension_for_the_batch_more_is_refused():
    with pytest.raises(InfodiscardError, match=r"shape \(4, 4\) for 4 inputs and \(2, 2\) for 2; its size must"):
        check(lambda x: x.flatten(1) @ x.flatten(1).T)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("layer", [nn.LSTM(4, 6), nn.GRU(4, 6), nn.TransformerEncoderLayer(4, 2, 8)])
def test_sequences_that_run_along_the_batch_are_refused(layer, count):
    with pytest.raises(InfodiscardError, match="depends on the other inputs of its batch"):
        check_network(Network(layer.eval(), "net"), torch.randn(count, 7, 4), ["output"], "tokens")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 2])
def test_roundings_that_differ_with_the_batch_are_allowed(dtype, count):
    model = seeded(torchvision.models.resnet18).to(dtype)
    layers = ["conv1", "layer2", "layer4", "output"]
    check_network(Network(model, "net"), torch.rand(count, 3, 16, 16), layers)


# ---- random numbers, and what passes leave behind ------------------------------------------------------------------

DRAWS = {
    "torch": lambda: float(torch.rand(())),
    "in place": lambda: float(torch.empty(()).uniform_()),
    "numpy": np.random.rand,
    "python": random.random,
}


@pytest.mark.parametrize("source", DRAWS)
def test_what_is_drawn_without_effect_is_allowed_and_taken_back(source):
    state = State.of(nn.Identity())
    check(lambda x: 2 * x * (DRAWS[source]() >= 0))
    assert not state.changed().parts


@pytest.mark.parametrize("chance", [0.001, 0.02, 0.5])
@pytest.mark.parametrize("least", [True, False])
def test_a_block_that_is_rarely_dropped_is_found(chance, least):
    state = State.of(nn.Identity())
    with pytest.raises(InfodiscardError, match="its output is random"):
        check(lambda x: x * (torch.rand(()) > chance if least else torch.rand(()) < 1 - chance))
    assert not state.changed().parts


@pytest.mark.parametrize("source", ["numpy", "python"])
def test_rare_draws_of_other_generators_are_found(source):
    with pytest.raises(InfodiscardError, match="its output is random"):
        check(lambda x: x * (DRAWS[source]() > 0.05))


def test_drop_path_that_was_left_on_is_found():
    with pytest.raises(InfodiscardError, match="its output is random"):
        check(lambda x: x + torchvision.ops.stochastic_depth(x, 0.01, "row", training=True))


class Averaging(nn.Module):
    """A layer that keeps a running mean, and may use it."""

    def __init__(self, used):
        super().__init__()
        self.used = used
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        self.mean += 0.1 * (x.detach().mean() - self.mean)
        return x - self.mean * self.used


def test_buffers_that_passes_write_may_not_reach_the_feature():
    model, images = Averaging(False).eval(), torch.rand(2, 3, 4, 4)
    check_network(Network(model, "net"), images, ["output"])
    assert model.mean == 0
    model.used = True
    with pytest.raises(
        InfodiscardError, match=r"not the same in every pass over the same input, as a pass changes mean"
    ):
        check_network(Network(model, "net"), images, ["output"])
    assert model.mean == 0


class Merging(nn.Module):
    """Weights that are changed for one layer, and changed back behind it."""

    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)
        self.added = nn.Parameter(torch.randn(8, 6))

    def forward(self, x):
        self.first.weight.data += self.added
        h = self.act(self.first(x))
        self.first.weight.data -= self.added
        return self.last(h)


def test_weights_that_are_changed_back_before_the_gradient_is_taken_are_refused():
    network = Network(seeded(Merging), "net")
    check_network(network, torch.randn(2, 6), ["act"])
    with pytest.raises(InfodiscardError, match=r"the gradient up to it is not .* changes first\.weight of the network"):
        check_network(network, torch.randn(2, 6), ["last"])
