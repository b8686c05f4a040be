"""Annotations of a folder of pictures: those that lie in it, or those that are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from ....errors import InfodiscardError
from ..files import SUFFIXES, files_in, folders_in
from . import coco, mask_files, table, voc
from .objects import Annotations

TABLE, MASKS, FOLDER = "boxes.csv", "masks", "annotations"
COCO = ("annotations.json", "coco.json", "_annotations.coco.json", "instances*.json")
"""How COCO's file is called where it is found by itself."""
XML = {".xml"}


def annotation_folders(root: Path) -> list[Path]:
    """Returns the folders in `root` that hold nothing but annotations, and so are no class."""
    named = [folder for folder in folders_in(root) if folder.name.lower() == FOLDER]
    return [folder for folder in named if next(files_in(folder, SUFFIXES), None) is None]


def named(path: str) -> Annotations:
    """Returns the annotations in a file or folder that the user names.

    Raises:
        InfodiscardError: it is not there, or holds none of a known format.
    """
    place = Path(path).expanduser()
    if place.is_dir() and (files := list(files_in(place, XML))):
        return voc.read(files, place)
    if place.is_dir() and next(files_in(place, SUFFIXES), None) is not None:
        return mask_files.read(place)
    reader = {".csv": table.read, ".json": coco.read}.get(place.suffix.lower())
    if place.is_file() and reader is not None:
        return reader(place)
    fault = "holds no annotations of a known format" if place.exists() else "is not there"
    raise InfodiscardError(
        f"annotations was '{path}', which {fault}; give a .csv file, COCO's .json file, a folder of Pascal VOC's .xml "
        "files or a folder of masks."
    )


def beside(home: Path, masks: Path | None, xml: Sequence[Path], root: Path) -> Annotations | None:
    """Returns the annotations that lie in a folder; `None` if there are none.

    Args:
        home: the folder.
        masks: its folder of masks, if it has one.
        xml: files among the pictures.
        root: what the names of the pictures are relative to.

    Raises:
        InfodiscardError: there are several, or they cannot be read.
    """
    found: dict[Path, Callable[[], Annotations]] = {}
    if (home / TABLE).is_file():
        found[home / TABLE] = partial(table.read, home / TABLE)
    for folder in (home, *annotation_folders(home)):
        for path in files_in(folder, {".json"}, deep=False):
            if any(fnmatch(path.name.lower(), pattern) for pattern in COCO):
                found[path] = partial(coco.read, path)
    for folder in annotation_folders(home):
        if files := list(files_in(folder, XML)):
            found[folder] = partial(voc.read, files, folder)
    if xml:
        found[root] = partial(voc.read, xml, root)
    if masks is not None:
        found[masks] = partial(mask_files.read, masks)
    if len(found) > 1:
        first, second, *_ = found
        raise InfodiscardError(
            f"There are annotations in '{first}' and in '{second}'; say with annotations (--annotations) which of them "
            "to take."
        )
    return next(iter(found.values()))() if found else None
