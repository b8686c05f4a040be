"""From a spec to a `Network`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

import torch

from ..errors import InfodiscardError, nearest
from ..network import Network
from .layers import default_layers
from .resnet import DEPTHS, resnet
from .weights import SUFFIXES, load_weights

SPECS = ("demo", "zoo:NAME", "torchvision:NAME", "timm:NAME", "FILE.py:FUNCTION")
DEMO = "resnet20", "resnet20_cifar10.safetensors"

# He et al.'s CIFAR networks are mostly passed around as trained with ImageNet's statistics.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def names() -> list[str]:
    """Returns the names of the networks in the zoo, for `zoo:NAME`."""
    return [f"resnet{depth}" for depth in DEPTHS]


def load(
    spec: str,
    weights: str | Path | None = None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    input_size: tuple[int, int] | None = None,
    name: str | None = None,
    allow_random: bool = False,
    seed: int = 0,
) -> Network:
    """Returns the network that `spec` names, in eval mode.

    Args:
        spec: `demo` (a ResNet-20 trained on CIFAR-10, carried in the package); `zoo:NAME`; `torchvision:NAME`;
            `timm:NAME`; or `FILE.py:FUNCTION`, which runs the file and calls the function without arguments for a
            module, with its weights in it or to be given here, or for a `Network`.
        weights: a `.safetensors`, `.pt` or `.pth` file with the state dict; for torchvision also `DEFAULT` or another
            name of its weights, and for timm `pretrained`, which these libraries download.
        mean: per-channel mean of images in [0, 1]; `None` for the network's own, where it is known.
        std: per-channel standard deviation likewise.
        input_size: (height, width) likewise.
        name: what tables call it; `None` for the last part of the spec.
        allow_random: whether random weights will do where none are given.
        seed: of random weights; the global generator is left as it was.

    Raises:
        InfodiscardError: the spec is unknown, a library or file is missing, the weights do not fit, or there are none.
    """
    with _own_rng(seed):
        network = _open(spec, weights)
    file = _weights_file(spec, weights)
    if file is not None:
        load_weights(network.module, file)
    elif weights is None and not allow_random and spec.startswith(("zoo:", "torchvision:", "timm:")):
        raise InfodiscardError(
            f"No weights were given for '{spec}', and what a network with random weights discards says nothing; give "
            f"--weights {_weights_hint(spec)}, or --random-weights if random ones are what you want."
        )
    network.module.eval()
    given = {"mean": mean, "std": std, "input_size": input_size, "name": name}
    return replace(network, **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]


@contextmanager
def _own_rng(seed: int) -> Iterator[None]:
    """Seeds torch's generator for the block and puts it back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _open(spec: str, weights: str | Path | None) -> Network:
    """Returns the network with random weights, or with those that its library or function brings."""
    from . import libraries

    download = None if weights is None or _is_file(weights) else str(weights)
    place, _, function = spec.rpartition(":")
    if place.endswith(".py") or spec.endswith(".py"):
        return libraries.from_file(place, function, spec)
    kind, _, what = spec.partition(":")
    if spec == "demo":
        return _demo(weights)
    if kind == "zoo" and what in names():
        return _zoo(what)
    if kind == "torchvision" and what:
        return libraries.from_torchvision(what, download)
    if kind == "timm" and what:
        return libraries.from_timm(what, download)
    known = ["demo", *(f"zoo:{each}" for each in names())]
    raise InfodiscardError(
        f"There is no network '{spec}'; near it are {nearest(spec, known)}, and allowed are {', '.join(SPECS)}."
    )


def _zoo(what: str) -> Network:
    module = resnet(int(what.removeprefix("resnet")))
    return Network(module, what, MEAN, STD, (32, 32), default_layers(module), f"zoo:{what}")


def _demo(weights: str | Path | None) -> Network:
    architecture, carried = DEMO
    if weights is not None:
        raise InfodiscardError(f"The network 'demo' carries its own weights; give others to 'zoo:{architecture}'.")
    network = _zoo(architecture)
    with as_file(files("infodiscard").joinpath("demo", carried)) as path:
        load_weights(network.module, path)
    return replace(network, source="demo")


def _is_file(weights: str | Path) -> bool:
    return Path(weights).suffix in SUFFIXES or Path(weights).exists()


def _weights_file(spec: str, weights: str | Path | None) -> Path | None:
    """Returns the file to load, or `None` if there are no weights or the library has fetched them by name."""
    if weights is None or (spec.startswith(("torchvision:", "timm:")) and not _is_file(weights)):
        return None
    return Path(weights)


def _weights_hint(spec: str) -> str:
    hints = {
        "torchvision": "DEFAULT (downloaded) or FILE.safetensors",
        "timm": "pretrained (downloaded) or FILE.safetensors",
    }
    return hints.get(spec.partition(":")[0], "FILE.safetensors")
