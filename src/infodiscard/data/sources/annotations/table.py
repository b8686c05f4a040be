"""Boxes in a table: `boxes.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

from ....errors import InfodiscardError
from ...masks import Box
from .objects import Annotations, Objects, numbers

PICTURE = ("name", "file", "filename", "file_name", "image")
CORNER, CORNERS = ("x", "y", "width", "height"), ("xmin", "ymin", "xmax", "ymax")


def read(path: Path) -> Annotations:
    """Returns the boxes in a table with a header, a row for each box.

    Its columns: the picture, under one of the names in `PICTURE`; and the box, as x, y, width, height or as xmin, ymin,
    xmax, ymax, in pixels from the top left corner. Other columns are ignored. A row without a box is a picture without
    an object. Commas, semicolons or tabs separate the columns.

    Raises:
        InfodiscardError: it is no such table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            separator = max(",;\t", key=header.count)
            stream.seek(0)
            rows = list(csv.DictReader(stream, delimiter=separator, skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InfodiscardError(f"'{path}' is not a CSV file in UTF-8 ({error}); save it as one.") from error
    columns = [column.strip() for column in next(csv.reader([header], delimiter=separator), [])]
    picture = next((column for column in columns if column.lower() in PICTURE), None)
    lower = {column.lower(): column for column in columns}
    sides = next((sides for sides in (CORNERS, CORNER) if lower.keys() >= set(sides)), None)
    if picture is None or sides is None:
        raise InfodiscardError(
            f"'{path}' has the columns {', '.join(columns) or 'none'}; give a first line with name (the picture's "
            "file), and x, y, width, height or xmin, ymin, xmax, ymax."
        )
    boxes: dict[str, list[Box]] = {}
    for line, row in enumerate(rows, 2):
        cells = {(column or "").strip(): cell for column, cell in row.items()}
        name = str(cells[picture] or "").strip()
        if not name:
            raise InfodiscardError(f"Line {line} of '{path}' names no picture; give its file in '{picture}'.")
        own = boxes.setdefault(name, [])
        values = [str(cells[lower[side]] or "").strip() for side in sides]
        if any(values):
            own.append(_box(values, sides, f"The box in line {line} of '{path.name}'"))
    found = {name: Objects(path.name, tuple(own)) for name, own in boxes.items()}
    return Annotations(path.name, {name: each.mask for name, each in found.items()})


def _box(values: list[str], sides: tuple[str, ...], what: str) -> Box:
    a, b, c, d = numbers(values, 4, what)
    return (a, b, c - a, d - b) if sides is CORNERS else (a, b, c, d)
