"""Annotations that are found beside pictures, or named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from infodiscard import data
from infodiscard.data.masks import Box, box_mask
from infodiscard.errors import InfodiscardError
from pictures import png, write_pictures

SHARED = Path(__file__).parents[5] / "shared" / "data"
BIRDS = SHARED / "cub200_2011_first10"
HEADER = "name,x,y,width,height\n"
BOX: Box = (2, 1, 3, 4)


def write_all(folder: Path, name: str, box: Box, height: int, width: int) -> list[Path]:
    """Writes one box of one picture in every format, and returns the places."""
    places = [folder / each for each in ("boxes.csv", "coco.json", "annotations", "masks")]
    (x, y, w, h), stem = box, Path(name).stem
    places[0].write_text(f"{HEADER}{name},{x},{y},{w},{h}\n", encoding="utf-8")
    image = {"id": 1, "file_name": name, "height": height, "width": width}
    places[1].write_text(json.dumps({"images": [image], "annotations": [{"image_id": 1, "bbox": box}]}))
    corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + w, "ymax": y + h}
    texts = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
    for place in places[2:]:
        place.mkdir()
    (places[2] / f"{stem}.xml").write_text(
        f"<annotation><object><bndbox>{texts}</bndbox></object></annotation>", encoding="utf-8"
    )
    (places[3] / f"{stem}.png").write_bytes(png(box_mask(box, height, width).numpy() * np.uint8(255)))
    return places


def test_all_formats_mean_the_same_and_one_of_several_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, "ä ö.png")
    places = write_all(tmp_path, "ä ö.png", BOX, 8, 10)
    with pytest.raises(InfodiscardError, match=r"There are annotations in .* and in .*--annotations"):
        data.load(f"folder:{tmp_path}")
    for place in places:
        found = data.load(f"folder:{tmp_path}", annotations=place)
        assert found.masks is not None and torch.equal(found.masks[0], box_mask(BOX, 8, 10)) and found.notes == ()
        assert found.options == {"annotations": str(place)} and found.names == ("ä ö.png",)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data are not here")
def test_a_real_bird_has_the_object_that_cub_says(tmp_path: Path) -> None:
    """A photograph, brought to another size and shape, in every format."""
    cub = data.load(f"cub:{BIRDS}", 1, (48, 64), crop=float("inf"))
    tables = {
        table: dict(line.split(maxsplit=1) for line in (BIRDS / f"{table}.txt").read_text().splitlines())
        for table in ("images", "bounding_boxes")
    }
    number = next(number for number, name in tables["images"].items() if name == cub.names[0])
    x, y, w, h = map(float, tables["bounding_boxes"][number].split())
    (tmp_path / "bird.jpg").write_bytes((BIRDS / "images" / cub.names[0]).read_bytes())
    with Image.open(tmp_path / "bird.jpg") as picture:
        width, height = picture.size
    for place in write_all(tmp_path, "bird.jpg", (x, y, w, h), height, width):
        found = data.load(f"folder:{tmp_path}", size=(48, 64), annotations=place)
        assert found.masks is not None and cub.masks is not None and 0.05 < found.masks.float().mean() < 0.95
        assert torch.equal(found.images, cub.images) and torch.equal(found.masks, cub.masks)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("absent.csv", r"annotations was 'absent.csv', which is not there; give a .csv file, COCO's"),
        ("a.txt", "holds no annotations of a known format"),
        ("empty", "holds no annotations of a known format"),
    ],
)
def test_named_annotations_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, message: str
) -> None:
    monkeypatch.chdir(write_pictures(tmp_path, "set/a.png"))
    Path("empty").mkdir()
    Path("a.txt").touch()
    with pytest.raises(InfodiscardError, match=message):
        data.load("folder:set", annotations=given)


def test_annotations_are_for_folders_only(tmp_path: Path) -> None:
    with pytest.raises(InfodiscardError, match="for the pictures of 'folder:DIR'; leave them out for 'demo'"):
        data.load("demo", annotations="boxes.csv")
    with pytest.raises(InfodiscardError, match="annotations was 3; it must be the path"):
        data.load(f"folder:{tmp_path}", annotations=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["._boxes.csv", ".a.xml", "._coco.json", "annotations/._a.xml", "annotations/x/.a.xml"]
)
def test_what_systems_leave_behind_is_no_annotation(tmp_path: Path, name: str) -> None:
    write_pictures(tmp_path, "a.png")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"\0")
    assert data.load(f"folder:{tmp_path}").masks is None
    (tmp_path / "boxes.csv").write_text(f"{HEADER}a.png,2,1,3,4\n")
    found = data.load(f"folder:{tmp_path}")
    assert found.masks is not None and torch.equal(found.masks[0], box_mask(BOX, 8, 10))


def test_pictures_that_are_missing_are_told(tmp_path: Path) -> None:
    write_pictures(tmp_path, "a.png")
    (tmp_path / "boxes.csv").write_text(f"{HEADER}a.png,2,1,3,4\nb.png,0,0,2,2\nc.png,0,0,2,2\n")
    found = data.load(f"folder:{tmp_path}")
    assert found.notes == (f"Pictures in 'boxes.csv' that are not in '{tmp_path}': 2, such as 'b.png'.",)
