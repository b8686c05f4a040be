"""Captum's methods: their closed forms on a linear network, and the sheet that shows them beside SID."""

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, Network, measure, zoo
from infodiscard.analysis.attribution import integrated_gradients, occlusion, saliency
from infodiscard.data import load
from infodiscard.plots import method_sheet
from infodiscard.plots.method_sheets import METHODS
from infodiscard.plots.palette import DIFFERENCE_MAP, MAP, SALIENCY_MAP

pytest.importorskip("captum")


@pytest.fixture(scope="module")
def network():
    return zoo.load("demo")


@pytest.fixture(scope="module")
def run(network):
    return measure(network, load("demo", 2), ["layer1", "linear"], max_passes=256, progress=False)


def linear():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3 * 6 * 6, 4)).eval()
    return model, model[2].weight.detach().view(4, 3, 6, 6)


def test_closed_forms_on_a_linear_network_that_begins_in_place():
    model, weights = linear()
    inputs = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1)) + 0.1
    before, targets = inputs.clone(), torch.tensor([0, 3, 1])
    chosen = weights[targets]
    assert torch.allclose(saliency(model, inputs, targets), chosen.abs().sum(1), atol=1e-6)
    exact = (chosen * inputs).sum(1)
    assert torch.allclose(integrated_gradients(model, inputs, targets), exact, atol=1e-5)
    # The window is a single pixel here, so that its fall is what it adds.
    assert torch.allclose(occlusion(model, inputs, targets), exact, atol=1e-5)
    assert torch.equal(inputs, before) and all(p.requires_grad and p.grad is None for p in model.parameters())
    with pytest.raises(InfodiscardError, match="the network has 4 classes"):
        saliency(model, inputs, targets + 4)


def test_the_sheet_shows_each_on_a_scale_of_its_own(run, network):
    figure = method_sheet(run, network)
    count = 1 + 2 + len(METHODS)
    sheet = np.array(figure.axes[: 2 * count]).reshape(2, count)
    bars = figure.axes[2 * count :]
    assert [ax.get_title().replace("\n", " ") for ax in sheet[0]] == [
        *("input", "layer1", "linear", "Saliency", "Integrated Gradients", "Occlusion", "Grad-CAM"),
    ]
    assert len(bars) == 1 + len(METHODS)
    assert bars[0].get_xlabel().startswith("SID reached (nats/pixel), ↑ more discarded")
    assert all("no common unit" in bar.get_xlabel() and "nats" not in bar.get_xlabel() for bar in bars[1:])
    assert all("for the class" in bar.get_xlabel() or "to the class" in bar.get_xlabel() for bar in bars[1:])
    images = [[ax.images[0] for ax in column] for column in sheet.T]
    maps = run.dataset["sid_map"].values[0]
    for column, chart in zip(images[1:3], maps, strict=True):
        for image, values in zip(column, chart, strict=True):
            np.testing.assert_array_equal(image.get_array(), values)
    assert len({image.norm for column in images[1:3] for image in column}) == 1
    colours = [column[0].get_cmap().name for column in images[1:]]
    assert colours == [MAP, MAP, SALIENCY_MAP, DIFFERENCE_MAP, DIFFERENCE_MAP, SALIENCY_MAP]
    for column, name in zip(images[3:], METHODS, strict=True):
        top = max(np.abs(image.get_array()).max() for image in column)
        assert [image.norm.vmax for image in column] == pytest.approx([top, top])
        low = -top if name in ("integrated_gradients", "occlusion") else 0
        assert [image.norm.vmin for image in column] == pytest.approx([low, low])
    inputs = network.normalise(load("demo", 2).images)
    expected = saliency(network, inputs, network.module(inputs).argmax(1))
    np.testing.assert_allclose(images[3][1].get_array(), expected[1], rtol=1e-4)


def test_columns_and_rows_can_be_chosen(run, network, tmp_path):
    figure = method_sheet(run, network, [1], ["linear"], ["occlusion"], targets=[3], path=tmp_path / "one.svg")
    assert len(figure.axes) == 3 + 2 and (tmp_path / "one.svg").stat().st_size > 1000


def test_other_networks_and_images_are_refused(run, network):
    other = zoo.load("zoo:resnet20", allow_random=True, seed=1)
    with pytest.raises(InfodiscardError, match="weights of 'resnet20' are not those"):
        method_sheet(run, Network(other.module, "resnet20", network.mean, network.std))
    bare = measure(network.module, network.normalise(load("demo", 1).images), ["bn1"], max_passes=256, progress=False)
    with pytest.raises(InfodiscardError, match="was measured with another mean or std"):
        method_sheet(bare, Network(network.module, bare.plan.networks[0], network.mean, network.std))
    for words, match in (
        ({"methods": ["lime"]}, "no method 'lime'; choose from 'saliency'"),
        ({"layers": ["layer2"]}, "Layer 'layer2' is not measured; the nearest are 'layer1'"),
        ({"samples": [7]}, "No sample 7"),
        ({"methods": ["grad_cam:linear"]}, "has no positions to map"),
        ({"targets": [0]}, "give one class per input"),
    ):
        with pytest.raises(InfodiscardError, match=match):
            method_sheet(run, network, **words)
