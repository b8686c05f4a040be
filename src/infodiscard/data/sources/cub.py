"""CUB-200-2011 (Wah et al., 2011) as published: birds with bounding boxes, and segmentations if they are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ...errors import InfodiscardError
from ..masks import Box, box_mask
from .files import directory
from .sample import PictureError, Sample, crop_window, decode


@dataclass(frozen=True)
class Bird:
    """One row of the published tables.

    Attributes:
        name: path of its picture under `images/`.
        label: its class, from 0.
        box: its bounding box in the whole picture.
    """

    name: str
    label: int
    box: Box


def read(path: str, split: str, crop: float) -> tuple[Iterator[Sample], tuple[str, ...]]:
    """Returns the birds of a split in the order of `images.txt`, and the classes' names.

    Args:
        path: folder with `images.txt`, `image_class_labels.txt`, `train_test_split.txt`, `bounding_boxes.txt`,
            `classes.txt` and `images/`; `segmentations/` may be in it or beside it.
        split: `train` or `test`.
        crop: how many times the box's width and height to keep, about its centre, within the picture.

    Raises:
        InfodiscardError: the folder or one of its tables is missing or broken, or `crop` is not above 0.
    """
    if not crop > 0:
        raise InfodiscardError(
            f"The crop {crop} is not above 0; give how many times the bird's box to keep, such as 1.5."
        )
    root = directory(path, "cub")
    try:
        classes = tuple(name for _, name in _table(root / "classes.txt"))
        birds = _birds(root, split)
    except (KeyError, ValueError) as error:
        raise InfodiscardError(
            f"The tables of '{path}' do not fit together ({error}); give CUB-200-2011 as published."
        ) from error
    return (Sample(bird.name, partial(_decode, root, bird, crop), bird.label) for bird in birds), classes


def _table(path: Path) -> list[tuple[str, str]]:
    """Returns (id, rest of line) for each line."""
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise InfodiscardError(
            f"'{path}' cannot be read; give the folder of CUB-200-2011 as published, with all its tables."
        ) from error
    return [(key, rest) for key, rest in (line.split(maxsplit=1) for line in lines if line.strip())]


def _birds(root: Path, split: str) -> list[Bird]:
    labels = dict(_table(root / "image_class_labels.txt"))
    in_training = dict(_table(root / "train_test_split.txt"))
    boxes = dict(_table(root / "bounding_boxes.txt"))
    wanted = "1" if split == "train" else "0"
    return [
        Bird(name, int(labels[key]) - 1, _box(boxes[key]))
        for key, name in _table(root / "images.txt")
        if in_training[key] == wanted
    ]


def _box(text: str) -> Box:
    x, y, width, height = (float(number) for number in text.split())
    return x, y, width, height


def _decode(root: Path, bird: Bird, crop: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the cropped picture and its mask."""
    image = decode(root / "images" / bird.name, bird.name)
    height, width = image.shape[1:]
    mask = _segmentation(root, bird, (height, width))
    if mask is None:
        mask = box_mask(bird.box, height, width)
    rows, columns = crop_window(bird.box, crop, height, width)
    return image[:, rows, columns], mask[rows, columns]


def _segmentation(root: Path, bird: Bird, shape: tuple[int, int]) -> torch.Tensor | None:
    """Returns where most annotators saw the bird, bool `H × W`, or `None` if the segmentations are not there."""
    relative = Path("segmentations", bird.name).with_suffix(".png")
    path = next((place for place in (root / relative, root.parent / relative) if place.is_file()), None)
    if path is None:
        return None
    mask = decode(path, str(relative), "L")[0] >= 0.5
    if mask.shape != shape:
        raise PictureError(
            f"The segmentation '{relative}' is {tuple(mask.shape)} pixels and its picture {shape}; fetch both again."
        )
    return mask
