"""Whatever a network raises becomes one sentence that says which error, where, and why."""

import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, measure
from infodiscard.networks.features import LayerFeatures
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe, list_layers
from small_network import FAST, images


class Custom(Exception):
    """An error of a user's own."""


class Inner(nn.Module):
    """Fails, as its function does."""

    def __init__(self, fails):
        super().__init__()
        self.fails = fails

    def forward(self, x):
        self.fails(x)
        return x


def raising(error):
    def fails(x):
        raise error

    return fails


def asserts(x):
    assert x.shape[1] == 4, "the sizes do not fit\nat all"


FAULTS = {
    "assertion": (asserts, "AssertionError in '1': the sizes do not fit"),
    "bare assertion": (raising(AssertionError()), "AssertionError in '1': AssertionError"),
    "key": (lambda x: {}["missing"], "KeyError in '1': 'missing'"),
    "own": (raising(Custom("no. \n second line")), "Custom in '1': no"),
    "attribute": (lambda x: x.colour, "AttributeError in '1': 'Tensor' object has no attribute 'colour'"),
    "runtime": (lambda x: x @ x.new_zeros(3, 3), "RuntimeError in '1': "),
    "exit": (raising(SystemExit("no GPU here")), "SystemExit in '1': no GPU here"),
    "exit code": (raising(SystemExit(3)), "SystemExit in '1': 3"),
    "stop": (raising(StopIteration()), "StopIteration in '1': StopIteration"),
}


def network(fails):
    return nn.Sequential(nn.Conv2d(3, 5, 3), Inner(fails), nn.Flatten()).eval()


@pytest.mark.parametrize("case", FAULTS)
def test_errors_of_a_network_name_it_its_layer_and_the_reason(case):
    fails, told = FAULTS[case]
    with pytest.raises(InfodiscardError) as caught:
        measure({"mine": network(fails)}, images(), layers=["2"], **FAST)
    said = str(caught.value)
    assert said.startswith("'mine' cannot be measured: The network does not take an input of shape (1, 3, 8, 8) (")
    assert told in said and "\n" not in said and "at all" not in said


@pytest.mark.parametrize("read", [Probe, lambda model, layer: LayerFeatures(model, [layer])])
def test_so_they_do_where_a_layer_is_read(read):
    model = network(asserts)
    with pytest.raises(InfodiscardError, match=r"cannot be run \(AssertionError in '1'") as caught, preserved(model):
        read(model, "2")(images())
    assert isinstance(caught.value.__cause__, AssertionError)


def test_an_error_that_comes_later_names_the_layer_that_is_measured():
    calls = []

    def fails(x):
        calls.append(x)
        assert len(calls) < 20, "enough"

    with pytest.raises(InfodiscardError, match=r"Layer '2' of 'mine' .*AssertionError in '1': enough"):
        measure({"mine": network(fails)}, images(), layers=["2"], **FAST)


def test_an_interruption_and_a_lack_of_memory_are_no_errors_of_the_network():
    for error in (KeyboardInterrupt, MemoryError):
        with pytest.raises(error):
            list_layers(network(raising(error())), images())


def test_the_guards_of_an_exported_network_are_told():
    exported = torch.export.export(nn.Conv2d(3, 4, 3).eval(), (images(1),)).module()
    with pytest.raises(InfodiscardError, match=r"Guard failed"):
        measure(exported, images(2), layers=["output"], **FAST)


@pytest.mark.parametrize("lazy", [nn.LazyConv2d(4, 3), nn.LazyLinear(2), nn.LazyBatchNorm2d()])
def test_a_lazy_network_is_refused(lazy):
    with pytest.raises(InfodiscardError, match="The layer '0' is lazy and has no weights yet; run the network once"):
        measure(nn.Sequential(lazy).eval(), images(), layers=["output"], **FAST)
