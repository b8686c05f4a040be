"""Samples: pictures to be decoded, cropped and resized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ...errors import InfodiscardError

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels, from the top left corner."""


@dataclass(frozen=True)
class Sample:
    """A picture that has not been decoded yet.

    Attributes:
        name: its id.
        read: returns the image, float32 `C × H × W` in [0, 1], and the object's mask, bool `H × W`, or `None`.
        label: index of its class, or `None`.
    """

    name: str
    read: Callable[[], tuple[torch.Tensor, torch.Tensor | None]]
    label: int | None = None


def decode(source: bytes | Path, name: str, mode: str = "RGB") -> torch.Tensor:
    """Returns the picture in a file or in a file's bytes, float32 `C × H × W` in [0, 1].

    Every picture is converted to `mode` (three channels for RGB), since real sets have a few grey ones among the rest.

    Raises:
        InfodiscardError: it cannot be decoded.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as picture:
            pixels = np.array(picture.convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InfodiscardError(
            f"The picture '{name}' cannot be read ({_brief(error)}); give a whole JPEG, PNG or WebP file."
        ) from error
    return to_float(torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1))


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """Converts uint8 in 0 … 255 (`C × H × W`) to float32 in [0, 1], contiguous."""
    return pixels.contiguous().to(torch.float32).div_(255)


def box_mask(box: Box, height: int, width: int) -> torch.Tensor:
    """Returns a bool mask, `height × width`, of the pixels whose centres are in the box."""
    x, y, w, h = box
    rows = torch.arange(height) + 0.5
    columns = torch.arange(width) + 0.5
    return ((rows >= y) & (rows < y + h))[:, None] & ((columns >= x) & (columns < x + w))[None, :]


def crop_window(box: Box, factor: float, height: int, width: int) -> tuple[slice, slice]:
    """Returns rows and columns of `factor` times the box about its centre, within the picture."""
    x, y, w, h = box
    rows = _span(y + h / 2, h * factor, height)
    columns = _span(x + w / 2, w * factor, width)
    return rows, columns


def _span(centre: float, length: float, limit: int) -> slice:
    """Returns the whole pixels of an interval within 0 … limit, at least one."""
    start = min(max(round(max(centre - length / 2, 0.0)), 0), limit - 1)
    stop = max(round(min(centre + length / 2, limit)), start + 1)
    return slice(start, min(stop, limit))


def fit(
    image: torch.Tensor, mask: torch.Tensor | None, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Resizes until `size` is just covered and crops the centre, as the usual evaluation transforms do.

    Bilinear with antialiasing. A mask goes the same way; a pixel stays on the object where at least half of it was.

    Args:
        image: float, `C × H × W`.
        mask: bool, `H × W`, or `None`.
        size: (height, width) of the result.

    Returns:
        `C × height × width` and `height × width`.
    """
    resized = _resize_and_crop(image, size).clamp(0, 1)
    if mask is None:
        return resized, None
    return resized, _resize_and_crop(mask[None].to(torch.float32), size)[0] >= 0.5


def _resize_and_crop(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    height, width = image.shape[-2:]
    if (height, width) == size:
        return image
    tall = height * size[1] >= width * size[0]
    covering = (height * size[1] // width, size[1]) if tall else (size[0], width * size[0] // height)
    image = F.interpolate(image[None], size=covering, mode="bilinear", antialias=True)[0]
    top, left = (round((have - want) / 2) for have, want in zip(covering, size, strict=True))  # as torchvision rounds
    return image[:, top : top + size[0], left : left + size[1]]


def _brief(error: Exception) -> str:
    """Returns an error's text without the address of a buffer, which helps nobody."""
    return str(error).split(" <_io")[0] or type(error).__name__
