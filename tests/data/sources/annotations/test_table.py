"""Boxes in a table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infodiscard import data
from infodiscard.data.masks import box_mask
from infodiscard.errors import InfodiscardError
from pictures import write_pictures

BOX = box_mask((2, 1, 3, 4), 8, 10)
HEADER = "name,x,y,width,height\n"


def masks(folder: Path, text: str, encoding: str = "utf-8") -> torch.Tensor:
    write_pictures(folder, "a.png", "b.png")
    (folder / "boxes.csv").write_text(text, encoding=encoding)
    found = data.load(f"folder:{folder}").masks
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}a.png,2,1,3,4\nb.png,,,,\n",
        "class; File ;xmin;ymin;xmax;ymax\nbird;a.png;2;1;5;5\n",
        'image\tx\ty\twidth\theight\ttext\na.png\t2.0\t1e0\t3\t4\t"one, two"\n',
        'filename,width,height,class,xmin,ymin,xmax,ymax\n"a.png",10,8,bird,2,1,5,5\n',
        "name, x, y, width, height\n\na, 2, 1, 3, 4\n",
    ],
)
def test_tables_as_tools_write_them(tmp_path: Path, text: str) -> None:
    for encoding in ("utf-8", "utf-8-sig"):
        found = masks(tmp_path, text, encoding)
        assert torch.equal(found[0], BOX) and not found[1].any()


def test_several_boxes_are_one_object(tmp_path: Path) -> None:
    found = masks(tmp_path, f"{HEADER}a.png,2,1,3,4\na.png,4,3,5,5\n")
    assert torch.equal(found[0], BOX | box_mask((4, 3, 5, 5), 8, 10))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png,2,1,3,4\n", r"has the columns a.png, 2, 1, 3, 4; give a first line with name"),
        ("", "has the columns none"),
        ("name,x,y\na.png,2,1\n", "give a first line"),
        (f"{HEADER}a.png,2,one,3,4\n", r"box in line 2 of 'boxes.csv' is .*'one'.*give 4 numbers"),
        (f"{HEADER}a.png,2,1\n", "line 2 of 'boxes.csv'"),
        (f"{HEADER},2,1,3,4\n", "Line 2 of .* names no picture"),
        (f"{HEADER}a.png,2,1,9,4\n", r"box of 'a.png' in 'boxes.csv' is \(2, 1, 9, 4\).*leaves it"),
        (f"{HEADER}a.png,2,1,8,8\n", r"of 8×10, and this one leaves it; if it is x1, y1"),
        (f"{HEADER}a.png,.2,.1,.3,.4\n", "fractions"),
        (f"{HEADER}a.png,nan,1,3,4\n", "is not finite"),
        (f"{HEADER}a.png,2,1,0,4\n", "holds none of its pixels"),
        (f"{HEADER}c.png,2,1,3,4\n", r"No picture of .* \(the first is 'c.png'\).* such as 'a.png'"),
        (HEADER, r"No picture of .* \(it names none\)"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        masks(tmp_path, text)


def test_a_table_in_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(InfodiscardError, match="not a CSV file in UTF-8"):
        masks(tmp_path, f"{HEADER}ä.png,2,1,3,4\n", "latin-1")
