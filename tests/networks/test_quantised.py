"""Quantised networks in floats: what they compute is what their integers do, and can be measured."""

import copy

import pytest
import torch
from torch import nn
from torch.ao import quantization
from torch.ao.quantization import quantize_fx

from infodiscard import InfodiscardError, Network, data, dequantise, measure, zoo
from infodiscard.networks.quantised import Saturate

pytestmark = pytest.mark.filterwarnings("ignore")  # torch.ao.quantization announces its end


@pytest.fixture(scope="module")
def carried():
    """The carried network, normalised images of it, and it in integers, quantised statically by FX."""
    network, images = zoo.load("demo"), data.load("demo")
    inputs = network.normalise(images.images)
    ready = quantize_fx.prepare_fx(
        copy.deepcopy(network.module),
        quantization.QConfigMapping().set_global(quantization.default_qconfig),
        (inputs[:1],),
    )
    ready(inputs)
    return network, inputs, quantize_fx.convert_fx(ready)


def off(one, other):
    return float((one - other).norm() / other.norm())


def test_a_static_network_in_floats_gives_what_its_integers_give(carried):
    network, inputs, whole = carried
    twin = dequantise(whole, inputs)
    with torch.no_grad():
        assert off(twin(inputs), whole(inputs)) < 0.05 < off(twin(inputs), whole(inputs) * 1.2)
        rounded = network.module(inputs)
    assert torch.equal(twin(inputs).argmax(1), whole(inputs).argmax(1)) and not torch.equal(twin(inputs), rounded)
    names = {name for name, _ in whole.named_modules() if "packed" not in name}
    assert {"conv1", "layer1.0.conv1", "linear"} <= names and names <= {name for name, _ in twin.named_modules()}


def test_it_can_be_measured_where_the_integers_cannot(carried):
    _, inputs, whole = carried
    usual = {"layers": ["layer1.0.conv1"], "max_passes": 96, "tolerance": 1.0, "progress": False}
    with pytest.raises(InfodiscardError, match=r"cannot be measured: .*dequantise"):
        measure(whole, inputs[:1], **usual)
    run = measure(Network(dequantise(whole, inputs[:2]), "int8"), inputs[:1], **usual)
    assert -0.69 < run.summary()["sid"][0] < 0


def eager():
    """A small network of most kinds of static modules, in integers."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = quantization.QuantStub(), quantization.DeQuantStub()
            self.conv1, self.bn, self.relu = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
            self.conv2, self.act = nn.Conv2d(8, 8, 3, bias=False), nn.Hardswish()
            self.sum, self.fc = torch.ao.nn.quantized.FloatFunctional(), nn.Linear(8, 4)

        def forward(self, x):
            x = self.relu(self.bn(self.conv1(self.quant(x))))
            x = self.act(self.conv2(x))
            return self.dequant(self.fc(self.sum.add(x, x).mean((2, 3))))

    torch.manual_seed(0)
    model = quantization.fuse_modules(Small().eval(), [["conv1", "bn", "relu"]])
    model.qconfig = quantization.get_default_qconfig("x86")
    model = quantization.prepare(model)
    model(torch.rand(8, 3, 12, 12))
    return quantization.convert(model)


def test_eager_modules_and_what_they_clip():
    whole, inputs = eager(), torch.rand(4, 3, 12, 12)
    twin = dequantise(whole, inputs)
    assert off(twin(inputs), whole(inputs)) < 0.1
    assert isinstance(twin.quant, Saturate) and twin.quant(torch.tensor([99.0])) < 2.1
    torch.testing.assert_close(twin.conv2[0].weight, whole.conv2.weight().dequantize(), check_stride=False)


@pytest.mark.parametrize("kind", ["linear", "lstm"])
def test_dynamic_modules(kind):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3)) if kind == "linear" else nn.LSTM(12, 8)
    whole = quantization.quantize_dynamic(nn.Sequential(plain).eval(), {nn.Linear, nn.LSTM})
    inputs = torch.rand(4, 12) if kind == "linear" else torch.rand(5, 4, 12)
    twin = dequantise(whole, inputs)
    one, other = (each(inputs) if kind == "linear" else each(inputs)[0] for each in (twin, whole))
    assert 0 < off(one, other) < 0.05 and one.requires_grad is False


def test_what_is_not_quantised_or_not_the_same_is_refused(carried):
    network, inputs, whole = carried
    with pytest.raises(InfodiscardError, match=r"Nothing in the CifarResNet is quantised"):
        dequantise(network.module, inputs)
    with pytest.raises(InfodiscardError, match=r"outputs are .*% from those of its integers"):
        dequantise(whole, inputs, tolerance=1e-6)
    with pytest.raises(InfodiscardError, match="network was 3"):
        dequantise(3, inputs)
