"""Which tensor of a layer's output is meant, whatever its structure."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.networks.addresses import resolve
from infodiscard.networks.outputs import structure
from infodiscard.networks.probe import Probe, list_layers
from probing import Lambda, images, read

Pair = namedtuple("Pair", "first second")


@dataclass
class Record:
    """An output with fields."""

    first: torch.Tensor
    second: torch.Tensor


class Returns(nn.Module):
    """A network whose first layer has whatever output `make` makes of the input."""

    def __init__(self, make):
        super().__init__()
        self.part = Lambda(make)
        self.after = nn.Identity()

    def forward(self, x):
        self.part(x)
        return self.after(x)


STRUCTURES = {
    "tuple": (lambda x: (x.argmax(1), x * 2, x * 3), "part", 2),
    "tuple entry": (lambda x: (x, x * 2, x * 3), "part[2]", 3),
    "last entry": (lambda x: (x, x * 2), "part[-1]", 2),
    "list with None": (lambda x: [None, x * 4], "part", 4),
    "dict": (lambda x: {"mask": x > 0, "a": x * 5}, "part", 5),
    "dict entry by place": (lambda x: {"mask": x > 0, "a": x * 5}, "part[1]", 5),
    "dict entry": (lambda x: {"a": x, "b": x * 6}, "part[b]", 6),
    "last_hidden_state": (lambda x: {"pooled": x, "last_hidden_state": x * 7}, "part", 7),
    "entry before last_hidden_state": (lambda x: {"pooled": x * 8, "last_hidden_state": x}, "part[pooled]", 8),
    "nested": (lambda x: (x, {"key": [x, x * 9]}), "part[1][key][1]", 9),
    "nested default": (lambda x: ({"n": 3}, [x * 10]), "part", 10),
    "named tuple": (lambda x: Pair(x, x * 11), "part[1]", 11),
    "named tuple by name": (lambda x: Pair(x, x * 12), "part[second]", 12),
    "number as key": (lambda x: {1: x * 13, 2: x, 3: x}, "part[1]", 13),
    "last number as key": (lambda x: OrderedDict({1: x, 2: x, 3: x * 14}), "part[3]", 14),
    "number below zero as key": (lambda x: {-1: x * 15, 0: x, 1: x}, "part[-1]", 15),
    "text that is a number as key": (lambda x: {"1": x * 16, "0": x}, "part[1]", 16),
    "keys of both kinds": (lambda x: {1: x, "a": x * 17}, "part[a]", 17),
    "ordered dict by place": (lambda x: OrderedDict(a=x, b=x * 18), "part[1]", 18),
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
        (lambda x: {1: x, 2: x}, "part[0]", r"no entry \[0\]; it is a dict with the keys 1, 2"),
        (lambda x: {1: x, "a": x}, "part[0]", r"no entry \[0\]"),
        (lambda x: {1: x, "1": x}, "part[1]", r"has 2 entries \[1\], as its keys 1, '1' read alike"),
        (lambda x: Pair(x, x), "part[third]", r"no entry \[third\]"),
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


def test_a_tensor_has_no_entries():
    with pytest.raises(InfodiscardError, match=r"has no entry \[T\]"):
        Probe(nn.Sequential(nn.Conv2d(3, 4, 1)), "0[T]")(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("entry", ["[second]", "[1]", "[-1]"])
def test_fields_of_a_dataclass_by_name_and_by_place(entry):
    x = images(3, 4)
    assert torch.equal(read(Returns(lambda x: Record(x, x * 2)).eval(), f"part{entry}", x), x * 2)


@pytest.mark.parametrize("entry", ["[logits]", "[1]"])
def test_outputs_of_transformers_by_name_and_by_place(entry):
    outputs = pytest.importorskip("transformers").modeling_outputs
    x = images(3, 4)
    model = Returns(lambda x: outputs.SequenceClassifierOutput(loss=x, logits=x * 2)).eval()
    assert torch.equal(read(model, f"part{entry}", x), x * 2)


# ---- tensors of other kinds ----------------------------------------------------------------------------------------


def test_a_sparse_output_is_made_dense():
    x = images(3, 4)
    assert torch.equal(read(Returns(lambda x: x.relu().to_sparse()).eval(), "part", x), x.relu())


def test_a_complex_output_is_its_real_and_imaginary_parts():
    model, x = Returns(lambda x: torch.fft.rfft(x)[:, 1:].conj()).eval(), images(3, 4)
    expected = torch.fft.rfft(x)[:, 1:]
    assert torch.equal(read(model, "part", x), torch.stack([expected.real, -expected.imag], -1))
    assert {layer.name: layer.shape for layer in list_layers(model, x)}["part"] == (2,)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: torch.nested.nested_tensor(list(x), layout=torch.jagged), "a nested tensor, whose rows may differ"),
        (lambda x: x.to(torch.float8_e5m2), "a tensor of float8_e5m2 of shape"),
    ],
)
def test_other_tensors_are_listed_without_a_shape_and_refused(make, says):
    model, x = Returns(make).eval(), images(3, 4)
    assert {layer.name: layer.shape for layer in list_layers(model, x)}["part"] is None
    with pytest.raises(InfodiscardError, match=f"The output of 'part' is {says}.*measure a layer whose output is one"):
        read(model, "part", x)


@pytest.mark.parametrize("transform", [torch.vmap, lambda f: torch.vmap(torch.func.grad(lambda row: f(row).sum()))])
def test_layers_within_transforms_are_refused_and_the_whole_is_read(transform):
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.row = nn.Tanh()

        def forward(self, x):
            return transform(self.row)(x)

    model, x = Rows().eval(), images(3, 4)
    assert torch.equal(read(model, "output", x), model(x))
    with pytest.raises(InfodiscardError, match=r"'row' is a tensor within torch\.vmap or another transform"):
        read(model, "row", x)
