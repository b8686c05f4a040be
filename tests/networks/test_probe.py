"""Layers are listed and read rightly."""

import pytest
import torch
import torchvision
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.networks.addresses import Layer, resolve
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe, list_layers
from probing import Lambda, Small, images, read, seeded, snapshot

# ---- listing -------------------------------------------------------------------------------------------------------


def test_layers_are_listed_in_execution_order_with_shapes_and_calls():
    found = list_layers(seeded(Small), images(2, 3, 8, 6))
    assert found == [
        Layer("stem", "Conv2d", (4, 8, 6), 1),
        Layer("relu", "ReLU", (4, 8, 6), 2),
        Layer("block.0", "Conv2d", (4, 8, 6), 1),
        Layer("block.1", "BatchNorm2d", (4, 8, 6), 1),
        Layer("block", "Sequential", (4, 8, 6), 1),
        Layer("head", "Linear", (5,), 1),
        Layer("output", "Small", (5,), 1),
    ]


@pytest.fixture(scope="module")
def resnet18():
    return seeded(torchvision.models.resnet18, weights=None, num_classes=7)


def test_resnet18_is_listed_as_it_runs(resnet18):
    found = {layer.name: layer for layer in list_layers(resnet18, images(1, 3, 32, 32))}
    names = list(found)
    assert names[:3] == ["conv1", "bn1", "relu"] and names[-3:] == ["avgpool", "fc", "output"]
    order = ["maxpool", "layer1.0.conv1", "layer1.0.bn2", "layer1.0", "layer1", "layer2.0.downsample", "layer2.0", "fc"]
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    assert found["layer1"].shape == (64, 8, 8) and found["layer4.1"].shape == (512, 1, 1)
    assert found["avgpool"].shape == (512, 1, 1) and found["output"].shape == (7,)
    assert sorted(name for name, layer in found.items() if layer.calls == 2) == [
        f"layer{stage}.{block}.relu" for stage in (1, 2, 3, 4) for block in (0, 1)
    ]


def test_a_module_named_output_does_not_mix_with_the_networks_output():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.output = nn.Linear(3, 2)

        def forward(self, x):
            return self.output(x) * 2

    model = seeded(Named)
    assert list_layers(model, images(1, 3)) == [Layer("output", "Linear", (2,), 1)]
    x = images(4, 3)
    assert torch.equal(read(model, "output", x), model.output(x))


def test_an_input_of_the_wrong_size_is_refused_in_one_sentence():
    with pytest.raises(InfodiscardError, match=r"does not take an input of shape \(1, 2, 8, 8\)"):
        list_layers(seeded(Small), images(1, 2, 8, 8))


def test_calls_of_a_repeated_module_stand_where_they_are_made():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.relu = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.two(self.relu(self.one(x))))

    layers = list_layers(Twice().eval(), torch.zeros(1, 3, 4, 4))
    assert resolve(layers, ["*"], "twice") == ("one", "relu#0", "two", "relu#1", "output")


# ---- features ------------------------------------------------------------------------------------------------------


def test_inplace_features_equal_those_of_a_twin_without_inplace():
    inplace, twin, x = seeded(Small, inplace=True), seeded(Small, inplace=False), images(2, 3, 8, 8)
    names = resolve(list_layers(twin, x), ["**"], "twin")
    assert len(names) == 8
    for name in names:
        assert torch.equal(read(inplace, name, x), read(twin, name, x)), name
    assert read(inplace, "stem", x).min() < 0


def test_resnet18_features_equal_a_manual_forward(resnet18):
    x, net = images(2, 3, 32, 32), resnet18
    with torch.no_grad():
        start = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        block = net.layer1[0]
        inner = torch.relu(block.bn1(block.conv1(start)))
        second = block.bn2(block.conv2(inner))
        expected = {
            "conv1": net.conv1(x),
            "bn1": net.bn1(net.conv1(x)),
            "layer1.0.relu#0": inner,
            "layer1.0.bn2": second,
            "layer1.0.relu#1": torch.relu(second + start),
            "layer1.0": torch.relu(second + start),
            "output": net(x),
            "fc": net(x),
        }
    for name, value in expected.items():
        torch.testing.assert_close(read(net, name, x), value, rtol=1e-5, atol=1e-5, msg=name)
    assert read(net, "conv1", x).min() < 0


def test_each_call_of_a_repeated_module_is_its_own_feature():
    model, x = seeded(Small), images(2, 3, 8, 8)
    first = model.relu(model.stem(x))
    assert torch.equal(read(model, "relu#0", x), first)
    assert torch.equal(read(model, "relu#1", x), torch.relu(model.block(first) + first))
    with pytest.raises(InfodiscardError, match=r"called 2 times.*smaller number after #"):
        read(model, "relu#2", x)
    with pytest.raises(InfodiscardError, match=r"called 0 times.*not used"):
        read(model, "unused", x)


def test_the_gradient_reaches_the_input_through_inplace_operations():
    model, x = (
        seeded(nn.Sequential, nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3), nn.ReLU(inplace=True)),
        images(1, 3, 5, 5),
    )
    noisy = x.clone().requires_grad_()
    with preserved(model):
        (gradient,) = torch.autograd.grad(Probe(model, "1")(noisy).square().sum(), noisy)
    twin = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model[1](torch.relu(twin)).square().sum(), twin)
    assert torch.equal(gradient, expected) and gradient.abs().sum() > 0


def test_the_forward_pass_stops_after_the_layer():
    ran = []

    def explode(x):
        ran.append(1)
        raise AssertionError("must not run")

    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), Lambda(explode)).eval()
    assert read(model, "1", images(2, 3)).shape == (2, 3)
    assert not ran
    with pytest.raises(InfodiscardError, match="must not run"):
        read(model, "output", images(2, 3))


def test_the_callers_input_is_not_changed():
    model, x = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)).eval(), images(4, 3)
    before = x.clone()
    list_layers(model, x)
    read(model, "0", x)
    read(model, "output", x)
    assert torch.equal(x, before) and x.min() < 0


def test_a_probe_of_an_unknown_layer_names_the_nearest():
    with pytest.raises(InfodiscardError, match="no layer 'blok'; the nearest are 'block'"):
        Probe(seeded(Small), "blok")


def test_a_recurrent_network():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 6, batch_first=True)
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

    model, x = seeded(Tagger), images(3, 5, 4)
    before = snapshot(model)
    cudnn = torch.backends.cudnn.enabled
    assert [(layer.name, layer.shape) for layer in list_layers(model, x)] == [
        ("lstm", (5, 6)), ("head", (2,)), ("output", (2,))
    ]  # fmt: skip
    noisy = x.clone().requires_grad_()
    with preserved(model):
        assert not torch.backends.cudnn.enabled
        (gradient,) = torch.autograd.grad(Probe(model, "lstm")(noisy)[:, 2].sum(), noisy)
        hidden = Probe(model, "lstm[1][0]")(x)
    assert torch.backends.cudnn.enabled == cudnn
    assert gradient[:, :3].abs().sum() > 0 and gradient[:, 3:].abs().sum() == 0
    torch.testing.assert_close(hidden[0], model.lstm(x)[0][:, -1])
    assert snapshot(model) == before
