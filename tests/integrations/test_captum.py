"""SID and RU with Captum's verb: shapes, agreement with `measure`, several inputs, Captum's metrics and pictures."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, Network, data, measure, zoo
from infodiscard.integrations.captum import RU, SID, importance
from infodiscard.solver.entropy import gaussian_entropy

FAST = {"max_passes": 256, "tolerance": 0.2}


class Small(nn.Module):
    """A convolution that looks at the upper half of the picture only, and a linear layer."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)
        self.relu = nn.ReLU(inplace=True)
        self.eval()

    def forward(self, x, shift=None, scale=1.0):
        feature = self.relu(self.conv(x[:, :, :4]))
        if shift is not None:
            feature = feature + shift
        return self.fc(feature.mean((2, 3))) * scale


class Sum(nn.Module):
    """Two inputs, each through a linear layer of its own."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.a, self.b = nn.Linear(27, 40), nn.Linear(48, 40)
        self.eval()

    def forward(self, x, y):
        return self.a(x.flatten(1)) * 2 + self.b(y.flatten(1))


def images(n=2, size=8, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def small():
    return Small()


def test_it_is_what_measure_says_in_the_shape_of_the_input(small):
    inputs = images()
    found = SID(small, "relu").attribute(inputs, **FAST)
    run = measure(small, inputs, ["relu"], progress=False, **FAST)
    assert found.shape == inputs.shape and found.dtype == inputs.dtype and not found.requires_grad
    assert np.array_equal(found[:, 0].numpy(), run.dataset["sid_map"].values[0, 0])
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 0], found[:, 2])


def test_a_tuple_gives_a_tuple(small):
    inputs = images()
    (found,) = SID(small, "relu").attribute((inputs,), **FAST)
    assert torch.equal(found, SID(small, small.relu).attribute(inputs, **FAST))
    assert isinstance(SID(small, "relu").importance((inputs,), **FAST), tuple)


def test_dtype_of_the_input(small):
    inputs = images(1).double()
    found, delta = SID(copy.deepcopy(small).double(), "relu").attribute(inputs, return_convergence_delta=True, **FAST)
    assert found.dtype == delta.dtype == torch.float64


def test_the_delta_is_that_of_the_distance(small):
    method = SID(small, "relu")
    found, delta = method.attribute(images(), return_convergence_delta=True, internal_batch_size=7, **FAST)
    assert delta.shape == (2,) and (delta.abs() < 0.15).all()
    (run,) = method.runs
    assert np.allclose(delta, run.dataset["feature_distance"].values[0, 0] / 1.5 - 1, atol=1e-6)
    assert torch.allclose(found, method.attribute(images(), **FAST), atol=1e-4)  # whatever the batch size


def test_a_network_sets_the_cap_by_its_normalisation(small):
    network = Network(small, "small", mean=(0.0,) * 3, std=(0.5,) * 3)
    unseen = slice(5, None)  # the rows that the convolution does not look at
    alone = SID(network, "relu").attribute(images(1), **FAST)
    both = SID(network, "relu").attribute(images(2), **FAST)
    top = gaussian_entropy(torch.tensor(20.0))
    assert torch.allclose(alone[..., unseen, :], top.expand(1, 3, 3, 8))
    assert torch.allclose(alone[0], both[0], atol=1e-4)


def test_additional_arguments_belong_to_their_inputs(small):
    inputs, shift = images(), torch.randn(2, 4, 1, 1, generator=torch.Generator().manual_seed(5))
    options = {"cap": 30.0, **FAST}
    found = SID(small, "output").attribute(inputs, (shift, torch.tensor([3.0])), **options)
    for i in range(2):
        class_of_one = copy.deepcopy(small)
        class_of_one.fc.weight.data *= 3.0
        class_of_one.fc.bias.data *= 3.0
        class_of_one.register_forward_pre_hook(lambda _, args, i=i: (args[0], shift[i : i + 1]))
        alone = SID(class_of_one, "output").attribute(inputs[i : i + 1], **options)
        assert torch.allclose(found[i : i + 1], alone, atol=1e-4)
    assert not small._forward_pre_hooks


def test_shared_arguments_go_to_all_inputs_at_once(small):
    method = SID(small, "output")
    found = method.attribute(images(), torch.tensor([[[0.5]]]), **FAST)
    assert len(method.runs) == 1 and found.shape == (2, 3, 8, 8)


def test_two_inputs_are_measured_apart():
    model, generator = Sum(), torch.Generator().manual_seed(3)
    x, y = torch.randn(2, 3, 3, 3, generator=generator), torch.randn(2, 3, 4, 4, generator=generator)
    (of_x, of_y), delta = SID(model, "output").attribute((x, y), return_convergence_delta=True, **FAST)
    assert of_x.shape == x.shape and of_y.shape == y.shape and delta.shape == (2,)
    for found, layer, scale in ((of_x, model.a, 2.0), (of_y, model.b, 1.0)):
        shape = found.shape[1:]
        norms = (scale * layer.weight.detach()).square().sum(0).view(shape).sum(0)
        exact = gaussian_entropy((1.5 * 0.01 * norms.sum() / (norms.numel() * norms)).sqrt())
        assert (found[:, 0] - exact).abs().max() < 0.3
        assert (found[:, 0].mean((1, 2)) - exact.mean()).abs().max() < 0.05


class Flat(nn.Module):
    """A linear layer of everything it is given, whatever its shape; a further argument is added to its output."""

    def __init__(self, *sizes):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.parts = nn.ModuleList(nn.Linear(size, 40) for size in sizes)
        self.eval()

    def forward(self, *inputs):
        parts = [part(x.flatten(1)) for part, x in zip(self.parts, inputs, strict=False)]
        return sum(parts) + sum(x.sum() for x in inputs[len(parts) :])


def closed_form(linear, shape, shared):
    """SID of a linear layer: σ_i² = ατ Σ‖w‖² / (n ‖w_i‖²), w_i the weights of position i, in the input's shape."""
    norms = linear.weight.detach().square().sum(0).view(shape)
    if shared is not None:
        norms = norms.sum(shared, keepdim=True)
    return gaussian_entropy((1.5 * 0.01 * norms.sum() / (norms.numel() * norms)).sqrt()).expand(shape)


KINDS = {"table": ((12,), None), "series": ((3, 9), 0), "tokens": ((7, 5), 1)}


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_other_than_images_keep_their_shape(kind):
    shape, shared = KINDS[kind]
    inputs = torch.randn(2, *shape, generator=torch.Generator().manual_seed(4)).double()
    model = Flat(inputs[0].numel()).double()
    method = SID(model, "output")
    found, delta = method.attribute(
        inputs, torch.zeros(1), kind=None if kind == "table" else kind, return_convergence_delta=True, **FAST
    )
    assert found.shape == inputs.shape and found.dtype == inputs.dtype and delta.shape == (2,)
    assert method.runs[0].plan.layout.name == kind
    exact = closed_form(model.parts[0], shape, shared)
    assert (found - exact).abs().max() < 0.35 and (found.mean() - exact.mean()).abs() < 0.05
    if shared is not None:  # one value for each token, each time step
        assert (found.diff(dim=shared + 1) == 0).all()
    kept = method.importance(inputs, kind=kind, **FAST)
    assert kept.shape == inputs.shape and (kept >= 0).all()


def test_a_tuple_of_a_table_and_tokens():
    generator = torch.Generator().manual_seed(6)
    table, tokens = torch.randn(2, 12, generator=generator), torch.randn(2, 7, 5, generator=generator)
    model = Flat(12, 35)
    of_table, of_tokens = SID(model, "output").attribute((table, tokens), kind=(None, "tokens"), **FAST)
    assert of_table.shape == table.shape and of_tokens.shape == tokens.shape
    assert (of_table - closed_form(model.parts[0], (12,), None)).abs().max() < 0.35
    assert (of_tokens - closed_form(model.parts[1], (7, 5), 1)).abs().max() < 0.35
    with pytest.raises(InfodiscardError, match="kind names 1 kinds for 2 inputs"):
        SID(model, "output").attribute((table, tokens), kind=("tokens",), **FAST)
    with pytest.raises(InfodiscardError, match=r"say what they are: kind='tokens'.* or kind='series'"):
        SID(model, "output").attribute((table, tokens), **FAST)


def test_embeddings_of_a_transformer_with_its_attention_mask():
    transformers = pytest.importorskip("transformers")

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            config = transformers.BertConfig(
                vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
            )
            self.bert = transformers.BertModel(config)

        def forward(self, embeddings, mask):
            return self.bert(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state[:, 0]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Wrapped().eval()
    embeddings = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    method = SID(model, "output")
    found = method.attribute(embeddings, mask, kind="tokens", **FAST)
    assert found.shape == embeddings.shape and len(method.runs) == 2
    # What is masked cannot reach the output: its noise goes to the cap.
    assert found[1, 3:].min() > found[1, :3].max() and found[0].max() < found[1, 3:].min()


def test_ru_has_the_same_verb():
    network, inputs = zoo.load("demo"), data.load("demo", 1)
    normalised = network.normalise(inputs.images)
    method = RU(network, "layer1")
    found, delta = method.attribute(normalised, return_convergence_delta=True, max_passes=256)
    run = measure(network, inputs, ["layer1"], ["ru"], max_passes=256, progress=False)
    assert np.allclose(found[:, 0], run.dataset["ru_map"].values[0, 0], atol=1e-4)
    assert delta.shape == (1,) and (method.importance(normalised, max_passes=256) >= 0).all()


def test_the_network_is_left_as_it_was(small):
    before = copy.deepcopy(small.state_dict())
    SID(small, "output").attribute(images(), torch.zeros(2, 1, 1, 1), **FAST)
    with pytest.raises(InfodiscardError, match="Layer 'fc'"):
        SID(small, "fc").attribute(images(), torch.full((2, 1, 1, 1), torch.nan), **FAST)
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
    assert not small._forward_pre_hooks and not small.fc._forward_hooks
    assert all(p.requires_grad and p.grad is None for p in small.parameters())


# -- importance ------------------------------------------------------------------------------------------------------


def test_importance_is_the_capacity_of_a_gaussian_channel():
    sigma = torch.tensor([1e-3, 0.1, 1.0, 30.0], dtype=torch.float64)
    for spread in (1, 0.25):
        exact = 0.5 * (1 + spread**2 / sigma**2).log()
        assert torch.allclose(importance(gaussian_entropy(sigma), spread), exact)
    assert importance(torch.tensor(80.0)) == 0
    for wrong in (0, -1.0, float("nan"), "1"):
        with pytest.raises(InfodiscardError, match="spread was"):
            importance(sigma, wrong)


def test_importance_is_high_where_the_layer_looks(small):
    kept = SID(small, "relu").importance(images(), **FAST)
    assert (kept >= 0).all()
    assert kept[..., :4, :].min() > kept[..., 5:, :].max() and kept[..., 5:, :].max() < 0.01


# -- Captum ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["absolute_value", "positive", "all"])
def test_captum_draws_importance_the_right_way_up(small, sign):
    pytest.importorskip("captum")
    import matplotlib

    matplotlib.use("Agg")
    from captum.attr import visualization

    inputs, method = images(1), SID(small, "relu")
    discarded = method.attribute(inputs, **FAST)[0]
    kept = importance(discarded).permute(1, 2, 0).numpy()
    figure, axes = visualization.visualize_image_attr(kept, sign=sign, use_pyplot=False)
    drawn = np.asarray(axes.images[0].get_array())
    assert np.corrcoef(drawn.ravel(), -discarded[0].numpy().ravel())[0, 1] > 0.5
    figure.clear()


def test_captums_metrics_run_on_it(small):
    pytest.importorskip("captum")
    from captum.metrics import infidelity, sensitivity_max

    inputs, method = images(1), SID(small, "relu")
    sensitivity = sensitivity_max(method.attribute, inputs, n_perturb_samples=2, cap=50.0, **FAST)
    assert sensitivity.shape == (1,) and 0 < sensitivity < 2

    def perturb(x):
        noise = 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        return noise, x - noise

    table = torch.randn(2, 12, generator=torch.Generator().manual_seed(1))
    sensitivity = sensitivity_max(SID(Flat(12), "output").attribute, table, n_perturb_samples=2, cap=50.0, **FAST)
    assert sensitivity.shape == (2,) and (sensitivity < 0.5).all()  # a linear layer has one SID for all inputs

    kept = method.importance(inputs, **FAST)
    score = infidelity(small, perturb, inputs, kept, target=0, n_perturb_samples=4, normalize=True)
    assert score.shape == (1,) and score.isfinite().all()


# -- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input_is_told(small):
    def refused(match, model=small, layer="relu", inputs=None, **options):
        with pytest.raises(InfodiscardError, match=match):
            SID(model, layer).attribute(images() if inputs is None else inputs, **FAST | options)

    refused("model was a function", model=lambda x: x)
    refused("is not a module of this Small", layer=nn.ReLU())
    refused("no layer 'rely'; the nearest are 'relu'", layer="rely")
    refused("no option 'n_steps'", n_steps=50)
    refused("a target is not needed", target=3)
    refused("no option 'layers'", layers=["relu"])
    refused("inputs was a ndarray", inputs=images().numpy())
    refused("inputs was a list", inputs=[images()])
    refused("shape", inputs=images()[0])
    refused("training mode", model=nn.Sequential(nn.Dropout(), nn.Linear(8, 8)).train(), layer="1")
    refused("cap was 'wide'", cap="wide")
    with pytest.raises(InfodiscardError, match="importance returns no delta"):
        SID(small, "relu").importance(images(), return_convergence_delta=True)
    with pytest.raises(InfodiscardError, match="There is no decoder for layer 'relu'"):
        RU(small, "relu", "nowhere").attribute(images(), max_passes=256)
