"""Loading of networks: from a spec to a `Network`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import as_file, files
from os import PathLike, fspath
from pathlib import Path

import torch
from torch import nn

from ..core.files import translate_os_errors
from ..core.origin import RANDOM
from ..errors import InfodiscardError, flag, nearest, quoted, whole
from ..networks.network import Network
from . import huggingface, libraries
from .autoencoder import AutoEncoder
from .cifar_resnet import DEPTHS, CifarResNet
from .default_layers import default_layers
from .spec import Spec
from .weights import SUFFIXES, load_weights, trained_spec

SPECS = ("demo", "zoo:NAME", "torchvision:NAME", "timm:NAME", "hf:DIR", "FILE.py:FUNCTION", "FILE.safetensors")
WEIGHTS = ",weights="
DEMO = "resnet20", "resnet20_cifar10.safetensors"

# He et al.'s CIFAR networks are mostly passed around as trained with ImageNet's statistics.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = 32, 32
SMALLEST = {"alexnet": 8, "vgg16": 32, "vgg19": 32}  # sides that the poolings leave a pixel of


def names() -> list[str]:
    """Returns the names of the networks in the zoo, for `zoo:NAME`."""
    resnets = [f"resnet{depth}" for depth in DEPTHS]
    autoencoders = [f"autoencoder{depth}" for depth in DEPTHS]
    return ["alexnet", "vgg16", "vgg19", "resnet18", "resnet34", *resnets, *autoencoders]


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
            `timm:NAME`; `hf:DIR`, a model that transformers' `save_pretrained` wrote, or its name on the Hugging Face
            hub, which is downloaded (`zoo.huggingface`); a `.safetensors` file that `infodiscard train` wrote, which
            names its network itself; or `FILE.py:FUNCTION`, which runs the file and calls the function without
            arguments for a module, with its weights in it or to be given here, or for a `Network`. Options may follow
            the names of zoo and torchvision after commas: `classes=200`, `size=64x64`, and in the zoo `width=0.25`
            (times the usual channels) and `damage=layer2.1` (see `zoo.cifar_resnet`). `weights=…`, last, is the
            argument of that name, as in `torchvision:resnet18,weights=DEFAULT`.
        weights: a `.safetensors`, `.pt` or `.pth` file with the state dict; for torchvision also `DEFAULT` or another
            name of its weights, and for timm `pretrained`, which these libraries download.
        mean: per-channel mean of images in [0, 1]; `None` for the network's own.
        std: per-channel standard deviation of them; `None` for the network's own.
        input_size: (height, width); `None` for the network's own.
        name: what tables call it; `None` for the last part of the spec.
        allow_random: whether to allow random weights where none are given.
        seed: of random weights; the global generator is not touched.

    Raises:
        InfodiscardError: the spec is unknown, a library or file is missing, the weights do not fit, or there are none.
    """
    for what, given in (("spec", spec), ("weights", "" if weights is None else weights)):
        if not isinstance(given, str | PathLike):
            raise InfodiscardError(f"{what} was {quoted(given)}; it must be a text or a path, such as {SPECS[1]!r}.")
    allow_random = flag("allow_random", allow_random)
    spec, weights = _with_weights(fspath(spec), weights)
    seed = whole("seed", seed, "a whole number of at most 64 bits", -(2**63)) % 2**64
    if spec.endswith(".safetensors") and not spec.startswith("hf:"):
        spec, weights, name = _trained(spec, weights, name)
    with translate_os_errors("load the network", spec):
        with _own_rng(seed):
            network = _open(spec, weights, allow_random)
        file = _weights_file(spec, weights)
        if file is not None:
            load_weights(network.module, file)
    unknown = weights is None and spec.startswith(("zoo:", "torchvision:", "timm:"))
    if unknown and file is None and not allow_random:
        raise InfodiscardError(
            f"No weights were given for '{spec}', and what a network with random weights discards says nothing; give "
            f"--weights {_weights_hint(spec)} (or '{spec},weights=…'), or --random-weights (allow_random=True of "
            "infodiscard.zoo.load) if random ones are what you want."
        )
    network.module.eval()
    origin = RANDOM if unknown else file.name if file is not None else str(weights or "")
    network = replace(network, weights=origin)
    overrides = {"mean": mean, "std": std, "input_size": input_size, "name": name}
    network = replace(network, **{key: value for key, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    network.check()
    return network


def _with_weights(spec: str, weights: str | Path | None) -> tuple[str, str | Path | None]:
    """Returns a spec without the weights that stand at its end, and these, if they do.

    Raises:
        InfodiscardError: weights are given twice, or none behind the sign.
    """
    name, sign, given = spec.partition(WEIGHTS)
    if not sign or Path(spec).exists():
        return spec, weights
    if weights is not None or not given:
        raise InfodiscardError(
            f"'{spec}' names {'weights, which were given apart, too' if given else 'no weights'}; write one file or "
            f"name of weights, as in '{name}{WEIGHTS}FILE.safetensors'."
        )
    return name, given


@contextmanager
def _own_rng(seed: int) -> Iterator[None]:
    """Seeds torch's global generator for the block, and restores it afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _open(spec: str, weights: str | Path | None, allow_random: bool) -> Network:
    """Returns the network with random weights, or with those of its library or function."""
    if spec.startswith(huggingface.KIND):
        if weights is not None:
            raise InfodiscardError(f"'{spec}' brings its own weights; leave --weights out for it ('-').")
        return huggingface.load_model(spec.removeprefix(huggingface.KIND), allow_random)

    download = None if weights is None or _is_file(weights) else str(weights)
    place, _, function = spec.rpartition(":")
    if place.endswith(".py") or spec.endswith(".py"):
        return libraries.from_file(place, function, spec)
    parsed = Spec.parse(spec)
    if spec == "demo":
        return _demo(weights)
    if parsed.kind == "zoo" and parsed.name in names():
        return _zoo(parsed, spec)
    if parsed.kind == "torchvision" and parsed.name:
        return libraries.from_torchvision(parsed, download, spec)
    if parsed.kind == "timm" and parsed.name:
        return libraries.from_timm(parsed.name, download)
    kinds = ("zoo", "torchvision", "timm", "hf") if parsed.name else ()
    known = ["demo", *(f"zoo:{each}" for each in names()), *(f"{kind}:{parsed.name}" for kind in kinds)]
    raise InfodiscardError(
        f"There is no network '{spec}'; near it are {nearest(spec, known)}, and allowed are {', '.join(SPECS)}."
    )


def _trained(path: str, weights: str | Path | None, name: str | None) -> tuple[str, str, str]:
    """Returns the spec, the weights' path and the name of the network in a file of trained weights."""
    if weights is not None:
        raise InfodiscardError(f"'{path}' holds weights itself; leave --weights out for it ('-').")
    return trained_spec(Path(path)), path, name or Path(path).stem


def _zoo(spec: Spec, text: str) -> Network:
    module = _module(spec)
    name = text.removeprefix("zoo:")
    return Network(module, name, MEAN, STD, spec.size() or SIZE, default_layers(module), text)


def _module(spec: Spec) -> nn.Module:
    """Returns a network of the zoo with random weights."""
    _check(spec)
    width, classes = spec.number("width", 1.0), spec.count("classes", 10)
    name, depth = spec.name, int("".join(character for character in spec.name if character.isdigit()) or 0)
    if name.startswith("autoencoder"):
        return AutoEncoder(depth, spec.size() or SIZE, width)
    if depth in DEPTHS:
        return CifarResNet(depth, classes, width, spec.options.get("damage"))
    from . import cifar_nets  # torchvision, which takes seconds

    return cifar_nets.build(name, classes, width)


def _check(spec: Spec) -> None:
    """Raises InfodiscardError if the network has no such option, or its poolings leave nothing of images that small."""
    name, size = spec.name, spec.size() or SIZE
    damageable = [f"resnet{depth}" for depth in DEPTHS]
    if "damage" in spec.options and name not in damageable:
        raise InfodiscardError(f"'{name}' cannot be damaged; that is for {', '.join(damageable)}.")
    if "classes" in spec.options and name.startswith("autoencoder"):
        raise InfodiscardError(f"'{name}' restores images and knows no classes; leave classes out.")
    if name in damageable or name.startswith("autoencoder"):
        return
    least = SMALLEST.get(name, 1)
    if min(size) < least:
        raise InfodiscardError(
            f"'{name}' leaves nothing of images of {size[0]}×{size[1]} pixels; give a size of {least} or more."
        )


def _demo(weights: str | Path | None) -> Network:
    architecture, carried = DEMO
    if weights is not None:
        raise InfodiscardError(f"The network 'demo' carries its own weights; give others to 'zoo:{architecture}'.")
    network = _zoo(Spec("zoo", architecture), f"zoo:{architecture}")
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
