"""Pascal VOC: an XML file for each picture, as labelImg, CVAT and others write it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import torch

from ....errors import InfodiscardError
from ...masks import Box
from ..files import name_of
from .objects import Annotations, Objects, numbers

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(paths: Iterable[Path], root: Path) -> Annotations:
    """Returns the annotations in these files, each of the picture with its name; a file is read when it is needed.

    Args:
        paths: `.xml` files.
        root: folder that their pictures' paths are seen from.
    """
    return Annotations(root.name, {name_of(path, root): partial(_mask, path) for path in paths})


def _mask(path: Path, name: str, height: int, width: int) -> torch.Tensor:
    """Returns the mask of the objects in a file; arguments and errors as for `Objects.mask`."""
    root = _parse(path)
    if root.tag != "annotation":
        raise InfodiscardError(f"'{path}' holds <{root.tag}>, not Pascal VOC's <annotation>; export it in that format.")
    boxes = [_box(each, path) for each in root.findall("object")]
    texts = [root.findtext(f"size/{side}", "0") for side in ("height", "width")]
    rows, columns = numbers(texts, 2, f"The size in '{path}'")
    return Objects(
        path.name,
        tuple(boxes),
        size=(int(rows), int(columns)) if rows and columns else None,  # some tools write 0
    ).mask(name, height, width)


def _box(item: Element, path: Path) -> Box:
    """Returns the box of an object: its corner pixels, which are counted from 1, belong to it."""
    texts = [item.findtext(f"bndbox/{side}", "") for side in CORNERS]
    left, top, right, bottom = numbers(texts, 4, f"A box in '{path}'")
    # Tools that count from 0 write 0 at the picture's edge.
    left, top = (edge - 1 if edge >= 1 else edge for edge in (left, top))
    return left, top, right - left, bottom - top


def _parse(path: Path) -> Element:
    """Returns the root of an XML file, which may not define entities of its own: a few can fill the memory."""
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = partial(_refuse, path)
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError) as error:
        raise InfodiscardError(f"'{path}' is not a whole XML file ({error}); export it again.") from error
    return builder.close()


def _refuse(path: Path, *declaration: object) -> NoReturn:
    raise InfodiscardError(f"'{path}' declares a document type, which Pascal VOC does not have; leave that line out.")
