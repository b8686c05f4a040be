"""Attribution baselines against their definitions, and how they answer a rescaling of the parameters."""

import builtins
import copy

import pytest
import torch
from torch import nn

from infodiscard import zoo
from infodiscard.analysis.attribution import BASELINES, cam, grad_cam, gradient_map, jacobian_map, upsampled
from infodiscard.data import load
from infodiscard.errors import InfodiscardError


class Small(nn.Module):
    """Two convolutions, each followed by a ReLU in place, global average pooling and a linear layer."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv1, self.conv2 = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, stride=2)
            self.relu = nn.ReLU(inplace=True)
            self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 6)
        self.double().eval()

    def forward(self, x):
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        return self.fc(self.pool(x).flatten(1))


def rest(model, feature):
    """The logits that follow from the output of `conv1`."""
    x = model.conv2(torch.relu(feature))
    return model.fc(torch.relu(x).mean((2, 3)))


@pytest.fixture
def small():
    return Small()


@pytest.fixture
def inputs():
    return torch.randn(4, 3, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def targets():
    return torch.tensor([0, 5, 2, 2])


@pytest.fixture(scope="module")
def demo():
    return zoo.load("demo")


@pytest.fixture(scope="module")
def pictures():
    return load("demo")


# Definitions


def test_the_gradient_map_is_that_of_finite_differences(small, inputs, targets):
    """Central differences of the logit by every unit of the feature, in float64."""
    feature, step = small.conv1(inputs).detach(), 1e-6
    square = torch.zeros(4, 9, 7, dtype=torch.float64)
    with torch.no_grad():
        for k in range(5):
            for i in range(9):
                for j in range(7):
                    moved = torch.zeros_like(feature)
                    moved[:, k, i, j] = step
                    up, down = rest(small, feature + moved), rest(small, feature - moved)
                    square[:, i, j] += (((up - down) / (2 * step)).gather(1, targets[:, None])[:, 0]) ** 2
    torch.testing.assert_close(gradient_map(small, "conv1", inputs, targets), square.sqrt(), rtol=1e-6, atol=1e-8)


def test_the_jacobian_map_is_that_of_finite_differences(small, inputs, targets):
    features = {}
    handle = small.conv1.register_forward_hook(lambda _module, _args, output: features.update(f=output))
    inputs, step = inputs[:2].double(), 1e-6
    small = small.double()

    def total(x):
        small(x)
        return features["f"].relu().sum((1, 2, 3))

    found = jacobian_map(small, "conv1", inputs, targets[:2])
    for y, x in ((0, 0), (3, 2), (5, 5)):
        slopes = []
        for channel in range(inputs.shape[1]):
            shifted = [inputs.clone(), inputs.clone()]
            shifted[0][:, channel, y, x] += step
            shifted[1][:, channel, y, x] -= step
            slopes.append((total(shifted[0]) - total(shifted[1])) / (2 * step))
        torch.testing.assert_close(found[:, y, x], torch.stack(slopes).abs().mean(0).detach(), rtol=1e-4, atol=1e-6)
    handle.remove()


def test_grad_cam_is_its_definition_though_an_in_place_operation_follows(small, inputs, targets):
    feature = small.conv1(inputs).detach().requires_grad_()
    rest(small, feature).gather(1, targets[:, None]).sum().backward()
    expected = (feature.grad.mean((2, 3), keepdim=True) * feature).sum(1).relu()
    torch.testing.assert_close(grad_cam(small, "conv1", inputs, targets), expected.detach())


def test_the_mean_of_cam_and_the_bias_make_the_logit(small, inputs, targets):
    maps = cam(small, "relu#1", inputs, targets)
    assert maps.shape == (4, 4, 3)
    logits = small(inputs).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(maps.mean((1, 2)) + small.fc.bias[targets], logits)


def test_cam_and_grad_cam_of_a_trained_network(demo, pictures):
    """At the last convolution ∂y_c/∂f is w_c / positions everywhere, so that Grad-CAM = ReLU(CAM) / positions."""
    inputs, labels = demo.normalise(pictures.images), pictures.labels
    maps = cam(demo, "layer3", inputs, labels)
    with torch.no_grad():
        logits = demo.module(inputs).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(maps.mean((1, 2)) + demo.module.linear.bias[labels].detach(), logits)
    assert maps.shape == (12, 8, 8) and (maps < 0).any()
    torch.testing.assert_close(grad_cam(demo, "layer3", inputs, labels), maps.relu() / 64)
    norm = demo.module.linear.weight[labels].norm(dim=1).detach() / 64
    torch.testing.assert_close(gradient_map(demo, "layer3", inputs, labels), norm[:, None, None].expand(12, 8, 8))


def test_a_feature_that_the_logits_do_not_depend_on_has_no_gradient(small, inputs, targets):
    small.fc.weight.data.zero_()
    assert gradient_map(small, "conv1", inputs, targets).count_nonzero() == 0


# Coherency


def test_only_the_gradient_map_follows_the_scale_of_a_layer(small, inputs, targets):
    """w_L/4, b_L/4, 4·w_{L+1} changes no output; the gradient becomes four times as large, its product with f stays."""
    scaled = copy.deepcopy(small)
    with torch.no_grad():
        for tensor in (scaled.conv1.weight, scaled.conv1.bias):
            tensor.div_(4)
        scaled.conv2.weight.mul_(4)
    torch.testing.assert_close(scaled(inputs), small(inputs))
    before, after = (gradient_map(net, "conv1", inputs, targets) for net in (small, scaled))
    torch.testing.assert_close(after, 4 * before)
    before, after = (grad_cam(net, "conv1", inputs, targets) for net in (small, scaled))
    torch.testing.assert_close(after, before)


# What all have in common


@pytest.mark.parametrize("name", BASELINES)
def test_the_rest_of_the_batch_does_not_matter(name, demo, pictures):
    inputs, labels = demo.normalise(pictures.images), pictures.labels
    whole = BASELINES[name](demo.module, "layer3", inputs, labels)
    parts = [BASELINES[name](demo, "layer3", inputs[i : i + 5], labels[i : i + 5]) for i in range(0, 12, 5)]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=1e-4, atol=1e-5)
    assert not whole.requires_grad


@pytest.mark.parametrize("name", BASELINES)
def test_nothing_is_left_behind(name, inputs, targets):
    """Not even by a network that begins with an operation in place, under inference_mode."""
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.ReLU(True), nn.AdaptiveAvgPool2d(1))
    model.extend([nn.Flatten(), nn.Linear(4, 6)]).double().eval()
    model[1].bias.requires_grad_(False)
    model[1].weight.grad = torch.ones_like(model[1].weight)
    model[3].train()
    before = copy.deepcopy(model.state_dict())
    kept, rng = inputs.clone(), torch.get_rng_state()
    with torch.inference_mode():
        BASELINES[name](model, "2", inputs, targets)
    assert torch.equal(inputs, kept) and torch.equal(torch.get_rng_state(), rng) and not inputs.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    assert torch.equal(model[1].weight.grad, torch.ones_like(model[1].weight)) and model[5].weight.grad is None
    assert [m.training for m in model] == [False, False, False, True, False, False]
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


def test_upsampling_keeps_a_constant_and_a_slope():
    maps = torch.arange(4.0).repeat(2, 3, 1)
    large = upsampled(torch.cat([maps, torch.full((1, 3, 4), 7.0)]), (6, 8))
    assert large.shape == (3, 6, 8) and (large[2] == 7).all()
    torch.testing.assert_close(large[0, 0], torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]))


# What is refused


@pytest.mark.parametrize("layer", ["conv1", "layer1", "layer3.1", "layer3.2.bn2"])
def test_lower_layers_have_no_cam(layer, demo, pictures):
    """`layer3.1` and `layer3.2.bn2` have as many channels as the linear layer has inputs, and yet more follows."""
    with pytest.raises(InfodiscardError, match=f"'{layer}' has no CAM, because"):
        cam(demo, layer, demo.normalise(pictures.images[:2]), pictures.labels[:2])


@pytest.mark.parametrize("name", BASELINES)
def test_what_cannot_be_mapped_is_refused(name, small, inputs, targets):
    baseline = BASELINES[name]
    for layer, message in (("conv3", "no layer 'conv3'"), ("fc", "no positions to map"), ("relu#2", "called 2 times")):
        with pytest.raises(InfodiscardError, match=message):
            baseline(small, layer, inputs, targets)
    for wrong in (targets[:3], targets.float()):
        with pytest.raises(InfodiscardError, match=r"give one class per input, an int64 tensor of shape \(4,\)"):
            baseline(small, "conv1", inputs, wrong)
    with pytest.raises(InfodiscardError, match="go from 0 to 6, but the network has 6 classes"):
        baseline(small, "conv1", inputs, torch.tensor([0, 6, 1, 1]))
    with pytest.raises(InfodiscardError, match="give a classifier"):
        baseline(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).double().eval(), "0", inputs, targets)


def test_grad_cam_refuses_a_layer_of_several_calls(small, inputs, targets):
    with pytest.raises(InfodiscardError, match="'relu#1' is called more than once"):
        grad_cam(small, "relu#1", inputs, targets)


def test_without_captum_it_says_what_to_install(monkeypatch, small, inputs, targets):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("captum"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[captum\]'"):
        grad_cam(small, "conv1", inputs, targets)
