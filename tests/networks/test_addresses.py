"""Addresses and patterns: what they mean, and what is said of those that mean nothing."""

import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.networks.addresses import Address, Layer, resolve


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
