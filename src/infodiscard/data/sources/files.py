"""Files of pictures: which are taken, in which order, and what they are called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...errors import InfodiscardError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".gif"}

LEFT_BEHIND = {"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN"}
"""Folders that file systems and archives leave behind, with copies of pictures in them, as hidden folders may have."""


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


def folders_in(root: Path) -> list[Path]:
    """Returns the folders directly in one, in order of name, but for hidden ones and those that systems leave."""
    return sorted(child for child in root.iterdir() if child.is_dir() and not _left_behind(child.name))


def files_in(root: Path, suffixes: set[str], deep: bool = True) -> Iterator[Path]:
    """Yields the files with one of the suffixes, in the order of their paths; with `deep`, those in folders too."""
    found = [path for path in (root.rglob("*") if deep else root.iterdir()) if path.suffix.lower() in suffixes]
    for path in sorted(found):
        if not any(map(_left_behind, path.relative_to(root).parts)) and path.is_file():
            yield path


def name_of(path: Path, root: Path) -> str:
    """Returns a file's path in `root`, with slashes; bytes that are not UTF-8 are written as `\\xe9`."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def _left_behind(name: str) -> bool:
    return name.startswith(".") or name in LEFT_BEHIND
