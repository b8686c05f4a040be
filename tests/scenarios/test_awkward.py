"""Networks that are built, wrapped or left in ways that get in the way of hooks and gradients."""

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from infodiscard import InfodiscardError, list_layers, measure
from infodiscard.networks.state import State
from probing import Lambda, images, seeded, snapshot

FAST = {"max_passes": 256, "tolerance": 1.0, "progress": False}
X = images(1, 3, 8, 8)


def plain():
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 5)
        )
    )


def sid(model, layers, inputs=X):
    return measure(model, inputs, layers, **FAST).dataset["sid"].values.ravel()


# ---- measured as if they were plain ----------------------------------------------------------------------------------


def never(*_):
    raise AssertionError("nothing may be compiled while layers are read")


def compiled(part=None, in_place=False):
    """The plain network, it or a part of it wrapped by torch.compile or compiled in place."""
    model = plain()
    if in_place:
        (model if part is None else model[part]).compile(backend=never)
        return model
    if part is None:
        return torch.compile(model, backend=never)
    model[part] = torch.compile(model[part], backend=never)
    return model


WRAPPED = {
    "compiled": compiled,
    "compiled in place": lambda: compiled(in_place=True),
    "a part compiled": lambda: compiled(0),
    "a part compiled in place": lambda: compiled(2, in_place=True),
    "DataParallel": lambda: nn.DataParallel(plain()),
    "DataParallel, compiled": lambda: nn.DataParallel(compiled()),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_and_compiled_networks_give_what_plain_ones_give(kind):
    """In eager mode: compiled code would not know the hooks that come later."""
    model = WRAPPED[kind]()
    before, calls = snapshot(model), [module._compiled_call_impl for module in model.modules()]
    run, expected = (measure(each, X, ["0", "2", "output"], **FAST) for each in (model, plain()))
    np.testing.assert_array_equal(run.dataset["sid_map"].values[0], expected.dataset["sid_map"].values[0])
    assert snapshot(model) == before and calls == [module._compiled_call_impl for module in model.modules()]
    if "part" not in kind:  # its weights have another name
        assert next(iter(run.plan.hashes.values())) == next(iter(expected.plan.hashes.values()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near_full_precision(dtype):
    model = plain().to(dtype)
    found, exact = sid(model, ["0", "2", "output"]), sid(plain(), ["0", "2", "output"])
    assert found.dtype == np.float32 and {p.dtype for p in model.parameters()} == {dtype}
    np.testing.assert_allclose(found, exact, atol=0.05)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_off_outside_and_inputs_made_there(off):
    expected = sid(plain(), ["2"])
    model = plain()
    with off():
        inside = X.clone()
        assert sid(model, ["2"], inside) == expected
    assert sid(model, ["2"], inside) == expected


# ---- checkpointed blocks --------------------------------------------------------------------------------------------


class Saving(nn.Module):
    """A network whose block is recomputed in the backward pass."""

    def __init__(self, reentrant):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3))
        self.last, self.reentrant = nn.Conv2d(4, 2, 1), reentrant

    def forward(self, x):
        return self.last(checkpoint(self.block, x, use_reentrant=self.reentrant))


def test_checkpointed_blocks_change_nothing():
    model = seeded(Saving, False)
    twin = nn.Sequential(model.block, model.last)
    found = sid(model, ["block.0", "block.1", "block", "last"])
    np.testing.assert_array_equal(found, sid(twin, ["0.0", "0.1", "0", "1"]))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # PyTorch's, where layers are listed
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("block.1", r"no gradient back.*in a block that is checkpointed with use_reentrant=True"),
        ("block", r"no gradient back.*in a block that is checkpointed with use_reentrant=True"),
        ("last", "before the layer is checkpointed with use_reentrant=True.*checkpoint it with use_reentrant=False"),
    ],
)
def test_reentrant_checkpoints_are_refused(layer, message):
    model = seeded(Saving, True)
    before = snapshot(model)
    with pytest.raises(InfodiscardError, match=message):
        sid(model, [layer])
    assert snapshot(model) == before


# ---- networks that change as they run -------------------------------------------------------------------------------


class Skipping(nn.Module):
    """A U-Net that keeps its skips on itself, counts, and draws numbers that it does not use."""

    def __init__(self):
        super().__init__()
        self.down, self.inner, self.up = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 1, 1)
        self.skips = []
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += torch.rand(())
        self.skips.append(self.down(x))
        return self.up(torch.cat([self.inner(self.skips[-1]), self.skips.pop(0)], 1))


class Plain(Skipping):
    def forward(self, x):
        down = self.down(x)
        return self.up(torch.cat([self.inner(down), down], 1))


def test_a_network_that_changes_is_measured_as_its_twin_and_left_as_it_was():
    model, twin, layers = seeded(Skipping), seeded(Plain), ["inner", "up", "output"]
    before, state = snapshot(model), State.of(model)
    np.testing.assert_array_equal(sid(model, layers), sid(twin, layers))
    assert snapshot(model) == before and not state.changed().parts
    model(X)
    copy.deepcopy(model)


@pytest.mark.filterwarnings(
    "ignore::zarr.errors.ZarrUserWarning"
)  # filters of warnings are the process's, not a thread's
def test_threads_that_measure_one_network_get_what_each_gets_alone():
    model = plain()
    layers = ["0", "2", "4"]
    expected = [sid(model, [layer]) for layer in layers]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda layer: sid(model, [layer]), layers))
    np.testing.assert_array_equal(found, expected)
    assert all(parameter.requires_grad for parameter in model.parameters())


# ---- the user's own settings ----------------------------------------------------------------------------------------


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "setting",
    [lambda: torch.autocast("cpu", torch.bfloat16), lambda: torch.device("meta"), default_dtype, deterministic],
)
def test_settings_of_the_process_do_not_change_a_value(setting):
    model, expected = plain(), sid(plain(), ["2"])
    with setting():
        assert sid(model, ["2"]) == expected


def test_backward_hooks_before_an_in_place_operation_change_nothing():
    hooked = plain()
    hooked[1].register_full_backward_hook(lambda *_: (torch.zeros(1),))
    assert sid(hooked, ["2"]) == sid(plain(), ["2"]) and len(hooked[1]._backward_hooks) == 1


# ---- random outputs -------------------------------------------------------------------------------------------------


def test_dropout_that_was_left_on():
    model = nn.Sequential(plain(), nn.Dropout())
    with pytest.raises(InfodiscardError, match=r"in training mode \(0\.1, 1\)"):
        sid(model.train(), ["output"])
    functional = nn.Sequential(plain(), Lambda(lambda x: F.dropout(x, training=True)))
    with pytest.raises(InfodiscardError, match=r"Layer 'output' .*its output is random"):
        sid(functional, ["output"])
    assert sid(functional, ["0"]) == sid(plain(), ["output"])


# ---- refused --------------------------------------------------------------------------------------------------------


class Whole(nn.Module):
    """A network that computes in whole numbers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.arange(192 * 4).view(192, 4))
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner((10 * x.flatten(1)).long() @ self.weight).float()


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused, self.used = nn.Linear(2, 2), nn.Conv2d(3, 2, 3)

    def forward(self, x):
        return self.used(x)


def dynamically_quantised():
    return torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear}, dtype=torch.qint8)


def statically_quantised():
    ao = torch.ao.quantization
    model = nn.Sequential(ao.QuantStub(), nn.Conv2d(3, 4, 3), ao.DeQuantStub()).eval()
    model.qconfig = ao.get_default_qconfig(torch.backends.quantized.engine)
    prepared = ao.prepare(model)
    prepared(X)
    return ao.convert(prepared)


def inference_buffer():
    model = plain()
    with torch.inference_mode():
        model[1].running_var = torch.ones(4)
    return model


REFUSED = {
    "TorchScript": (lambda: torch.jit.script(plain()), "output", "The network is TorchScript.*give the Python module"),
    "TorchScript within": (
        lambda: nn.Sequential(torch.jit.trace(plain(), X), nn.ReLU()).eval(),
        "1",
        "'Sequential' cannot be measured: Its layer '0' is TorchScript",
    ),
    "meta": (lambda: plain().to("meta"), "output", "device 'meta', where tensors have shapes but no values"),
    "a part on meta": (lambda: nn.Sequential(plain(), nn.Linear(5, 2, device="meta")).eval(), "0", "device 'meta'"),
    "inference buffer": (inference_buffer, "2", r"made under torch\.inference_mode"),
    "never called": (Unused, "unused", "Layer 'unused' of 'Unused' is not called in a forward pass"),
    "whole numbers": (
        Whole,
        "inner",
        "a tensor of int64 .* not a tensor of floats; measure a layer whose output is one",
    ),
    "behind whole numbers": (Whole, "output", "no gradient back to the input .*rounded, quantised"),
    "dynamically quantised": (dynamically_quantised, "output", "no gradient back to the input .*quantised"),
    "statically quantised": (statically_quantised, "1", "a tensor of quint8 .* not a tensor of floats"),
    "behind quantised": (statically_quantised, "output", "no gradient back to the input .*quantised"),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch's own, of what is deprecated
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_measured_is_refused_in_one_sentence(kind):
    make, layer, message = REFUSED[kind]
    with pytest.raises(InfodiscardError, match=message):
        sid(make(), [layer])


@pytest.mark.filterwarnings("ignore")
def test_layers_before_a_quantised_one_are_measured():
    assert sid(dynamically_quantised(), ["2"]) == sid(plain(), ["2"])
    with pytest.raises(InfodiscardError, match="is TorchScript"):
        list_layers(torch.jit.script(plain()), X)
