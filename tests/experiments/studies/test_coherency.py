"""Rescaling: exact, at every stage, and refused elsewhere."""

import copy

import pytest
import torch
from torch import nn

from infodiscard import zoo
from infodiscard.experiments.studies import coherency
from infodiscard.networks.network import Network
from studying import said


class Plain(nn.Module):
    """As torchvision's VGG without batch normalisation, with in-place ReLUs and a dropout before the logits."""

    def __init__(self, *parts):
        super().__init__()
        self.features = nn.Sequential(*parts)
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(nn.Linear(7 * 4, 9), nn.ReLU(True), nn.Dropout(), nn.Linear(9, 5))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def convolutions():
    first, second, third = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 7, 3), nn.Conv2d(7, 7, 3, bias=False)
    return [first, nn.ReLU(True), second, nn.ReLU(True), nn.MaxPool2d(2), third, nn.ReLU(True)]


def wrapped(module, seed=0, dtype=torch.float64):
    """The network with random numbers in all places, also where batch normalisation begins with ones and zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            if value.is_floating_point():
                drawn = torch.randn(value.shape, generator=generator)
                value.copy_(drawn * 0.3 if value.ndim > 1 else drawn.abs() + 0.5)
    return Network(module.to(dtype).eval(), "net", (0.5,) * 3, (0.25,) * 3, (32, 32))


def vgg(dtype=torch.float64):
    return wrapped(zoo.load("zoo:vgg16,width=0.1", allow_random=True).module, dtype=dtype)


RELUS = ["features.1", "features.3", "features.6"]


@pytest.mark.parametrize("factor", [4.0, 3.0])
@pytest.mark.parametrize(
    ("make", "layer"), [*((vgg, layer) for layer in coherency.STAGES), *((None, layer) for layer in RELUS)]
)
def test_rescaling_changes_the_feature_and_not_the_output(make, layer, factor):
    network = make() if make else wrapped(Plain(*convolutions()))
    before = copy.deepcopy(network.module.state_dict())
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    changed = coherency.rescaled(network, layer, factor)
    at = int(layer.partition(".")[2])
    with torch.no_grad():
        outputs = [each.module(images) for each in (network, changed)]
        up_to, changed_up_to = (each.module.features[: at + 1](images) for each in (network, changed))
        behind, changed_behind = (each.module.features(images) for each in (network, changed))
    assert outputs[0].std() > 1e-3 and up_to.any()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(changed_up_to, up_to / factor, rtol=1e-12, atol=1e-14)
    if factor == 4:  # a power of two, which rounds nothing
        assert torch.equal(changed_up_to, up_to / 4) and torch.equal(*outputs)
    if layer not in (RELUS[-1], coherency.STAGES[-1]):
        torch.testing.assert_close(changed_behind, behind, rtol=1e-11, atol=1e-11)
    assert changed.module is not network.module and changed.name == network.name and not changed.module.training
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    moved = [name for name, value in changed.module.state_dict().items() if not torch.equal(value, before[name])]
    second = next(
        name
        for name, part in network.module.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear) and (not name.startswith("features") or int(name[9:]) > at)
    )
    first = [name for name, _ in network.module.named_parameters() if name.startswith(f"features.{at - 1}.")]
    assert moved == [*first, f"{second}.weight"]


def test_rescaling_in_single_precision_is_exact_as_well():
    network, images = vgg(torch.float32), torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for layer in coherency.STAGES:
            assert torch.equal(coherency.rescaled(network, layer).module(images), network.module(images))


def test_what_cannot_be_rescaled_is_refused():
    network = vgg()
    assert "'features.4' is a BatchNorm2d" in said(coherency.rescaled, network, "features.4")
    assert "'features.6' is a MaxPool2d" in said(coherency.rescaled, network, "features.6")
    for missing in ("features.99", "features.-1", "features", "features.x", "classifier.0", "layer1", ""):
        words = said(coherency.rescaled, network, missing)
        assert f"There is no '{missing}'" in words and "features.5" in words
    assert "There is no" in said(coherency.rescaled, zoo.load("demo"), "layer1.0.relu1")
    for parts, layer in (
        ([nn.ReLU(), *convolutions()], "features.0"),  # nothing before it
        ([nn.Conv2d(3, 7, 3), nn.MaxPool2d(2), nn.ReLU()], "features.2"),  # nothing to divide
        ([nn.Conv2d(3, 7, 3), nn.ReLU(), nn.BatchNorm2d(7), nn.Conv2d(7, 7, 3)], "features.1"),  # nothing to multiply
    ):
        assert f"'{layer}' does not lie between" in said(coherency.rescaled, wrapped(Plain(*parts)), layer)
