"""A folder of pictures with a folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from ...errors import InfodiscardError
from .sample import Sample, decode

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".gif"}

LEFT_BEHIND = {"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN"}
"""Folders that file systems and archives leave behind, with copies of pictures in them, as hidden folders may have."""


def read(path: str) -> tuple[Iterator[Sample], tuple[str, ...]]:
    """Returns the pictures in the order of their paths, named by path, and the classes: the folders in order of name.

    Raises:
        InfodiscardError: the folder is missing, or holds no folders.
    """
    root = directory(path, "folder")
    classes = sorted(child for child in root.iterdir() if child.is_dir() and not _left_behind(child.name))
    if not classes:
        raise InfodiscardError(
            f"'{path}' holds no folders; give a folder that has one per class, with pictures in each."
        )
    return _samples(root, classes), tuple(_printable(folder.name) for folder in classes)


def _left_behind(name: str) -> bool:
    return name.startswith(".") or name in LEFT_BEHIND


def _printable(name: str) -> str:
    """Returns the name of a file that may not be in UTF-8, its other bytes written as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def directory(path: str, kind: str) -> Path:
    """Returns the folder at `path`.

    Raises:
        InfodiscardError: there is none.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise InfodiscardError(
            f"There is no folder '{path}'; give the path of one that exists, as in '{kind}:data/pictures'."
        )
    return root


def _samples(root: Path, classes: list[Path]) -> Iterator[Sample]:
    for label, folder in enumerate(classes):
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(root)
            if path.suffix.lower() in SUFFIXES and not any(map(_left_behind, place.parts)) and path.is_file():
                name = _printable(place.as_posix())
                yield Sample(name, partial(_decode, path, name), label)


def _decode(path: Path, name: str) -> tuple[torch.Tensor, None]:
    return decode(path, name), None
