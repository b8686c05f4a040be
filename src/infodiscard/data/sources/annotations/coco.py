"""COCO: one JSON file for all pictures, with boxes, polygons and run lengths."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import InfodiscardError
from ...masks import BEYOND, Box
from .objects import Annotations, Objects, numbers

Region = Callable[[int, int], np.ndarray]
"""From height and width to a bool array `height × width`."""


def read(path: Path) -> Annotations:
    """Returns the objects in a file of COCO's detection format: segmentations, and boxes where there are none.

    Raises:
        InfodiscardError: it is no such file.
    """
    content = _parse(path)
    boxes: dict[Any, list[Box]] = {}
    regions: dict[Any, list[Region]] = {}
    images = {str(_entry(image, "id", path)): image for image in content["images"]}
    for item in content["annotations"]:
        key = str(_entry(item, "image_id", path))
        if key not in images:
            raise InfodiscardError(
                f"'{path}' annotates a picture with the id {key}, which is not among its 'images'; export it again."
            )
        what = f"An object of '{_entry(images[key], 'file_name', path)}' in '{path.name}'"
        if item.get("segmentation"):
            regions.setdefault(key, []).extend(_regions(item["segmentation"], what))
        else:
            x, y, width, height = numbers(_entry(item, "bbox", path), 4, what)
            boxes.setdefault(key, []).append((x, y, width, height))
    found: dict[str, Objects] = {}
    for key, image in images.items():
        name = str(_entry(image, "file_name", path))
        size = numbers((image.get("height") or 0, image.get("width") or 0), 2, f"The size of '{name}' in '{path.name}'")
        mine = Objects(
            path.name,
            tuple(boxes.get(key, ())),
            tuple(regions.get(key, ())),
            (int(size[0]), int(size[1])) if all(size) else None,
        )
        if name in found:
            raise InfodiscardError(f"'{path}' lists '{name}' twice; export it again, with each picture once.")
        found[name] = mine
    return Annotations(path.name, {name: each.mask for name, each in found.items()})


def _parse(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InfodiscardError(f"'{path}' is not a whole JSON file ({error}); export it again.") from error
    lists = [content.get(key) for key in ("images", "annotations")] if isinstance(content, dict) else [None]
    if not all(isinstance(each, list) for each in lists):
        raise InfodiscardError(
            f"'{path}' has no lists 'images' and 'annotations'; export it in COCO's format of object detection."
        )
    return content


def _entry(item: Any, key: str, path: Path) -> Any:
    """Returns a value that an image or an annotation must have."""
    if not isinstance(item, Mapping) or item.get(key) is None:
        raise InfodiscardError(
            f"An entry of '{path}' has no '{key}' ({json.dumps(item, ensure_ascii=False)[:60]}); export it in COCO's "
            "format of object detection."
        )
    return item[key]


def _regions(segmentation: Any, what: str) -> list[Region]:
    """Returns the regions of one object: polygons, or run lengths."""
    if isinstance(segmentation, list) and all(isinstance(each, list) and len(each) >= 6 for each in segmentation):
        return [partial(_polygon, numbers(each, len(each) // 2 * 2, what), what) for each in segmentation]
    counts = segmentation.get("counts") if isinstance(segmentation, dict) else None
    if not isinstance(counts, list):
        given = "compressed run lengths" if isinstance(counts, str) else f"{segmentation!r:.60}"
        raise InfodiscardError(
            f"{what} has {given} for its segmentation; give polygons or plain run lengths, leave segmentations out for "
            "boxes, or write pycocotools' annToMask to a folder of masks."
        )
    size = numbers(segmentation.get("size"), 2, what)
    return [partial(_runs, numbers(counts, len(counts), what), size, what)]


def _polygon(corners: tuple[float, ...], what: str, height: int, width: int) -> np.ndarray:
    """Returns the pixels whose centres are in a polygon, given as x, y, x, y, …."""
    from matplotlib.path import Path as Polygon  # slow to import

    points = np.array(corners).reshape(-1, 2)
    if not ((points >= -BEYOND) & (points <= np.array([width, height]) + BEYOND)).all():
        raise InfodiscardError(
            f"{what} has a polygon that leaves its picture of {height}×{width} pixels; give the picture that was "
            "annotated, and corners as x, y in its pixels."
        )
    mask = np.zeros((height, width), bool)
    left, top = np.clip(np.floor(points.min(0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(points.max(0)), 0, (width, height)).astype(int)
    rows, columns = np.mgrid[top:bottom, left:right] + 0.5
    inside = Polygon(points).contains_points(np.stack([columns.ravel(), rows.ravel()], 1))
    mask[top:bottom, left:right] = inside.reshape(bottom - top, right - left)
    return mask


def _runs(counts: tuple[float, ...], size: tuple[float, ...], what: str, height: int, width: int) -> np.ndarray:
    """Returns the pixels of run lengths, which go down the columns, off and on in turn."""
    lengths = np.array(counts, int)
    if size != (height, width) or lengths.min(initial=0) < 0 or lengths.sum() != height * width:
        raise InfodiscardError(
            f"{what} has run lengths for {size[0]:g}×{size[1]:g} pixels, {lengths.sum()} in all, but the picture is "
            f"{height}×{width}; give the picture that was annotated."
        )
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T.copy()
