"""One network of each family that is no image classifier: listed, measured in three layers, and left as it was."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from infodiscard import list_layers, measure
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe
from unchanged import assert_same_state, state

FAST = {"max_passes": 256, "progress": False}


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


class UNet(nn.Module):
    """Two levels, with the skip that makes it one."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(2, 4, 3, padding=1)
        self.bottom = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.last = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        first = torch.relu(self.down(x))
        return self.last(torch.cat([first, self.up(torch.relu(self.bottom(first)))], 1))


class Captioner(nn.Module):
    """An image and a vector; returns a dict."""

    def __init__(self):
        super().__init__()
        self.image, self.vector = nn.Conv2d(3, 4, 4, stride=4), nn.Linear(5, 4)
        self.join = nn.Tanh()

    def forward(self, image, vector):
        pooled = self.image(image).mean((2, 3))
        return {"joint": self.join(pooled + self.vector(vector)), "pooled": pooled}


FAMILIES = {
    "LSTM": (Tagger, (2, 7, 4), "tokens", ["lstm", "head", "output"], ("token",)),
    "tabular MLP": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
        (2, 6),
        None,
        ["0", "2", "output"],
        ("feature",),
    ),
    "audio CNN": (
        lambda: nn.Sequential(
            nn.Conv1d(1, 4, 9, stride=4), nn.ReLU(inplace=True), nn.AdaptiveAvgPool1d(1), nn.Flatten()
        ),
        (2, 1, 64),
        "series",
        ["0", "1", "output"],
        ("time",),
    ),
    "U-Net": (UNet, (2, 2, 8, 8), None, ["bottom", "up", "output"], ("y", "x")),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family(family):
    make, shape, kind, layers, dims = FAMILIES[family]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = state(model)
    assert set(layers) <= {layer.name for layer in list_layers(model, x)}
    run = measure(model, x, layers, kind=kind, **FAST)
    assert run.dataset["sid_map"].dims[3:] == dims
    assert np.isfinite(run.dataset["sid_map"].values).all()
    np.testing.assert_allclose(run.dataset["feature_distance"], 1.5, rtol=0.25)
    assert_same_state(before, state(model))


def test_a_model_with_two_inputs():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Captioner().eval()
    generator = torch.Generator().manual_seed(0)
    data = {"image": torch.rand(2, 3, 8, 8, generator=generator), "vector": torch.rand(2, 5, generator=generator)}
    before = state(model)
    names = [layer.name for layer in list_layers(model, {name: value[:1] for name, value in data.items()})]
    assert names == ["image", "vector", "join", "output"]
    run = measure(model, data, ["image", "join", "output[joint]"], noise_on="image", **FAST)
    assert run.dataset["sid_map"].dims[3:] == ("y", "x")
    np.testing.assert_array_equal(run.dataset["sid_map"][0, 1], run.dataset["sid_map"][0, 2])
    vectors = measure(model, data, ["vector", "join"], noise_on="vector", **FAST)
    assert vectors.dataset["sid_map"].dims[3:] == ("feature",)
    assert_same_state(before, state(model))


class Saving(nn.Module):
    """A network whose block is recomputed in the backward pass."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3))
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        return self.last(checkpoint(self.block, x, use_reentrant=False))


def test_recomputed_activations_give_the_same_gradient():
    """Hooks fire again in the backward pass, when nobody listens any more."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Saving().eval()
    x = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = nn.Sequential(model.block, model.last)
    for address, twin in (("last", plain), ("output", plain)):
        noisy, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        with preserved(model):
            (found,) = torch.autograd.grad(Probe(model, address)(noisy).square().sum(), noisy)
        (expected,) = torch.autograd.grad(twin(other).square().sum(), other)
        torch.testing.assert_close(found, expected)
