"""Whatever is given for an argument of the public functions is taken, or refused in one sentence."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import infodiscard
from infodiscard import InfodiscardError, Network, data, zoo
from small_network import images, tiny

JUNK = [
    *(True, "8", 2.5, -1, 0, 10**30, float("nan"), float("inf"), None, b"x", object()),
    *([], (), {}, {"nte": 1}, np.array([1, 2]), torch.ones(2), np.float32(2), np.str_("sid"), nn.ReLU()),
]
USUAL = {"data": images(2), "layers": ["0"], "max_passes": 96, "progress": False}


def refused_or_taken(call, usual, name, junk=tuple(JUNK)):
    """Calls a function with each kind of junk for one argument; anything but a result or a sentence is an error."""
    for value in junk:
        try:
            call(**usual | {name: value})
        except InfodiscardError as error:
            assert "\n" not in str(error), (name, value)
        except BaseException as error:
            pytest.fail(f"{name}={value!r}: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    "name", [each for each in inspect.signature(infodiscard.measure).parameters if each != "networks"]
)
def test_measure(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    junk = [each for each in JUNK if name != "callback" or not callable(each)]  # what a function does is its own affair
    refused_or_taken(infodiscard.measure, {"networks": tiny()} | USUAL, name, junk)


@pytest.mark.parametrize("name", ["module", "name", "mean", "std", "input_size", "default_layers"])
def test_network(name):
    def measured(**given):
        infodiscard.measure(Network(**given), **USUAL)

    refused_or_taken(measured, {"module": tiny(), "name": "n", "mean": 0, "std": 1}, name)


def test_what_measures_and_compares():
    run = infodiscard.measure(tiny(), **USUAL)
    for name in ("base", "candidate", "max_increase", "metric", "by", "confidence", "data"):
        refused_or_taken(infodiscard.check, {"base": run, "candidate": run}, name)
    for name in ("runs", "metric", "reference", "by", "data"):
        refused_or_taken(infodiscard.compare, {"runs": {"a": run, "b": run}}, name)


@pytest.mark.parametrize("name", ["seconds", "workers", "cores", "efficiency"])
def test_forecast(name):
    usual = {"networks": tiny(), "seconds": 0.01} | {key: USUAL[key] for key in ("data", "layers", "max_passes")}
    small = [value for value in JUNK if not (isinstance(value, int) and value > 100)]  # seconds are spent
    refused_or_taken(infodiscard.forecast, usual, name, small)


def test_loading():
    for name in ("spec", "samples", "split", "crop", "keep_unreadable"):
        refused_or_taken(data.load, {"spec": "demo", "samples": 1}, name)
    refused_or_taken(
        data.load,
        {"spec": "demo", "samples": 1},
        "size",
        [each for each in JUNK if not (isinstance(each, int) and each > 100)],
    )
    for name in ("spec", "weights", "mean", "std", "input_size", "name", "allow_random", "seed"):
        refused_or_taken(zoo.load, {"spec": "zoo:resnet20", "allow_random": True}, name)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"layers": {"nte": ["0"]}}, "layers names 'nte', which is none of the networks; near it are 'net'"),
        ({"cap": {"nte": 1.0}}, "cap names 'nte', which is none of the networks; near it are 'net'"),
        ({"noise_on": True}, "noise_on was True; give the name or the place"),
        ({"out": 5}, "The run's place was 5; give a directory"),
    ],
)
def test_typing_errors_are_named(given, says):
    with pytest.raises(InfodiscardError, match=says):
        infodiscard.measure({"net": tiny()}, **USUAL | given)


def test_modules_are_taken_as_layers():
    network, usual = tiny(), {key: value for key, value in USUAL.items() if key != "layers"}
    for layers, expected in (([network[0], network[2]], ("0", "2")), (network[1], ("1",)), ([network], ("output",))):
        assert infodiscard.measure({"net": network}, layers=layers, **usual).plan.layers["net"] == expected
    by_name = {"net": [network[0]]}
    assert infodiscard.measure({"net": network}, layers=by_name, **usual).plan.layers["net"] == ("0",)
