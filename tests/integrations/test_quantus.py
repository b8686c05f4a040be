"""The explanation functions for Quantus: what they give, Quantus' own checks on it, and its metrics."""

import copy

import numpy as np
import pytest
import torch
from benchmarks import quantus_comparison

from infodiscard import InfodiscardError, data, zoo
from infodiscard.integrations.captum import OPTIONS, SID
from infodiscard.integrations.quantus import explain_func, explainer

FAST = {"max_passes": 256, "tolerance": 0.5, "cap": 50.0}


@pytest.fixture(scope="module")
def network():
    return zoo.load("demo")


@pytest.fixture(scope="module")
def images():
    return data.load("demo", 2)


@pytest.fixture(scope="module")
def inputs(network, images):
    return network.normalise(images.images).numpy()


def test_it_is_the_importance_of_the_layer(network, inputs):
    extra = {"method": "SID", "device": "cpu", "xai_lib": "captum", "reduce_axes": (1,)}
    found = explain_func(network.module, inputs[:1], np.array([3]), layer="bn1", **FAST, **extra)
    assert type(found) is np.ndarray and found.shape == (1, 1, 32, 32) and found.dtype == np.float32
    exact = SID(network.module, "bn1").importance(torch.from_numpy(inputs[:1]), **FAST)
    assert np.array_equal(found, exact[:, :1].numpy())
    assert found.min() >= 0 and found.std() > 0
    again = explainer("bn1", **FAST)(model=network.module, inputs=inputs[:1], targets=None)
    assert np.array_equal(found, again)


def test_doubles_lists_and_wrapped_models(network, inputs):
    class Wrapped:
        def get_model(self):
            return network.module

    explain = explainer("bn1", **FAST)
    plain = explain(network.module, inputs[:1], [3])
    assert np.allclose(explain(Wrapped(), inputs[:1].astype(np.float64), [3]), plain, atol=1e-4)


def test_ru_too(network, inputs):
    found = explainer("layer1", metric="ru", max_passes=256)(network.module, inputs[:1], [3])
    assert found.shape == (1, 1, 32, 32) and found.min() >= 0 and found.std() > 0


def test_a_series():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv1d(2, 4, 3), torch.nn.ReLU()).eval()
    inputs = np.random.default_rng(0).normal(size=(2, 2, 16)).astype(np.float32)
    found = explainer("1", kind="series", **FAST)(model, inputs, [0, 1])
    assert found.shape == (2, 1, 16) and found.dtype == np.float32 and found.min() >= 0


def test_what_lies_behind_the_layer_does_not_matter(network, inputs):
    """So the randomisation test changes nothing until it arrives at the layer."""
    other, explain = copy.deepcopy(network.module), explainer("layer1", **FAST)
    other.linear.weight.data.zero_()
    other.layer2[0].conv1.weight.data.zero_()
    before = explain(network.module, inputs[:1], [3])
    assert np.array_equal(before, explain(other, inputs[:1], [3]))
    other.layer1[0].conv1.weight.data.zero_()
    assert not np.allclose(before, explain(other, inputs[:1], [3]), atol=0.1)


def test_quantus_checks_pass(network, inputs):
    quantus = pytest.importorskip("quantus")
    found = explainer("layer2", **FAST)(network.module, inputs, [0, 1])
    expanded = quantus.helpers.utils.expand_attribution_channel(found, inputs)
    quantus.helpers.asserts.assert_attributions(x_batch=inputs, a_batch=expanded)


@pytest.mark.slow
def test_quantus_metrics_run_on_the_carried_network(network, images):
    pytest.importorskip("quantus")
    pytest.importorskip("captum")
    chosen = quantus_comparison.methods(["layer3"], "layer3", **FAST)
    scores = quantus_comparison.compare(network, images, chosen, quantus_comparison.metrics(repeats=2))
    others = ["Gradient", "Grad-CAM", "IntegratedGradients", "Occlusion", "random map"]
    assert list(scores) == ["SID of layer3", *others]
    for row in scores.values():
        assert list(row) == list(quantus_comparison.BETTER)
        assert all(values.shape == (2,) and np.isfinite(values).all() for values in row.values())
    text = quantus_comparison.markdown(quantus_comparison.tabulated(scores))
    assert text.splitlines()[0].startswith("| method | MPRT (last layer) ↓ |") and len(text.splitlines()) == 8
    # A network with random weights has other maps: what the test of parameter randomisation is about.
    assert (scores["SID of layer3"]["MPRT (last layer)"] < 0.9).all()


def test_importance_is_high_where_autograd_says_that_the_layer_looks(network, inputs):
    """So a localisation below chance at an early layer is real, and no wrong sign."""
    found = explainer("layer1", **FAST)(network.module, inputs, None)[:, 0]
    x, features = torch.from_numpy(inputs).requires_grad_(), []
    handle = network.module.layer1.register_forward_hook(lambda *call: features.append(call[2].clone()))
    network.module(x)
    handle.remove()
    slopes = torch.zeros(found.shape)  # of the squared norm of the Jacobian, by Hutchinson's estimator
    for seed in range(40):
        probe = torch.randn(features[0].shape, generator=torch.Generator().manual_seed(seed))
        (gradient,) = torch.autograd.grad((features[0] * probe).sum(), x, retain_graph=True)
        slopes += gradient.square().sum(1)
    for importance, slope in zip(found, slopes, strict=True):
        ranks = [np.argsort(np.argsort(values, axis=None)) for values in (importance, slope.numpy())]
        assert np.corrcoef(ranks)[0, 1] > 0.5


def test_the_table_of_the_comparison(images, tmp_path):
    chance = quantus_comparison.chances(images)
    exact = images.masks.float().mean((1, 2))
    assert np.allclose(chance["RelevanceRankAccuracy"], exact)
    # In a random order, as large a share of the first pixels lies on the object as of all.
    rng, share = np.random.default_rng(0), []
    mask = images.masks[0].flatten().numpy()
    for _ in range(300):
        share.append(mask[rng.permutation(mask.size)[: mask.sum()]].mean())
    assert np.mean(share) == pytest.approx(float(exact[0]), abs=0.01)
    scores = {"a": {"Sparseness": np.array([1.0, 3.0, np.nan])}, "chance": {"MPRT (last layer)": np.zeros(3)}}
    table = quantus_comparison.tabulated(scores)
    assert table["n"].tolist() == [2, 3] and table["mean"].tolist() == [2, 0] and table["se"].tolist() == [1, 0]
    lines = quantus_comparison.markdown(table).splitlines()
    assert lines[2:] == ["| a | 2.000 ± 1.000 | – |", "| chance | – | 0.000 |"]


def test_a_random_map_is_the_same_for_the_same_network_and_inputs_only(network, inputs):
    draw = quantus_comparison.methods([], "layer3")[quantus_comparison.RANDOM]
    first, other = draw(network.module, inputs, None), copy.deepcopy(network.module)
    assert np.array_equal(first, draw(network.module, inputs, None)) and first.shape == (2, 1, 32, 32)
    assert not np.array_equal(first, draw(network.module, inputs + 1, None))
    other.linear.bias.data += 1
    assert not np.array_equal(first, draw(other, inputs, None))


def test_bad_input_is_told(network, inputs):
    def refused(match, **options):
        with pytest.raises(InfodiscardError, match=match):
            explain_func(network.module, inputs[:1], None, **options)

    refused("No layer was named")
    refused("metric was 'loss'", layer="bn1", metric="loss")
    refused("no layer 'bn9'", layer="bn9")
    refused("needs at least", layer="bn1", max_passes=2)
    with pytest.raises(InfodiscardError, match="no option 'passes'; the nearest are 'max_passes'"):
        explainer("bn1", passes=300)
    assert all(explainer("bn1", **{name: None}) for name in OPTIONS)
