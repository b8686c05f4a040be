"""Networks: a module with its input space, its hash and its device."""

from __future__ import annotations

import copy
import hashlib
import math
import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import InfodiscardError, first_line, number, out_of_memory, pixels, quoted, unboxed

ROUNDING = 1e-3
"""How far beyond [0, 1] images may be: a resize in floats may leave them there."""

MEAN_LIMIT, STD_LIMIT = 1.0, 5.0
"""Largest mean and std that can be meant for images in [0, 1]."""


@dataclass(frozen=True)
class Network:
    """A module and the input space it was trained in.

    Attributes:
        module: the network, taking a `batch × channels × height × width` tensor in its normalised input space.
        name: what tables and plots call it.
        mean: per-channel mean that was subtracted from images in [0, 1], or one number for all channels; `None` if
            unknown.
        std: per-channel standard deviation that they were then divided by, or one for all; `None` if unknown.
        input_size: (height, width) it expects, or one number for both; `None` if any size will do.
        default_layers: layer patterns to measure when the user names none.
        source: where it came from, for the record (`zoo:resnet20`, `torchvision:resnet18`, …).
        weights: where its weights did, for the record: the name of a file, without its folder, or of a library's
            weights; "random" of ones that nobody trained; "" if unknown.
    """

    module: nn.Module
    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_size: tuple[int, int] | None = None
    default_layers: tuple[str, ...] = field(default=())
    source: str = ""
    weights: str = ""

    def __post_init__(self) -> None:
        """Makes tuples of scalars, arrays and lists; what they hold is checked when the network is used."""
        side = unboxed(self.input_size)
        converted = {
            "mean": _each(self.mean),
            "std": _each(self.std),
            "input_size": (side, side) if isinstance(side, int) else _each(side),
            "default_layers": _each(self.default_layers) or (),
        }
        for name, value in converted.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """Describes the network in one line."""
        size = "any size" if self.input_size is None else "×".join(map(str, self.input_size))
        parts = [type(self.module).__name__, *([f"images of {size}"] if self.mean is not None else [])]
        parts += [text for text in (self.source, self.weights and f"weights {self.weights}") if text]
        return f"<Network {self.name}: {', '.join(parts)}>"

    def check(self) -> None:
        """Raises InfodiscardError if something that was given is none of what is allowed."""
        if not isinstance(self.module, nn.Module):
            raise InfodiscardError(f"module was {quoted(self.module)}; it must be a torch.nn.Module.")
        if not isinstance(self.name, str):
            raise InfodiscardError(f"name was {quoted(self.name)}; it must be a text.")
        for what, values, sort, least in (("mean", self.mean, "", -math.inf), ("std", self.std, "positive ", 0.0)):
            name, wanted = f"{what} of '{self.name}'", f"one {sort}number per channel, or one for all"
            if values == ():
                raise InfodiscardError(f"{name} was empty; it must be {wanted}.")
            for value in values or ():
                number(name, value, wanted, partial(operator.lt, least))
        pixels(f"input_size of '{self.name}'", self.input_size)

    def check_size(self, size: Sequence[int], name: str | None = None) -> None:
        """Raises InfodiscardError if the network does not take images of `size` (height, width)."""
        wanted = self.input_size
        if wanted is not None and tuple(wanted) != tuple(size):
            raise InfodiscardError(
                f"'{name or self.name}' takes inputs of {wanted[0]}×{wanted[1]} pixels, but the images have "
                f"{size[0]}×{size[1]}; resize the images, or load the data with that size."
            )

    def check_range(self, span: tuple[float, float] | None, name: str | None = None) -> None:
        """Checks that the network normalises images that it is meant to normalise.

        Args:
            span: least and greatest value of the images; `None` for inputs of another kind.
            name: of the network, if not its own.

        Raises:
            InfodiscardError: it has only one of `mean` and `std`; or these are not for images in [0, 1], or the images
                are not in [0, 1].
        """
        name = name or self.name
        if (self.mean is None) != (self.std is None):
            have, lack = ("std", "mean") if self.mean is None else ("mean", "std")
            raise InfodiscardError(
                f"'{name}' has a {have} but no {lack}; give both, or neither if it takes its inputs as they are."
            )
        if self.mean is None or self.std is None or span is None:
            return
        if max(map(abs, self.mean)) > MEAN_LIMIT or max(self.std) > STD_LIMIT:
            raise InfodiscardError(
                f"The mean {_listed(self.mean)} and std {_listed(self.std)} of '{name}' are not for images in [0, 1], "
                "but in a range such as 0 … 255; divide mean, std and images by the value that is white."
            )
        low, high = span
        if low < -ROUNDING or high > 1 + ROUNDING:
            fault = "they seem to be normalised already: leave that out" if low < 0 else "divide them by 255"
            fault = fault if low < 0 or high > 2 else "scale them to that range"
            raise InfodiscardError(
                f"'{name}' normalises its images, which must be in [0, 1], but these go from {low:g} to {high:g}; "
                f"{fault}, or give the module itself, which takes its inputs as they are."
            )

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Normalises images in [0, 1] (`batch × channels × height × width`) to the network's input space.

        Raises:
            InfodiscardError: the network's normalisation is unknown, or has another number of channels.
        """
        self.check()
        if self.mean is None or self.std is None:
            raise InfodiscardError(
                f"The normalisation of network '{self.name}' is not known; give it as mean and std (one number per "
                "channel, for images in [0, 1]), or as mean 0 and std 1 if it takes images as they are."
            )
        if not {len(self.mean), len(self.std)} <= {1, images.shape[1]}:
            raise InfodiscardError(
                f"The images have {images.shape[1]} channels but the normalisation of '{self.name}' has "
                f"{len(self.mean)} means and {len(self.std)} standard deviations; give one of each per channel, or one "
                "for all."
            )
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean, dtype=images.dtype, device=images.device).view(shape)
        std = torch.tensor(self.std, dtype=images.dtype, device=images.device).view(shape)
        return (images - mean) / std

    def space(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation of each of the images' channels; `None` if one is not known."""
        if self.mean is None or self.std is None:
            return None
        mean, std = (each * channels if len(each) == 1 else each for each in (self.mean, self.std))
        return mean, std

    def normalisation(self, channels: int) -> str:
        """The same as a text, for the record."""
        return " / ".join(" ".join(f"{value:.6g}" for value in each) for each in self.space(channels) or ()) or "none"


def _each(values: Any) -> tuple[Any, ...] | None:
    """Returns a scalar, or what an array or a list holds, as a tuple; `None` where nothing is given."""
    values = values.tolist() if isinstance(values, torch.Tensor | np.ndarray | np.generic) else values
    if values is None:
        return None
    return tuple(map(unboxed, values)) if isinstance(values, Iterable) and not isinstance(values, str) else (values,)


def _listed(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"


def weights_hash(module: nn.Module, without: Collection[str] = ()) -> str:
    """SHA-256 of a network's parameters and buffers, but for those in `without`: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, torch.Tensor) or name in without:
            continue
        digest.update(f"{name} {tensor.dtype} {'' if tensor.is_nested else tuple(tensor.shape)}".encode())
        for part in _dense_parts(tensor.detach()):
            digest.update(part.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _dense_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Returns the plain tensors that hold the values of any tensor."""
    if tensor.is_nested:
        return [part for each in tensor.unbind() for part in _dense_parts(each)]
    if hasattr(tensor, "__tensor_flatten__"):  # a subclass that wraps others, such as a quantised tensor of torchao
        inner = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        return [part for each in inner if isinstance(each, torch.Tensor) for part in _dense_parts(each)]
    if tensor.is_quantized:
        return [tensor.int_repr(), tensor.dequantize()]
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce()
        return [tensor.indices(), tensor.values()]
    if tensor.layout is not torch.strided:  # compressed rows, columns or blocks; or oneDNN's own
        return _dense_parts(tensor.to_dense() if tensor.is_mkldnn else tensor.to_sparse_coo())
    return [tensor.resolve_conj().resolve_neg()]


def _copied(module: nn.Module, device: torch.device) -> nn.Module:
    """Returns a copy of a module on another device, whose weights are never in memory twice where they are now."""
    memo: dict[int, Any] = {}
    for each in [*module.parameters(), *module.buffers()]:
        if type(each) in (torch.Tensor, nn.Parameter) and each.layout is torch.strided:
            there = each.detach().to(device)
            own = nn.Parameter(there, each.requires_grad) if isinstance(each, nn.Parameter) else there
            memo[id(each)] = own
    return copy.deepcopy(module, memo).to(device)


def placed(module: nn.Module, device: str | torch.device | None) -> tuple[nn.Module, torch.device]:
    """Returns the module on the device where it runs, and that device; the user's own is never moved, a copy is.

    Args:
        device: where to; `None` leaves it where it is.

    Raises:
        InfodiscardError: the device cannot be used.
    """
    tensor = next((t for t in [*module.parameters(), *module.buffers()]), None)
    home = tensor.device if tensor is not None else torch.device("cpu")
    try:
        wanted = home if device is None else torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise InfodiscardError(
            f"Device {quoted(device)} cannot be used ({first_line(error)}); 'cpu' always can."
        ) from error
    if wanted.type == home.type and (wanted.index in (None, home.index) or home.type == "cpu"):
        return module, home
    try:
        return _copied(module, wanted), wanted
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InfodiscardError(
            f"The network cannot be copied to the device '{wanted}' ({type(error).__name__}: {first_line(error)}); "
            "move it there yourself, as in model.to(device), and name no device."
        ) from error
