"""Layers are listed and read rightly."""

from threading import Event, Thread, current_thread
from types import SimpleNamespace

import pytest
import torch
import torchvision
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.networks.addresses import Layer, resolve
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe, list_layers, written_buffers
from infodiscard.networks.state import State
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


# ---- networks that change as they run ------------------------------------------------------------------------------


class Changing(nn.Module):
    """A network that does something before, within and after its layers, which an interrupted pass does not undo."""

    def __init__(self, before=None, within=None, after=None):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)
        self.skips, self.busy, self.cache, self.calls = [], False, {}, 0
        self.register_buffer("seen", torch.zeros(()))
        self.steps = before, within, after

    def step(self, number, h):
        if self.steps[number]:
            self.steps[number](self, h)

    def forward(self, x):
        self.step(0, x)
        h = self.act(self.first(x))
        self.step(1, h)
        y = self.last(h)
        self.step(2, h)
        return y


def _enter(model, _):
    if model.busy:
        raise RuntimeError("busy")
    model.busy = True


def _merge(sign):
    def merge(model, _):
        model.first.weight.data += sign

    return merge


def _count(model, h):
    model.seen += 1
    model.calls += 1


CHANGING = {
    "a list": (None, lambda m, h: m.skips.append(h), lambda m, h: m.skips.pop(0)),
    "a list that grows": (None, lambda m, h: m.skips.append(h), None),
    "a busy flag": (_enter, None, lambda m, h: setattr(m, "busy", False)),
    "a cache": (None, lambda m, h: m.cache.update(h=h), lambda m, h: m.cache.clear()),
    "counters": (_count, None, None),
    "training flags": (lambda m, h: m.first.train(), None, lambda m, h: m.first.eval()),
}


@pytest.mark.parametrize("kind", CHANGING)
@pytest.mark.parametrize("address", ["act", "last", "output"])
def test_every_pass_begins_with_the_network_as_it_was(kind, address):
    model, plain, x = seeded(Changing, *CHANGING[kind]), seeded(Changing), images(3, 3)
    before, state = snapshot(model), State.of(model)
    list_layers(model, x)
    with preserved(model):
        probe, twin = Probe(model, address), Probe(plain, address)
        for part in (x, x[:1], x[1:]):
            noisy, other = part.clone().requires_grad_(), part.clone().requires_grad_()
            assert torch.equal(probe(part), twin(part))
            (one,), (two,) = (torch.autograd.grad(p(v).sum(), v) for p, v in ((probe, noisy), (twin, other)))
            assert torch.equal(one, two)
        assert len(model.skips) <= 1 and model.calls <= 1
    assert snapshot(model) == before and not state.changed().parts
    model(x[:2])


def test_weights_that_are_merged_for_a_pass_are_merged_for_its_gradient():
    model, merged, x = seeded(Changing, _merge(1.0), None, _merge(-1.0)), seeded(Changing), images(2, 3)
    merged.first.weight.data += 1.0
    before = snapshot(model)
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    with preserved(model):
        probe = Probe(model, "act")
        for _ in range(2):
            (found,) = torch.autograd.grad(probe(one).sum(), one)
    (expected,) = torch.autograd.grad(merged.act(merged.first(two)).sum(), two)
    assert torch.equal(found, expected)
    assert snapshot(model) == before


def test_a_network_that_fails_in_the_middle_is_as_it_was():
    def fail(model, h):
        model.busy, model.seen.data = True, torch.ones(())
        raise RuntimeError("in the middle")

    model = seeded(Changing, None, fail)
    state = State.of(model)
    with pytest.raises(InfodiscardError, match="in the middle"):
        list_layers(model, images(1, 3))
    with pytest.raises(InfodiscardError, match="in the middle"):
        read(model, "output", images(1, 3))
    assert not state.changed().parts and not model.busy


@pytest.mark.parametrize("caught", [Exception, BaseException])
def test_networks_that_handle_exceptions_do_not_see_the_end_of_a_pass(caught):
    class Handling(Changing):
        def forward(self, x):
            try:
                return super().forward(x)
            except caught:
                self.busy = True
                return x

    model, x = seeded(Handling), images(2, 3)
    assert torch.equal(read(model, "act", x), model.act(model.first(x))) and not model.busy


def test_buffers_that_a_pass_writes_are_known():
    assert written_buffers(seeded(Changing, _count), images(1, 3)) == {"seen"}
    assert written_buffers(seeded(Changing), images(1, 3)) == set()


def test_the_users_own_passes_in_another_thread_go_on():
    model, x = seeded(Small), images(2, 3, 8, 8)
    expected, seen = model(x).detach(), []
    inside, done = Event(), Event()

    def use():
        inside.wait(10)
        try:
            seen.extend(model(x).detach() for _ in range(3))
        except BaseException as error:
            seen.append(error)
        done.set()

    def wait(*_):
        inside.set()
        done.wait(10)

    user = Thread(target=use)
    user.start()
    waiting = model.stem.register_forward_pre_hook(lambda *_: None if current_thread() is user else wait())
    feature = read(model, "stem", x)
    inside.clear(), done.clear()
    user.join()
    user = Thread(target=use)
    user.start()
    layers = list_layers(model, x)
    user.join()
    waiting.remove()
    assert torch.equal(feature, model.stem(x)) and [layer.calls for layer in layers] == [1, 2, 1, 1, 1, 1, 1]
    assert len(seen) == 6 and all(torch.equal(each, expected) for each in seen)


# ---- networks that differentiate, and that have a configuration ----------------------------------------------------


def test_networks_may_differentiate_within_themselves():
    class Forces(nn.Module):
        def __init__(self):
            super().__init__()
            self.energy = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

        def forward(self, x):
            x.requires_grad_()
            return -torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]

    model, x = seeded(Forces), images(2, 3)
    expected = model(x.clone()).detach()
    assert [layer.name for layer in list_layers(model, x)][-1] == "output"
    with preserved(model), torch.no_grad():
        found = Probe(model, "output")(x)
    assert torch.equal(found, expected) and not found.requires_grad


def test_a_configuration_of_the_users_own_asks_for_nothing():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.config = SimpleNamespace(output_hidden_states=False)
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return self.layer(x)

    assert [layer.name for layer in list_layers(seeded(Own), images(1, 3))] == ["layer", "output"]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_padding_masks_do_not_end_in_nested_tensors():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=True)

        def forward(self, x, mask):
            return self.encoder(x, src_key_padding_mask=mask)

    model, x, mask = seeded(Encoder), images(2, 5, 8), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    names = [layer.name for layer in list_layers(model, (x, mask))]
    assert {"encoder.layers.0.linear1", "encoder.layers.1", "output"} <= set(names)
    with torch.no_grad():
        found, expected = read(model, "output", (x, mask)), model(x, mask)
    torch.testing.assert_close(found[~mask], expected[~mask], rtol=1e-4, atol=1e-5)
    assert torch.backends.mha.get_fastpath_enabled()
