"""Samples: pictures to be decoded, cropped and resized."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from ...errors import InfodiscardError
from ..masks import Box

if TYPE_CHECKING:
    from PIL import Image

DIM = 0.25
"""Share of its 16 bits that a picture must use: one that uses fewer may hold 10, 12 or 14 bits, whose white is less."""


class PictureError(InfodiscardError):
    """A picture that cannot be used; others of its set can."""


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

    Every picture is converted to `mode` (three channels for RGB), since real sets have a few grey ones among the rest;
    transparency is dropped. It is turned upright, as its EXIF data say.

    Raises:
        PictureError: it cannot be decoded, or its white is not known.
    """
    pixels, white, deep = upright_pixels(source, name, mode)
    low, high = float(pixels.min()), float(pixels.max())
    if not 0 <= low <= high <= white or ((deep or white == 65535) and 0 < high < DIM * white):
        what = f"uses less than {DIM:.0%} of its 16 bits" if 0 <= low <= high <= white else "does not lie in [0, 1]"
        raise PictureError(
            f"The picture '{name}' {what} (its values go from {low:g} to {high:g}), so which value is white is not "
            "known; convert it to 8 bits per channel."
        )
    channels = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)
    return to_float(channels.expand(len(mode), -1, -1), white)


def upright_pixels(source: bytes | Path, name: str, mode: str = "RGB") -> tuple[np.ndarray, float, bool]:
    """Returns a picture's pixels, `H × W` or `H × W × C`, the value that is white, and whether it has 16 bits.

    Pillow would clip whatever has more than 8 bits to 255, except colours, of which it keeps the upper 8 bits.

    Raises:
        PictureError: it cannot be decoded.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as picture:
            raw = _raw_mode(picture)
            upright = _upright(picture)
            if upright.mode.startswith("I;16") or (upright.mode == "I" and raw == "I;16B"):
                return np.array(upright).astype(np.int32), 65535, ";16" in raw
            if upright.mode in ("I", "F"):  # 32 bits, or floats: not known to be in [0, 1], which the caller checks
                return np.array(upright), 1, False
            return np.array(upright.convert(mode)), 255, ";16" in raw
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(
            f"The picture '{name}' cannot be read ({_brief(error)}); give a whole JPEG, PNG or WebP file."
        ) from error


def _raw_mode(picture: Image.Image) -> str:
    """Returns how the file holds the pixels, such as `RGB;16B`, which Pillow forgets when it decodes them."""
    tiles = getattr(picture, "tile", None)
    return str(tiles[0][3]) if tiles else ""


def _upright(picture: Image.Image) -> Image.Image:
    """Returns a picture as viewers show it; as it is stored, where its EXIF data are broken."""
    from PIL import ImageOps

    picture.load()  # so that what fails below are the EXIF data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(picture)
    except Exception:  # of any kind: they are other programs' bytes, and of no use but for this
        return picture


def to_float(pixels: torch.Tensor, white: float = 255) -> torch.Tensor:
    """Converts values in 0 … `white` (`C × H × W`) to float32 in [0, 1], contiguous."""
    return pixels.contiguous().to(torch.float32).div_(white)


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
