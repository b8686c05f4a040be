"""Networks from torchvision, timm and the user's own file. The libraries are imported only when used."""

from __future__ import annotations

import warnings
from dataclasses import replace
from inspect import signature
from typing import Any

from torch import nn

from ..errors import InfodiscardError, nearest
from ..networks.network import Network
from .default_layers import default_layers
from .script import call_function
from .spec import Spec


def from_torchvision(spec: Spec, download: str | None, source: str) -> Network:
    """Returns `torchvision.models.<name>`, with random weights or those that it downloads.

    Normalisation and size are those of the weights, or of the default weights, where these have them. If `classes` is
    given, the last linear layer is a new one with that many logits.

    Args:
        spec: the model's name and options.
        download: `DEFAULT`, the name of one of its weights, or `None`.
        source: the spec, for the record.

    Raises:
        InfodiscardError: it has no such model or weights, or cannot download them.
    """
    from torchvision import models

    what = spec.name
    if what not in models.list_models():
        raise InfodiscardError(f"torchvision has no model '{what}'; near it are {nearest(what, models.list_models())}.")
    known = models.get_model_weights(what)
    if download is not None and download not in known.__members__:  # the aliases, DEFAULT among them, are members too
        raise InfodiscardError(
            f"'{download}' is neither a weights file nor weights of torchvision's '{what}'; give a .safetensors, .pt "
            f"or .pth file, or one of {', '.join(known.__members__)}."
        )
    chosen = None if download is None else known[download]
    # By default, segmentation and detection models download their backbone's weights.
    backbone = "weights_backbone" in signature(models.get_model_builder(what)).parameters and chosen is None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The default weight initialization", category=FutureWarning)
            module = models.get_model(what, weights=chosen, **({"weights_backbone": None} if backbone else {}))
    except OSError as error:
        raise _no_download(f"torchvision's '{what}'", error) from error
    if "classes" in spec.options:
        _new_head(module, spec.count("classes", 10), what)
    preset: Any = (chosen or known["DEFAULT"]).transforms() if len(known) else None
    size = getattr(preset, "crop_size", None)
    return Network(
        module,
        name=source.removeprefix("torchvision:"),
        mean=_numbers(getattr(preset, "mean", None)),
        std=_numbers(getattr(preset, "std", None)),
        input_size=spec.size() or ((size[0], size[-1]) if size else None),
        default_layers=default_layers(module),
        source=source,
    )


def _new_head(module: nn.Module, classes: int, what: str) -> None:
    """Replaces the last linear layer, which gives the logits."""
    linears = [name for name, child in module.named_modules() if isinstance(child, nn.Linear)]
    if not linears:
        raise InfodiscardError(f"torchvision's '{what}' has no linear layer to replace; leave classes out.")
    place, _, attribute = linears[-1].rpartition(".")
    old: Any = module.get_submodule(linears[-1])
    setattr(module.get_submodule(place), attribute, nn.Linear(old.in_features, classes, old.bias is not None))


def from_timm(what: str, download: str | None) -> Network:
    """Returns `timm.create_model(what)`, with random weights or those that it downloads.

    Args:
        what: the model's name, perhaps with a dot and a tag of its weights.
        download: `pretrained` or `None`.

    Raises:
        InfodiscardError: timm is missing, has no such model or cannot download its weights.
    """
    try:
        import timm
    except ImportError as error:
        raise InfodiscardError("Networks of timm need it; install it with pip install 'infodiscard[timm]'.") from error
    if not timm.is_model(what):
        raise InfodiscardError(f"timm has no model '{what}'; near it are {nearest(what, timm.list_models())}.")
    if download not in (None, "pretrained"):
        raise InfodiscardError(
            f"'{download}' is neither a weights file nor 'pretrained'; give one of the two for timm's '{what}'."
        )
    try:
        module = timm.create_model(what, pretrained=download is not None)
    except (OSError, RuntimeError) as error:
        raise _no_download(f"timm's '{what}'", error) from error
    about = getattr(module, "pretrained_cfg", None) or {}
    size = about.get("input_size")
    return Network(
        module,
        name=what,
        mean=_numbers(about.get("mean")),
        std=_numbers(about.get("std")),
        input_size=tuple(size[-2:]) if size else None,
        default_layers=default_layers(module),
        source=f"timm:{what}",
    )


def from_file(place: str, function: str, spec: str) -> Network:
    """Returns what a function of the user's file returns: a `Network`, or a module to make one of.

    Args:
        place: path of the Python file.
        function: its name in it.
        spec: the whole spec, for the record.

    Raises:
        InfodiscardError: the file or function is missing, fails, or returns something else.
    """
    if not place.endswith(".py") or not function:
        raise InfodiscardError(
            f"'{spec}' names no function; write it after the file and a colon, as in 'net.py:build'."
        )
    built = call_function(place, function, spec)
    if isinstance(built, Network):
        return replace(built, source=spec)  # what it was made of may have been changed since
    if not isinstance(built, nn.Module):
        raise InfodiscardError(
            f"'{spec}' returned {type(built).__name__}; let it return a torch.nn.Module or a Network."
        )
    return Network(built, name=function, default_layers=default_layers(built), source=spec)


def _numbers(values: Any) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)


def _no_download(what: str, error: Exception) -> InfodiscardError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InfodiscardError(
        f"The weights of {what} cannot be downloaded ({reason}); connect to the network, or give a file."
    )
