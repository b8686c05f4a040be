"""Masks: a picture for each picture, black on the background."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from ....errors import InfodiscardError
from ..files import SUFFIXES, files_in, name_of
from ..sample import upright_pixels
from .objects import Annotations


def read(root: Path) -> Annotations:
    """Returns the masks in a folder, each of the picture with its name, or with its name before `_mask`."""
    files = {name_of(path, root): path for path in files_in(root, SUFFIXES)}
    shorter = {name: name.replace("_mask.", ".") for name in files}
    by_name = {
        name if shorter[name] in files else shorter[name]: partial(_mask, path, f"{root.name}/{name}")
        for name, path in files.items()
    }
    return Annotations(root.name, by_name)


def _mask(path: Path, what: str, name: str, height: int, width: int) -> torch.Tensor:
    """Returns a mask; arguments as for `Objects.mask`.

    Raises:
        InfodiscardError: it cannot be read, is of another size than the picture, or has more than two values.
    """
    pixels, _, _ = upright_pixels(path, what)
    if pixels.shape[:2] != (height, width):
        raise InfodiscardError(
            f"The mask '{what}' is {pixels.shape[0]}×{pixels.shape[1]} pixels and its picture '{name}' "
            f"{height}×{width}; give masks of the pictures' own sizes."
        )
    pixels = pixels.reshape(height, width, -1)
    on_object = pixels.any(2)
    if (pixels[on_object] != pixels[on_object][:1]).any():
        raise InfodiscardError(
            f"The mask '{what}' has several values or colours beside black; give black on the background and one other "
            "on the object, without soft edges (a PNG, not a JPEG)."
        )
    return torch.from_numpy(on_object)
