"""Layers are found, addressed and read rightly, and the network is left as it was."""

import random
from collections import namedtuple

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.probes import Address, Layer, Probe, list_layers, resolve, structure, untouched, unwrap

Pair = namedtuple("Pair", "first second")


class Small(nn.Module):
    """Declared in another order than it runs, with a module that is called twice and one that never is."""

    def __init__(self, inplace=False):
        super().__init__()
        self.head = nn.Linear(4, 5)
        self.relu = nn.ReLU(inplace=inplace)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.relu(self.stem(x))
        out = self.block(x)
        out += x
        return self.head(self.relu(out).mean((2, 3)))


class Returns(nn.Module):
    """A network whose first layer has whatever output `make` makes of the input."""

    def __init__(self, make):
        super().__init__()
        self.part = Lambda(make)
        self.after = nn.Identity()

    def forward(self, x):
        self.part(x)
        return self.after(x)


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def seeded(factory, *args, seed=0, **kwargs):
    """A module with the same random weights every time, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return factory(*args, **kwargs).eval()


def images(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def read(model, address, x):
    with untouched(model) as plain:
        return Probe(plain, address)(x)


def snapshot(model):
    """Everything about a network that must not change."""
    return {
        "state": {k: v.numpy().tobytes() for k, v in model.state_dict().items()},
        "addresses": {k: v.data_ptr() for k, v in model.state_dict(keep_vars=True).items()},
        "requires_grad": {k: p.requires_grad for k, p in model.named_parameters()},
        "grad": {
            k: None if p.grad is None else (id(p.grad), p.grad.clone().tolist()) for k, p in model.named_parameters()
        },
        "training": {k: m.training for k, m in model.named_modules()},
        "hooks": {
            k: (
                len(m._forward_hooks),
                len(m._forward_pre_hooks),
                len(m._backward_hooks),
                len(m._forward_hooks_always_called),
            )
            for k, m in model.named_modules()
        },
    }


def mixed(inplace=True):
    """A network with some parameters frozen, some with a gradient, and a hook of the user's own."""
    model = seeded(Small, inplace=inplace)
    model.stem.weight.requires_grad_(False)
    model.head.bias.grad = torch.full((5,), 3.0)
    model.unused.train()
    model.relu.register_forward_hook(lambda module, args, output: None)
    return model


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
    with untouched(model):
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
    with pytest.raises(AssertionError, match="must not run"):
        read(model, "output", images(2, 3))


def test_the_callers_input_is_not_changed():
    model, x = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)).eval(), images(4, 3)
    before = x.clone()
    list_layers(model, x)
    read(model, "0", x)
    read(model, "output", x)
    assert torch.equal(x, before) and x.min() < 0


# ---- structured outputs --------------------------------------------------------------------------------------------

STRUCTURES = {
    "tuple": (lambda x: (x.argmax(1), x * 2, x * 3), "part", 2),
    "tuple entry": (lambda x: (x, x * 2, x * 3), "part[2]", 3),
    "last entry": (lambda x: (x, x * 2), "part[-1]", 2),
    "list with None": (lambda x: [None, x * 4], "part", 4),
    "dict": (lambda x: {"mask": x > 0, "a": x * 5}, "part", 5),
    "dict entry": (lambda x: {"a": x, "b": x * 6}, "part[b]", 6),
    "last_hidden_state": (lambda x: {"pooled": x, "last_hidden_state": x * 7}, "part", 7),
    "entry before last_hidden_state": (lambda x: {"pooled": x * 8, "last_hidden_state": x}, "part[pooled]", 8),
    "nested": (lambda x: (x, {"key": [x, x * 9]}), "part[1][key][1]", 9),
    "nested default": (lambda x: ({"n": 3}, [x * 10]), "part", 10),
    "named tuple": (lambda x: Pair(x, x * 11), "part[1]", 11),
}


@pytest.mark.parametrize("case", STRUCTURES)
def test_structured_outputs(case):
    make, address, factor = STRUCTURES[case]
    x = images(3, 4)
    model = Returns(make).eval()
    assert torch.equal(read(model, address, x), x * factor)
    layer = list_layers(model, x)[0]
    assert layer.name == "part" and layer.shape == (4,)
    assert resolve([layer], [address], "net") == (address,)


@pytest.mark.parametrize(
    ("make", "address", "message"),
    [
        (lambda x: (x, x), "part[2]", r"no entry \[2\]; it is a tuple of 2"),
        (lambda x: (x, x), "part[key]", r"no entry \[key\]"),
        (lambda x: {"a": x}, "part[b]", r"no entry \[b\]; it is a dict with the keys a"),
        (lambda x: x, "part[0]", r"no entry \[0\]; it is a tensor of float32"),
        (lambda x: x.argmax(1), "part", "a tensor of int64 of shape"),
        (lambda x: (x > 0, None), "part", r"a tuple of 2 \(Tensor, NoneType\), not a tensor of floats"),
        (lambda x: ("a", (x,)), "part[0]", "str, not a tensor of floats"),
    ],
)
def test_an_output_without_such_a_tensor_is_refused(make, address, message):
    with pytest.raises(InfodiscardError, match=message):
        read(Returns(make).eval(), address, images(3, 4))


def test_a_layer_without_a_floating_tensor_has_no_shape():
    assert list_layers(Returns(lambda x: x.argmax(1)).eval(), images(3, 4))[0].shape is None
    assert structure(3) == "int"


# ---- addresses and patterns ----------------------------------------------------------------------------------------


def test_addresses_are_taken_apart():
    assert Address.parse("a.b") == Address("a.b", None, ())
    assert Address.parse("a.b#12[0][key]") == Address("a.b", 12, ("0", "key"))


@pytest.mark.parametrize("text", ["", "#1", "[0]", "a#", "a#x", "a[0", "a[]", "a[0]#1"])
def test_malformed_addresses_are_refused(text):
    with pytest.raises(InfodiscardError, match="is not a layer address"):
        Address.parse(text)


LAYERS = [
    Layer("conv1", "Conv2d", (4,), 1),
    Layer("layer1.0.conv1", "Conv2d", (4,), 1),
    Layer("layer1.0.relu", "ReLU", (4,), 2),
    Layer("layer1.0.index", "Lambda", None, 1),
    Layer("layer1.0", "Block", (4,), 1),
    Layer("layer1", "Sequential", (4,), 1),
    Layer("layer2", "Sequential", (4,), 1),
    Layer("output", "Net", (4,), 1),
]
RELUS = ("layer1.0.relu#0", "layer1.0.relu#1")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["layer?"], ("layer1", "layer2")),
        (["layer*"], ("layer1", "layer2")),
        (["layer1.*"], ("layer1.0",)),
        (["layer1.*.*"], ("layer1.0.conv1", *RELUS)),
        (["layer1**"], ("layer1.0.conv1", *RELUS, "layer1.0", "layer1")),
        (["**conv1"], ("conv1", "layer1.0.conv1")),
        (["*"], ("conv1", "layer1", "layer2", "output")),
        (["output", "layer2", "conv1", "layer?"], ("conv1", "layer1", "layer2", "output")),
        (["layer1.0.relu#1", "layer1.0.relu#0"], RELUS),
        (["conv1#0", "conv1", "conv1#00"], ("conv1",)),
        (["layer1.0.relu#01[0]"], ("layer1.0.relu#1[0]",)),
    ],
)
def test_patterns_give_addresses_in_execution_order(patterns, expected):
    assert resolve(LAYERS, patterns, "net") == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("layr1", "'net' has no layer 'layr1'; the nearest are .*'layer1'"),
        ("encoder.*", "No layer of 'net' matches 'encoder"),
        ("layer1.0.ind*", "No layer of 'net' matches"),
        ("layer1?0", "No layer of 'net' matches"),
        ("layer1.0.relu", "called 2 times.*from 'layer1.0.relu#0' to 'layer1.0.relu#1'"),
        ("layer1.0.relu#2", "called 2 times, so '#2' does not exist; the last is '#1'"),
        ("conv1#1", "called 1 times, so '#1' does not exist"),
    ],
)
def test_patterns_without_a_layer_are_refused(pattern, message):
    with pytest.raises(InfodiscardError, match=message):
        resolve(LAYERS, [pattern], "net")


def test_a_probe_of_an_unknown_layer_names_the_nearest():
    with pytest.raises(InfodiscardError, match="no layer 'blok'; the nearest are 'block'"):
        Probe(seeded(Small), "blok")


# ---- the network is left as it was ---------------------------------------------------------------------------------


def test_the_network_is_untouched_after_success():
    model, x = mixed(), images(2, 3, 8, 8)
    before = snapshot(model)
    list_layers(model, x)
    with untouched(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        noisy = x.clone().requires_grad_()
        for address in ("stem", "relu#1", "output"):
            torch.autograd.grad(Probe(model, address)(noisy).sum(), noisy)
            Probe(model, address)(noisy).sum().backward()
    assert snapshot(model) == before
    assert model.stem.bias.grad is None and model.head.bias.grad.tolist() == [3.0] * 5


@pytest.mark.parametrize("error", [ArithmeticError, RuntimeError, KeyboardInterrupt])
def test_the_network_is_untouched_after_a_failing_layer(error):
    def raises(x):
        raise error("a layer fails")

    model = nn.Sequential(mixed(), Lambda(raises), nn.Linear(5, 2)).eval()
    model[0].stem.weight.requires_grad_(False)
    before = snapshot(model)
    with pytest.raises(error):
        read(model, "2", images(2, 3, 8, 8))
    with pytest.raises(InfodiscardError if error is RuntimeError else error):
        list_layers(model, images(2, 3, 8, 8))
    assert snapshot(model) == before


def test_the_network_is_untouched_after_a_bad_argument():
    model = mixed()
    before = snapshot(model)
    for address in ("stemm", "unused", "relu#5", "stem[0]", "#"):
        with pytest.raises(InfodiscardError):
            read(model, address, images(2, 3, 8, 8))
    with pytest.raises(InfodiscardError):
        list_layers(model, images(2, 4, 8, 8))
    with pytest.raises(RuntimeError):
        read(model, "stem", images(2, 4, 8, 8))
    assert snapshot(model) == before


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_it_works_where_autograd_is_off(mode):
    model, outside = seeded(Small), images(2, 3, 8, 8)
    expected = read(model, "relu#1", outside)
    before = snapshot(model)
    with mode():
        x = outside.clone()
        assert len(list_layers(model, x)) == 7
        with untouched(model):
            feature = Probe(model, "relu#1")(x)
            noisy = x.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(Probe(model, "relu#1")(noisy).sum(), noisy)
        assert not torch.is_grad_enabled()
    assert torch.equal(feature, expected) and gradient.abs().sum() > 0
    assert snapshot(model) == before


def test_a_network_made_under_inference_mode_is_refused():
    with torch.inference_mode():
        model = nn.Linear(3, 2).eval()
    with pytest.raises(InfodiscardError, match=r"made under torch\.inference_mode"):
        read(model, "output", images(1, 3))
    assert model.weight.requires_grad and model.bias.requires_grad


def test_wrapped_networks_are_unwrapped():
    model, x = seeded(Small), images(2, 3, 8, 8)
    compiled = torch.compile(model, backend="eager")
    for wrapped in (compiled, nn.DataParallel(model), nn.DataParallel(compiled)):
        assert unwrap(wrapped) is model
        assert list_layers(wrapped, x) == list_layers(model, x)
        assert torch.equal(read(wrapped, "block", x), read(model, "block", x))
    assert unwrap(model) is model


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.1),
        nn.BatchNorm2d(3),
        nn.RReLU(),
        nn.LSTM(3, 2, 2, dropout=0.1),
        nn.MultiheadAttention(4, 2, dropout=0.1),
        torchvision.ops.StochasticDepth(0.1, "row"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_random_layers_in_training_mode_are_refused(layer):
    model = nn.Sequential(nn.Identity(), nn.Sequential(layer)).eval()
    layer.train()
    before = snapshot(model)
    with pytest.raises(
        InfodiscardError, match=r"in training mode \(1\.0\).*depends on the batch; call model\.eval\(\)"
    ):
        list_layers(model, images(2, 3, 8, 8))
    assert snapshot(model) == before
    model.eval()
    with untouched(model):
        pass


def test_training_mode_without_consequence_is_allowed():
    model, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.LSTM(3, 2)).train(), images(4, 3)
    assert read(model, "1", x).shape == (4, 3)
    assert model.training and model[0].training


def test_many_offenders_are_counted():
    with pytest.raises(InfodiscardError, match=r"\(0, 1, 2 and 2 more\)"):
        list_layers(nn.Sequential(*[nn.Dropout() for _ in range(5)]), images(1, 3))


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
    with untouched(model):
        assert not torch.backends.cudnn.enabled
        (gradient,) = torch.autograd.grad(Probe(model, "lstm")(noisy)[:, 2].sum(), noisy)
        hidden = Probe(model, "lstm[1][0]")(x)
    assert torch.backends.cudnn.enabled == cudnn
    assert gradient[:, :3].abs().sum() > 0 and gradient[:, 3:].abs().sum() == 0
    torch.testing.assert_close(hidden[0], model.lstm(x)[0][:, -1])
    assert snapshot(model) == before


def test_the_global_random_state_is_untouched():
    model, x = seeded(nn.Sequential, nn.Linear(3, 3), Lambda(lambda x: x + torch.rand_like(x))), images(2, 3)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    list_layers(model, x)
    read(model, "0", x)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1]) and random.getstate() == states[2]


def test_calls_of_a_repeated_module_stand_where_they_are_made():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.relu = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.two(self.relu(self.one(x))))

    layers = list_layers(Twice().eval(), torch.zeros(1, 3, 4, 4))
    assert resolve(layers, ["*"], "twice") == ("one", "relu#0", "two", "relu#1", "output")


def test_a_tensor_has_no_entries():
    with pytest.raises(InfodiscardError, match=r"has no entry \[T\]"):
        Probe(nn.Sequential(nn.Conv2d(3, 4, 1)), "0[T]")(torch.zeros(1, 3, 4, 4))
