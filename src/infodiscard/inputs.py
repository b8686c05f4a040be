"""Whatever the user gives as data, taken once to one exact form."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .errors import InfodiscardError
from .network import Network

CAP_RANGES = 10.0
"""The default cap in units of the input space's dynamic range: it binds only where a layer does not look."""


@dataclass(frozen=True)
class Inputs:
    """The samples of a run.

    Attributes:
        images: `n × C × H × W`, float, finite.
        names: n unique ids.
        masks: `n × H × W` bool, true on the object, or `None`.
        labels, classes: the samples' classes, if known.
    """

    images: torch.Tensor
    names: tuple[str, ...]
    masks: torch.Tensor | None = None
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one input."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def hashes(self) -> dict[str, str]:
        """SHA-256 of what is measured."""
        arrays = {"images": self.images, "masks": self.masks}
        return {
            name: hashlib.sha256(array.contiguous().numpy().tobytes()).hexdigest()
            for name, array in arrays.items()
            if array is not None
        }

    def pictures(self) -> dict[str, np.ndarray | None]:
        """The images in [0, 1] and the masks, for plots; images of other than 1 or 3 channels are left out."""
        shown = self.shown(self.images.float()).numpy() if self.images.shape[1] in (1, 3) else None
        return {"images": shown, "masks": None if self.masks is None else self.masks.numpy()}

    def shown(self, images: torch.Tensor) -> torch.Tensor:
        """Takes images of this kind, such as reconstructions, to where `pictures` has these in [0, 1]."""
        low, high = self.images.min(), self.images.max()
        if low < 0 or high > 1:
            images = (images - low) / (high - low).clamp(min=1e-12)
        return images

    def cap(self, network: Network, cap: float | str) -> float:
        """The largest σ allowed, in units of the network's input space.

        Raises:
            InfodiscardError: `cap` is not `range`, `data` or a positive number.
        """
        if isinstance(cap, int | float) and math.isfinite(cap) and cap > 0:
            return float(cap)
        if cap not in ("range", "data"):
            raise InfodiscardError(f"cap was {cap!r}; it can be 'range', 'data' or a positive number.")
        if cap == "range" and network.std is not None:
            return CAP_RANGES / min(network.std)
        space = network.normalise(self.images) if network.mean is not None else self.images
        spread = float(space.std()) if cap == "data" else CAP_RANGES * float(space.max() - space.min())
        if not spread > 0:
            raise InfodiscardError("All inputs are one constant, so their range gives no cap for σ; give cap a number.")
        return spread


def coerce_inputs(data: Any, masks: Any = None) -> Inputs:
    """Takes an `ImageSet`, a tensor or a data set to `Inputs`.

    Raises:
        InfodiscardError: the images are not floats, not finite, not `n × C × H × W`, or the masks do not fit.
    """
    from .data import ImageSet

    if isinstance(data, ImageSet):
        labels = None if data.labels is None else tuple(data.labels.tolist())
        images, names, classes = data.images, data.names, data.classes
        masks = data.masks if masks is None else masks
    else:
        images, labels = _from_any(data)
        names, classes = tuple(map(str, range(len(images)))), ()
    images = _checked(images)
    return Inputs(images, names, _masks(masks, images), labels, classes)


def _from_any(data: Any) -> tuple[torch.Tensor, tuple[int, ...] | None]:
    """Returns the images, and the labels if there are any, of a tensor, an array, a list or a map-style data set."""
    if isinstance(data, torch.Tensor):
        return data, None
    if isinstance(data, np.ndarray):
        if data.dtype.kind not in "fiub" or data.dtype.itemsize > 8:
            raise InfodiscardError(f"The images are an array of {data.dtype}; give an array of floats.")
        # A copy in the machine's own byte order: torch takes no reversed or read-only arrays.
        return torch.from_numpy(np.array(data, dtype=data.dtype.newbyteorder("="), order="C")), None
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, str | dict):
        raise InfodiscardError(
            f"data was a {type(data).__name__}; give an ImageSet, a float tensor n × channels × height × width, or a "
            "data set with a length whose items are such images."
        )
    items = [data[i] for i in range(len(data))]
    labelled = bool(items) and all(isinstance(item, Sequence) and len(item) > 1 for item in items)
    images = [item[0] if isinstance(item, Sequence) else item for item in items]
    wrong = next((item for item in images if not isinstance(item, torch.Tensor)), None)
    if wrong is not None or not images:
        what = f"a {type(wrong).__name__}" if images else "nothing"
        raise InfodiscardError(f"The data set holds {what} where an image tensor is needed; add a ToTensor transform.")
    shapes = {tuple(item.shape) for item in images}
    if len(shapes) > 1:
        raise InfodiscardError(f"The images have different shapes, such as {sorted(shapes)[:2]}; resize them to one.")
    whole = labelled and all(isinstance(item[1], int) or getattr(item[1], "ndim", 1) == 0 for item in items)
    return torch.stack(images), tuple(int(item[1]) for item in items) if whole else None


def _checked(images: torch.Tensor) -> torch.Tensor:
    """Returns the images on the CPU, or raises InfodiscardError."""
    if images.ndim != 4 or 0 in images.shape:
        raise InfodiscardError(
            f"The images have shape {tuple(images.shape)}; give at least one, as n × channels × height × width."
        )
    if not images.is_floating_point():
        raise InfodiscardError(
            f"The images are integers ({str(images.dtype).removeprefix('torch.')}); give floats in the network's input "
            "space, such as images / 255 normalised as in its training."
        )
    images = images.detach().cpu()
    images = images if images.dtype == torch.float64 else images.float()
    finite = images.isfinite().flatten(1).all(1)
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        raise InfodiscardError(f"Image {bad} holds NaN or infinite values; mend it or leave it out.")
    return images


def _masks(masks: Any, images: torch.Tensor) -> torch.Tensor | None:
    """Returns masks `n × H × W`, from masks or boxes (x, y, width, height)."""
    if masks is None:
        return None
    n, _, height, width = images.shape
    try:
        masks = torch.as_tensor(np.array(masks) if isinstance(masks, np.ndarray) else masks).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InfodiscardError(
            f"The masks are a {type(masks).__name__} that holds no array of numbers; give masks of shape "
            f"{(n, height, width)} or boxes of shape {(n, 4)} as x, y, width, height."
        ) from error
    if tuple(masks.shape) == (n, height, width):
        return masks.bool()
    if tuple(masks.shape) != (n, 4):
        raise InfodiscardError(
            f"The masks have shape {tuple(masks.shape)}; for these images give masks of shape {(n, height, width)} or "
            f"boxes of shape {(n, 4)} as x, y, width, height."
        )
    x, y, w, h = (column[:, None, None] for column in masks.float().round().T)
    rows, columns = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    return (rows >= y) & (rows < y + h) & (columns >= x) & (columns < x + w)
