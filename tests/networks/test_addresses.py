"""Addresses and patterns: what they mean, and what is said of those that mean nothing."""

import pytest
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.networks.addresses import Address, Layer, resolve
from infodiscard.networks.usual import choose_layers


def test_addresses_are_taken_apart():
    assert Address.parse("a.b") == Address("a.b", None, ())
    assert Address.parse("a.b#12[0][key]") == Address("a.b", 12, ("0", "key"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("c[0]", Address("c[0]", None, ())),
        ("c[0][1]", Address("c[0]", None, ("1",))),
        ("c[1]", Address("c", None, ("1",))),
        ("x#1", Address("x#1", None, ())),
        ("x#1#2[a]", Address("x#1", 2, ("a",))),
        ("x#2", Address("x", 2, ())),
        ("open[", Address("open[", None, ())),
        ("open[#1", Address("open[", 1, ())),
    ],
)
def test_a_name_of_a_module_is_meant_literally(text, address):
    assert Address.parse(text, {"c", "c[0]", "x", "x#1", "open[", ""}) == address


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


ODD = [
    Layer("c[0]", "Conv2d", (4,), 1),
    Layer("x#1", "ReLU", (4,), 1),
    Layer("x", "ReLU", (4,), 2),
    Layer("a*b", "ReLU", (4,), 1),
    Layer("why?", "ReLU", (4,), 2),
    Layer("öl/ß and more", "ReLU", (4,), 1),
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("c[0]", ("c[0]",)),
        ("c[0][1]", ("c[0][1]",)),
        ("c[?]", ("c[0]",)),
        ("x#1", ("x#1",)),
        ("x*", ("x#1", "x#0", "x#01")),
        ("x#01", ("x#01",)),
        ("a*b", ("a*b",)),
        ("why?#1", ("why?#1",)),
        ("why*", ("why?#0", "why?#1")),
        ("öl/*", ("öl/ß and more",)),
        ("*", ("c[0]", "x#1", "x#0", "x#01", "a*b", "why?#0", "why?#1", "öl/ß and more")),
    ],
)
def test_names_of_any_characters_and_patterns_that_match_them(pattern, expected):
    assert resolve(ODD, [pattern], "net") == expected


MODULES = {"conv1": nn.Conv2d(3, 4, 3), "layer1.0.relu": nn.ReLU(), "unused": nn.Linear(2, 2), "": nn.Module()}


def test_modules_stand_for_their_names():
    conv, relu, _, whole = MODULES.values()
    assert resolve(LAYERS, [conv, relu, whole], "net", MODULES) == ("conv1", *RELUS, "output")
    assert choose_layers(LAYERS, conv, (), "net", MODULES) == ("conv1",)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("unused", "Layer 'unused' of 'net' is not called in a forward pass, so there is nothing to measure"),
        ([MODULES["unused"]], "Layer 'unused' of 'net' is not called"),
        ([nn.Conv2d(3, 4, 3)], "layers holds a Conv2d that is no module of 'net'; give one of its own, or a name"),
        ([0], "layers holds 0; give names, patterns or modules of 'net', such as "),
        (0, "layers holds 0; give names"),
        ([None], "layers holds None; give names"),
        ([["conv1"]], r"layers holds \['conv1'\]; give names"),
    ],
)
def test_what_is_no_layer_gets_a_sentence(wanted, message):
    with pytest.raises(InfodiscardError, match=message):
        choose_layers(LAYERS, wanted, (), "net", MODULES)
