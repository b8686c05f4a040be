"""Pascal VOC's XML."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infodiscard import data
from infodiscard.data.masks import box_mask
from infodiscard.errors import InfodiscardError
from pictures import write_pictures

BOX = box_mask((2, 1, 3, 4), 8, 10)
CORNERS = "<xmin>3</xmin><ymin>2</ymin><xmax>5</xmax><ymax>5</ymax>"
SIZE = "<size><width>10</width><height>8</height><depth>3</depth></size>"


def annotation(*corners: str, size: str = SIZE) -> str:
    objects = "".join(f"<object><name>bird</name><bndbox>{each}</bndbox></object>" for each in corners)
    return f"<annotation><filename>stale.jpg</filename>{size}{objects}</annotation>"


@pytest.mark.parametrize("place", ["a.xml", "annotations/a.xml", "Annotations/a.xml"])
def test_corner_pixels_are_counted_from_one_and_belong_to_the_box(tmp_path: Path, place: str) -> None:
    write_pictures(tmp_path, "a.png", "b.png")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(annotation(CORNERS))
    found = data.load(f"folder:{tmp_path}")
    assert found.masks is not None and torch.equal(found.masks[0], BOX) and not found.masks[1].any()
    assert found.names == ("a.png", "b.png") and "such as 'b.png'" in found.notes[0]


def test_classes_several_objects_parts_and_a_zero_for_the_edge(tmp_path: Path) -> None:
    write_pictures(tmp_path, "cat/a.png", "dog/a.png")
    edge = "<xmin>0</xmin><ymin>0</ymin><xmax>1</xmax><ymax>8</ymax>"
    part = "<xmin>9</xmin><ymin>8</ymin><xmax>10</xmax><ymax>8</ymax>"
    text = annotation(CORNERS, edge, size="<size><width>0</width><height>0</height></size>")
    text = text.replace("</object>", f"<part><bndbox>{part}</bndbox></part></object>")
    (tmp_path / "dog" / "a.xml").write_text(text)
    (tmp_path / "cat" / "a.xml").write_text(annotation(size=""))
    found = data.load(f"folder:{tmp_path}")
    assert found.classes == ("cat", "dog") and found.masks is not None and not found.masks[0].any()
    assert torch.equal(found.masks[1], BOX | box_mask((0, 0, 1, 8), 8, 10))


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<annotation><object><name>&b;</name></object></annotation>"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (annotation(CORNERS)[:-5], "is not a whole XML file"),
        ("", "is not a whole XML file"),
        ("<html/>", "holds <html>, not Pascal VOC's <annotation>"),
        (LAUGHS, "declares a document type"),
        ('<!DOCTYPE annotation SYSTEM "file:///x"><annotation/>', "declares a document type"),
        (annotation(CORNERS.replace("5", "five")), "A box in .* give 4 numbers"),
        (annotation(""), "A box in .* give 4 numbers"),
        (annotation(CORNERS.replace("<xmax>5", "<xmax>12")), "A box of 'a.png' in 'a.xml' is .* leaves it"),
        (
            annotation(CORNERS, size=SIZE.replace("10", "20").replace("8", "16")),
            "'a.png' has 8×10 pixels, but 'a.xml' describes a picture of 16×20; give the pictures that were annotated",
        ),
        (annotation(size=SIZE.replace("10", "x")), "The size in .* give 2 numbers"),
    ],
)
def test_faults(tmp_path: Path, text: str, message: str) -> None:
    write_pictures(tmp_path, "a.png")
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(InfodiscardError, match=message):
        data.load(f"folder:{tmp_path}")
