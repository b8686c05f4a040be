"""Loading of networks: names, overrides, seeds, and what cannot be loaded."""

from __future__ import annotations

import json
from importlib.resources import as_file, files

import pytest
import torch
from safetensors import safe_open

from infodiscard import data, zoo
from infodiscard.errors import InfodiscardError
from infodiscard.training.evaluate import accuracy
from tiny import random_network


def test_zoo_network_is_ready_to_feed() -> None:
    network = zoo.load("zoo:resnet20", allow_random=True)
    assert network.name == "resnet20" and network.input_size == (32, 32) and network.source == "zoo:resnet20"
    assert network.default_layers == ("bn1", "layer1", "layer2", "layer3", "linear")
    assert not any(module.training for module in network.module.modules())
    assert network.module(network.normalise(torch.rand(2, 3, 32, 32))).shape == (2, 10)


def test_every_name_of_the_zoo_loads() -> None:
    depths = (20, 32, 44, 56)
    assert zoo.names() == [
        *("alexnet", "vgg16", "vgg19", "resnet18", "resnet34"),
        *(f"resnet{depth}" for depth in depths),
        *(f"autoencoder{depth}" for depth in depths),
    ]
    for name in zoo.names():
        network = random_network(f"{name},width=0.05")
        assert network.input_size == (32, 32) and network.default_layers and network.mean is not None
        assert not any(module.training for module in network.module.modules())


def test_what_is_given_overrides_what_is_known() -> None:
    network = zoo.load(
        "zoo:resnet20", mean=(0.0,) * 3, std=(1.0,) * 3, input_size=(16, 16), name="mine", allow_random=True
    )
    assert (network.mean, network.std) == ((0.0,) * 3, (1.0,) * 3)
    assert (network.input_size, network.name) == ((16, 16), "mine")


def test_random_weights_come_from_the_seed_and_leave_the_global_generator() -> None:
    before = torch.get_rng_state()
    weights = [zoo.load("zoo:resnet20", allow_random=True, seed=seed).module.state_dict() for seed in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(weights[0]["conv1.weight"], weights[1]["conv1.weight"])
    assert not torch.equal(weights[0]["conv1.weight"], weights[2]["conv1.weight"])


@pytest.mark.parametrize(
    "spec, message",
    [
        ("resnet20", "near it are 'zoo:resnet20'"),
        ("zoo:resnet21", "near it are 'zoo:resnet"),
        ("zoo:", "There is no network"),
        ("", "There is no network"),
        ("torchvision:resnet19", "torchvision has no model 'resnet19'"),
        ("timm:resnet19", "timm has no model 'resnet19'"),
        ("net.py", "names no function"),
        ("net.py:", "names no function"),
        ("absent.py:build", r"There is no file 'absent\.py'"),
    ],
)
def test_bad_specs(spec: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        zoo.load(spec)


@pytest.mark.parametrize("spec", ["zoo:resnet20", "torchvision:alexnet", "timm:resnet10t"])
def test_random_weights_are_refused(spec: str) -> None:
    with pytest.raises(InfodiscardError, match=r"says nothing.*--random-weights"):
        zoo.load(spec)


def test_demo_classifies_its_images() -> None:
    network, images = zoo.load("demo"), data.load("demo")
    assert network.source == "demo" and accuracy(network, images) == 1
    with pytest.raises(InfodiscardError, match="its own weights"):
        zoo.load("demo", "w.safetensors")


def test_demo_says_how_it_was_trained() -> None:
    with (
        as_file(files("infodiscard").joinpath("demo", "resnet20_cifar10.safetensors")) as path,
        safe_open(path, "pt") as file,
    ):
        metadata = file.metadata()
    assert float(metadata["test_accuracy"]) >= 0.88
    assert all(cycle["data"] == "cifar10" for cycle in json.loads(metadata["recipe"]))


@pytest.mark.parametrize(
    ("spec", "near"),
    [
        ("torchvison:resnet18", "'torchvision:resnet18'"),
        ("tim:vit", "'timm:vit'"),
        ("zo:resnet20", "'zoo:resnet20'"),
        ("hff:my/model", "'hf:my/model'"),
        ("resnet20", "'zoo:resnet20'"),
    ],
)
def test_a_typing_error_in_the_kind_of_a_network_names_the_nearest(spec, near):
    with pytest.raises(InfodiscardError, match=f"There is no network '{spec}'; near it are {near}"):
        zoo.load(spec, allow_random=True)


@pytest.mark.parametrize("options", [{"weights": "x" * 3000 + ".pth"}, {"spec": "x" * 3000 + ".py:build"}])
def test_a_path_that_is_too_long_gets_a_sentence(options):
    with pytest.raises(InfodiscardError, match="File name too long"):
        zoo.load(**{"spec": "zoo:resnet20"} | options)
