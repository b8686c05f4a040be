"""COCO's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infodiscard import data
from infodiscard.data.imageset import ImageSet
from infodiscard.data.masks import box_mask
from infodiscard.data.sources.annotations.coco import read
from infodiscard.errors import InfodiscardError
from pictures import write_pictures

BOX = box_mask((2, 1, 3, 4), 8, 10)
IMAGE = {"id": 7, "file_name": "a.png", "height": 8, "width": 10}


def load(folder: Path, *annotations: dict[str, Any], images: Any = (IMAGE,), name: str = "coco.json") -> ImageSet:
    write_pictures(folder, "a.png", "b.png")
    items = [{"image_id": 7, "category_id": 1} | each for each in annotations]
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"images": images, "annotations": items, "categories": []}))
    return data.load(f"folder:{folder}")


@pytest.mark.parametrize(
    "annotation",
    [
        {"bbox": [2, 1, 3, 4]},
        {"bbox": [2, 1, 3, 4], "segmentation": []},
        {"segmentation": [[2, 1, 5, 1, 5, 5, 2, 5]], "bbox": [0, 0, 10, 8]},
        {"segmentation": [[2, 1, 5, 1, 5, 3, 2, 3], [2, 3, 5, 3, 5, 5, 2, 5]]},
        {"iscrowd": 1, "segmentation": {"size": [8, 10], "counts": [17, 4, 4, 4, 4, 4, 43]}},
    ],
)
@pytest.mark.parametrize("name", ["annotations.json", "annotations/instances_val2017.json", "_annotations.coco.json"])
def test_boxes_polygons_and_run_lengths(tmp_path: Path, annotation: dict[str, Any], name: str) -> None:
    found = load(tmp_path, annotation, name=name)
    assert found.masks is not None and torch.equal(found.masks[0], BOX) and not found.masks[1].any()
    assert found.notes == ("Pictures without an object, and so without a concentration: 1 of 2, such as 'b.png'.",)
    assert found.labels is None


def test_objects_are_united_and_ids_may_be_texts(tmp_path: Path) -> None:
    images = [{"id": "x", "file_name": r"val\b.png"}, IMAGE | {"file_name": "./a.jpg"}]
    objects = ({"bbox": [0, 0, 1, 8]}, {"segmentation": [[2, 1, 5, 1, 5, 5, 2, 5]]})
    found = load(tmp_path, *({"image_id": "x"} | each for each in objects), images=images)
    assert found.masks is not None and not found.masks[0].any()
    assert torch.equal(found.masks[1], BOX | box_mask((0, 0, 1, 8), 8, 10))


def test_a_polygon_is_of_the_pixels_whose_centres_are_in_it(tmp_path: Path) -> None:
    corners = np.array([[1.2, 0.8], [10.4, 2.2], [6.3, 8.4]])  # leaves it a little, as rounding does
    items = [{"image_id": 7, "segmentation": [corners.ravel().tolist()]}]
    (tmp_path / "x.json").write_text(json.dumps({"images": [IMAGE], "annotations": items}))
    found = read(tmp_path / "x.json").by_name["a.png"]("a.png", 8, 10).numpy()
    x, y = np.meshgrid(np.arange(10) + 0.5, np.arange(8) + 0.5)
    sides = [
        (q[0] - p[0]) * (y - p[1]) > (q[1] - p[1]) * (x - p[0])
        for p, q in zip(corners, np.roll(corners, -1, 0), strict=True)
    ]
    assert found.sum() > 20 and np.array_equal(found, np.all(sides, axis=0))


@pytest.mark.parametrize(
    ("annotation", "images", "message"),
    [
        ({"bbox": [2, 1, 3, 4], "image_id": 8}, [IMAGE], "with the id 8, which is not among its 'images'"),
        ({"bbox": [2, 1, 3, 4]}, [IMAGE | {"height": 16}], r"'a.png' has 8×10 pixels, but .* a picture of 16×10"),
        ({"bbox": [2, 1, 9, 4]}, [IMAGE], "A box of 'a.png' in 'coco.json' is .* leaves it"),
        ({"bbox": [2, 1, 3]}, [IMAGE], "object of 'a.png' .* give 4 numbers"),
        ({"bbox": "left"}, [IMAGE], "give 4 numbers"),
        ({}, [IMAGE], "has no 'bbox'"),
        ({"bbox": [2, 1, 3, 4]}, [{"id": 7}], "has no 'file_name'"),
        ({"bbox": [2, 1, 3, 4]}, [IMAGE, IMAGE | {"id": 8}], "lists 'a.png' twice"),
        ({"bbox": [2, 1, 3, 4]}, ["a.png"], "has no 'id'"),
        ({"segmentation": {"size": [8, 10], "counts": "ab3"}}, [IMAGE], "has compressed run lengths .*annToMask"),
        ({"segmentation": {"size": [8, 10], "counts": [17, 4]}}, [IMAGE], "run lengths for 8×10 pixels, 21 in all"),
        ({"segmentation": [[2, 1, 5, 1]]}, [IMAGE], "for its segmentation; give polygons"),
        ({"segmentation": [[2, 1, 5, 1, "x", 5]]}, [IMAGE], "give 6 numbers"),
        ({"segmentation": [[2, 1, 5, 1, float("nan"), 5]]}, [IMAGE], "has a polygon that leaves its picture"),
        ({"segmentation": [[2, 1, 11, 1, 5, 5]]}, [IMAGE], "has a polygon that leaves its picture of 8×10"),
    ],
)
def test_faults(tmp_path: Path, annotation: dict[str, Any], images: list[Any], message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        load(tmp_path, annotation, images=images)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a whole JSON file"),
        ("[" * 100_000, "is not a whole JSON file"),
        ("[]", "has no lists 'images' and 'annotations'"),
        ('{"images": []}', "has no lists"),
    ],
)
def test_files_that_are_not_cocos(tmp_path: Path, text: str, message: str) -> None:
    write_pictures(tmp_path, "a.png")
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(InfodiscardError, match=message):
        data.load(f"folder:{tmp_path}")
    (tmp_path / "coco.json").rename(tmp_path / "notes.json")  # not read, by its name
    assert data.load(f"folder:{tmp_path}").masks is None
