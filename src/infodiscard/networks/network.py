"""Networks: a module with its input space, its hash and its device."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from ..errors import InfodiscardError


@dataclass(frozen=True)
class Network:
    """A module and the input space it was trained in.

    Attributes:
        module: the network, taking a `batch × channels × height × width` tensor in its normalised input space.
        name: what tables and plots call it.
        mean: per-channel mean that was subtracted from images in [0, 1]; `None` if unknown.
        std: per-channel standard deviation that they were then divided by; `None` if unknown.
        input_size: (height, width) it expects; `None` if any size will do.
        default_layers: layer patterns to measure when the user names none.
        source: where it came from, for the record (`zoo:resnet20`, `torchvision:resnet18`, …).
    """

    module: nn.Module
    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    input_size: tuple[int, int] | None = None
    default_layers: tuple[str, ...] = field(default=())
    source: str = ""

    def check_size(self, size: Sequence[int], name: str | None = None) -> None:
        """Raises InfodiscardError if the network does not take images of `size` (height, width)."""
        wanted = self.input_size
        if wanted is not None and tuple(wanted) != tuple(size):
            raise InfodiscardError(
                f"'{name or self.name}' takes inputs of {wanted[0]}×{wanted[1]} pixels, but the images have "
                f"{size[0]}×{size[1]}; resize the images, or load the data with that size."
            )

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Normalises images in [0, 1] (`batch × channels × height × width`) to the network's input space.

        Raises:
            InfodiscardError: the network's normalisation is unknown, or has another number of channels.
        """
        if self.mean is None or self.std is None:
            raise InfodiscardError(
                f"The normalisation of network '{self.name}' is not known; give it as mean and std (one number per "
                "channel, for images in [0, 1]), or as mean 0 and std 1 if it takes images as they are."
            )
        if len(self.mean) != images.shape[1] or len(self.std) != images.shape[1]:
            raise InfodiscardError(
                f"The images have {images.shape[1]} channels but the normalisation of '{self.name}' has "
                f"{len(self.mean)} means and {len(self.std)} standard deviations; give one of each per channel."
            )
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean, dtype=images.dtype, device=images.device).view(shape)
        std = torch.tensor(self.std, dtype=images.dtype, device=images.device).view(shape)
        return (images - mean) / std


def weights_hash(module: nn.Module, without: Collection[str] = ()) -> str:
    """SHA-256 of a network's parameters and buffers, but for those in `without`: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, torch.Tensor) or name in without:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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
        if wanted.type == home.type and wanted.index in (None, home.index):
            return module, home
        return copy.deepcopy(module).to(wanted), wanted
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InfodiscardError(f"Device '{device}' cannot be used ({reason}); 'cpu' always can.") from error
