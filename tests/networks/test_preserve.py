"""The network is left as it was, and refused where it cannot be read."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import pretend_device
from infodiscard.errors import InfodiscardError
from infodiscard.networks.preserve import preserved, unwrap
from infodiscard.networks.probe import Probe, list_layers
from infodiscard.networks.state import State
from probing import Lambda, Small, images, mixed, read, seeded, snapshot


def test_the_network_is_untouched_after_success():
    model, x = mixed(), images(2, 3, 8, 8)
    before = snapshot(model)
    list_layers(model, x)
    with preserved(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        noisy = x.clone().requires_grad_()
        for address in ("stem", "relu#1", "output"):
            torch.autograd.grad(Probe(model, address)(noisy).sum(), noisy)
            Probe(model, address)(noisy).sum().backward()
    assert snapshot(model) == before
    assert model.stem.bias.grad is None and model.head.bias.grad.tolist() == [3.0] * 5


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ArithmeticError, InfodiscardError),
        (RuntimeError, InfodiscardError),
        (SystemExit, InfodiscardError),
        (KeyboardInterrupt, KeyboardInterrupt),
    ],
)
def test_the_network_is_untouched_after_a_failing_layer(error, told):
    def raises(x):
        raise error("a layer fails")

    model = nn.Sequential(mixed(), Lambda(raises), nn.Linear(5, 2)).eval()
    model[0].stem.weight.requires_grad_(False)
    before = snapshot(model)
    with pytest.raises(told):
        read(model, "2", images(2, 3, 8, 8))
    with pytest.raises(told):
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
    with pytest.raises(InfodiscardError):
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
        with preserved(model):
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


class HandsOn(nn.Module):
    """A wrapper with a forward pass of its own, which hands attributes of what it wraps on, as those of PEFT do."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.model, name)

    def forward(self, x):
        return torch.tanh(self.model(x))


class Doubled(nn.DataParallel):
    """A DataParallel with a forward pass of its own."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        (HandsOn, torch.tanh),
        (lambda model: HandsOn(torch.compile(model, backend="eager")), torch.tanh),
        (lambda model: HandsOn(nn.DataParallel(model)), torch.tanh),
        (lambda model: torch.compile(HandsOn(model), backend="eager"), torch.tanh),
        (Doubled, lambda output: 2 * output),
    ],
)
def test_other_wrappers_are_networks_of_their_own(wrap, expected):
    model, x = seeded(Small), images(2, 3, 8, 8)
    assert torch.equal(read(wrap(model).eval(), "output", x), expected(read(model, "output", x)))
    assert list_layers(wrap(model).eval(), x)[-1].type == type(unwrap(wrap(model))).__name__


def test_a_compiled_module_with_hooks_of_its_own_is_not_unwrapped():
    model, x = seeded(Small), images(2, 3, 8, 8)
    compiled = torch.compile(model, backend="eager")
    compiled.register_forward_hook(lambda module, args, output: 2 * output)
    assert torch.equal(read(compiled, "output", x), 2 * read(model, "output", x))


def test_a_wrapper_that_hands_on_a_configuration_and_not_the_question_is_listed():
    model = seeded(Small)
    model.config = SimpleNamespace(output_hidden_states=False)
    listed = list_layers(HandsOn(model).eval(), images(2, 3, 8, 8))
    assert listed[-1].name == "output" and "hidden_states[0]" not in [layer.name for layer in listed]


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
    with preserved(model):
        pass


def test_training_mode_without_consequence_is_allowed():
    model, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.LSTM(3, 2)).train(), images(4, 3)
    assert read(model, "1", x).shape == (4, 3)
    assert model.training and model[0].training


def test_many_offenders_are_counted():
    with pytest.raises(InfodiscardError, match=r"\(0, 1, 2 and 2 more\)"):
        list_layers(nn.Sequential(*[nn.Dropout() for _ in range(5)]), images(1, 3))


def test_the_global_random_state_is_untouched():
    model, x = seeded(nn.Sequential, nn.Linear(3, 3), Lambda(lambda x: x + torch.rand_like(x))), images(2, 3)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    list_layers(model, x)
    read(model, "0", x)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1]) and random.getstate() == states[2]


# ---- the process's own settings ------------------------------------------------------------------------------------


def test_autocast_default_device_and_backward_hooks_are_off_within():
    model, called = seeded(Small), []
    model.stem.register_full_backward_hook(lambda *_: called.append(1))
    state, noisy = State.of(model), images(1, 3, 8, 8).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        with preserved(model):
            feature = Probe(model, "relu#1")(noisy)
            torch.autograd.grad(feature.sum(), noisy)
            assert feature.dtype == torch.float32 and torch.ones(()).device.type == "cpu"
        assert torch.is_autocast_enabled("cpu") and torch.ones(()).device.type == "meta"
    assert not called and not state.changed().parts


def test_a_network_that_is_not_initialised_is_refused():
    with pytest.raises(InfodiscardError, match="is lazy and has no weights yet; run the network once"):
        list_layers(nn.Sequential(nn.LazyLinear(3)).eval(), images(1, 3))


def test_threads_take_turns_with_modules_that_they_share():
    shared = nn.Linear(3, 3)
    one, two = nn.Sequential(shared, nn.ReLU()).eval(), nn.Sequential(nn.Tanh(), shared).eval()
    inside, order = Event(), []

    def late():
        inside.wait(10)
        with preserved(two):
            order.append("two")

    thread = Thread(target=late)
    thread.start()
    with preserved(one):
        inside.set()
        thread.join(0.2)
        order.append("one")
        with preserved(one):  # the same thread may go further in
            pass
    thread.join(10)
    assert order == ["one", "two"] and shared.weight.requires_grad


def test_settings_of_the_process_are_back_after_threads_that_need_them():
    """Of which each would otherwise put back what the other has set."""
    networks = [nn.MultiheadAttention(4, 2).eval(), nn.Sequential(nn.MultiheadAttention(4, 2), nn.LSTM(2, 2)).eval()]
    cudnn = torch.backends.cudnn.enabled

    def hold(network):
        with preserved(network):
            time.sleep(0.05)
            return torch.backends.mha.get_fastpath_enabled()

    with ThreadPoolExecutor(2) as pool:
        assert not any(pool.map(hold, networks * 2))
    assert torch.backends.mha.get_fastpath_enabled() and torch.backends.cudnn.enabled == cudnn


def test_kernels_of_an_accelerator_are_repeatable_within(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    model, kept = nn.Sequential(nn.Linear(3, 2)).eval(), torch.backends.cudnn.benchmark
    with preserved(model):
        assert not torch.are_deterministic_algorithms_enabled()  # on a CPU, nothing is changed
    with pretend_device.accelerator(), pytest.raises(ArithmeticError), preserved(pretend_device.move(model)):
        assert torch.are_deterministic_algorithms_enabled() and torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
        raise ArithmeticError
    assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark == kept
    assert torch.utils.deterministic.fill_uninitialized_memory
