"""Loading of images by their spec, such as `cifar10` or `folder:DIR`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple

import torch

from ..core.files import translate_os_errors
from ..errors import InfodiscardError, flag, nearest, number, one_of, pixels, quoted, whole
from .imageset import ImageSet, unique
from .sources import cifar10, cub, folder, npz, parquet
from .sources.sample import PictureError, Sample, fit
from .sources.stack import Stack

SPECS = ("demo", "cifar10", "cub:DIR", "folder:DIR", "parquet:PATTERN", "npz:FILE")
SPLITS = ("train", "test")
FILES = {".npz": "npz", ".parquet": "parquet"}
"""Suffix → kind of the spec that takes such a file."""


def load(
    spec: str,
    samples: int | None = None,
    size: tuple[int, int] | None = None,
    split: str = "test",
    crop: float | None = None,
    keep_unreadable: bool = False,
    annotations: str | PathLike[str] | None = None,
) -> ImageSet:
    """Returns the images that `spec` names, the first `samples` of them, in the order of their files.

    No picture beyond those is decoded.

    Args:
        spec: `demo` (a dozen CIFAR-10 images carried in the package, with boxes); `cifar10` (downloaded once);
            `cub:DIR` (CUB-200-2011 as published); `folder:DIR` (pictures, or a folder per class; boxes or masks
            beside them); `parquet:PATTERN` (files as on the Hugging Face hub); `npz:FILE` (arrays `images`, and perhaps
            `labels`, `masks` or `boxes`, `names`, `classes`).
        samples: how many; `None` for all.
        size: (height, width), or one number for both, that images are resized to cover and cropped to; `None` leaves
            them as they are.
        split: `train` or `test`, for `cifar10` and `cub`; the other specs name their files themselves.
        crop: for `cub`, how many times the bird's box to keep (1 if not given; `inf` for the whole picture).
        keep_unreadable: keep a picture that cannot be decoded as one of zeros, named in `unreadable`; do not raise.
        annotations: for `folder`, where the objects in the pictures are: a `.csv` file of boxes, COCO's `.json` file, a
            folder of Pascal VOC's `.xml` files or a folder of masks; `None` for what lies beside the pictures.

    Raises:
        SizesDifferError: no `size` is given, and the images have several.
        InfodiscardError: the spec is unknown, or what it names is missing, broken or empty, or its objects do not lie
            in their pictures.
    """
    if not isinstance(spec, str | PathLike):
        raise InfodiscardError(f"spec was {quoted(spec)}; it must be a text, one of {', '.join(SPECS)}.")
    spec = fspath(spec)
    if samples is not None:
        samples = whole("samples", samples, "a whole number of images, 1 or more", 1)
    size = pixels("size", size)
    if crop is not None and not (isinstance(crop, float) and crop == inf):
        crop = number("crop", crop, "a number", lambda given: True)
    one_of("split", split, SPLITS)
    keep_unreadable = flag("keep_unreadable", keep_unreadable)
    if not isinstance(annotations, str | PathLike | None):
        raise InfodiscardError(f"annotations was {quoted(annotations)}; it must be the path of a file or a folder.")
    place = None if annotations is None else fspath(annotations)
    with translate_os_errors("load the images of", spec):
        opened = _open(spec, split, crop, place)
        decoded = _decoded(islice(opened.rows, samples), size, keep_unreadable)
    options = {"split": split if spec == "cifar10" or spec.startswith("cub:") else None, "crop": crop}
    options |= {"annotations": place, "size": f"{size[0]}x{size[1]}" if size and decoded.resized else None}
    return _image_set(spec, decoded, opened, {name: str(value) for name, value in options.items() if value is not None})


class SizesDifferError(InfodiscardError):
    """Pictures differ in size, and no size is given to bring them to."""


class _Opened(NamedTuple):
    """A source: its rows, the names of its classes, and what the user should know of it, in sentences."""

    rows: Iterator[Sample]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def _open(spec: str, split: str, crop: float | None, annotations: str | None) -> _Opened:
    kind, _, place = spec.partition(":")
    if crop is not None and kind != "cub":
        raise InfodiscardError(f"A crop about the object's box is for 'cub:DIR' only; leave it out for '{spec}'.")
    if annotations is not None and kind != "folder":
        raise InfodiscardError(f"Annotations are for the pictures of 'folder:DIR'; leave them out for '{spec}'.")
    if kind in ("cub", "folder", "parquet", "npz") and not place:
        raise InfodiscardError(f"'{spec}' names no file or folder; write it after a colon, as in '{kind}:data'.")
    match kind, bool(place):
        case "demo", False:
            return _Opened(*npz.read_demo())
        case "cifar10", False:
            return _Opened(*cifar10.read(split))
        case "cub", True:
            return _Opened(*cub.read(place, split, 1.0 if crop is None else crop))
        case "folder", True:
            return _Opened(*folder.read(place, annotations))
        case "parquet", True:
            return _Opened(*parquet.read(place))
        case "npz", True:
            return _Opened(*npz.read(place))
    if meant := "folder" if spec and Path(spec).expanduser().is_dir() else FILES.get(Path(spec).suffix.lower()):
        raise InfodiscardError(f"'{spec}' does not say what it is; write '{meant}:{spec}'.")
    raise InfodiscardError(
        f"There is no data set '{spec}'; near it is {nearest(spec, SPECS, 1)}, and allowed are {', '.join(SPECS)}."
    )


@dataclass
class _Decoded:
    """Pictures of one shape, with what is known of each.

    Attributes:
        images: float32, `C × H × W` each; zeros where one cannot be decoded.
        masks: bool, `H × W` each.
        masked: whether every decoded picture has a mask.
        failed: place of a picture that cannot be decoded → why.
        bare, lost: names of decoded pictures with a mask that is false everywhere; before, or after the size.
        resized: whether the size changed any.
    """

    images: Stack = field(default_factory=lambda: Stack(torch.float32))
    masks: Stack = field(default_factory=lambda: Stack(torch.bool))
    names: list[str] = field(default_factory=list)
    labels: list[int | None] = field(default_factory=list)
    masked: bool = True
    failed: dict[int, str] = field(default_factory=dict)
    bare: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    resized: bool = False


def _decoded(rows: Iterator[Sample], size: tuple[int, int] | None, keep_unreadable: bool) -> _Decoded:
    """Decodes the rows, resizes them, and checks that they are of one shape."""
    result, first = _Decoded(), ""
    for row in rows:
        image: torch.Tensor | None = None
        mask: torch.Tensor | None = None
        try:
            image, mask = row.read()
        except PictureError as error:
            if not keep_unreadable:
                raise
            result.failed[len(result.names)] = str(error)
        if image is not None:
            image, mask = _fitted(row.name, image, mask, size, result)
            if result.images.shape not in (None, image.shape):
                raise SizesDifferError(
                    f"The image '{row.name}' is {_shape(image.shape)} but '{first}' is {_shape(result.images.shape)}; "
                    "give a size to bring them to, such as 224x224."
                )
            first, result.masked = first or row.name, result.masked and mask is not None
        result.images.append(image)
        result.masks.append(mask)
        result.names.append(row.name)
        result.labels.append(row.label)
    return result


def _fitted(
    name: str, image: torch.Tensor, mask: torch.Tensor | None, size: tuple[int, int] | None, result: _Decoded
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Brings a picture and its mask to the size, and notes in `result` what that changes."""
    before = mask is not None and bool(mask.any())
    if size is not None:
        result.resized |= image.shape[1:] != size
        image, mask = fit(image, mask, size)
    if mask is not None and not mask.any():
        (result.lost if before else result.bare).append(name)
    return image, mask


def _image_set(spec: str, decoded: _Decoded, opened: _Opened, options: Mapping[str, str]) -> ImageSet:
    """Stacks the pictures."""
    count = len(decoded.names)
    if not count:
        raise InfodiscardError(f"'{spec}' holds no images; give one that does.")
    if len(decoded.failed) == count:
        raise InfodiscardError(f"None of the {count} pictures can be read. {decoded.failed[0]}")
    names = unique(decoded.names)
    return ImageSet(
        images=decoded.images.tensor(),
        labels=_labels(decoded.labels, spec),
        masks=decoded.masks.tensor() if decoded.masked else None,
        names=names,
        classes=opened.classes,
        source=spec,
        options=options,
        notes=(*opened.notes, *_without_object(decoded)),
        unreadable={names[place]: why for place, why in decoded.failed.items()},
    )


def _without_object(decoded: _Decoded) -> Iterator[str]:
    """Yields a sentence on the pictures whose mask is false everywhere."""
    kinds = {
        "Pictures without an object, and so without a concentration": decoded.bare,
        "Pictures of whose object nothing is left in the size and crop, and so no concentration": decoded.lost,
    }
    for what, names in kinds.items():
        if decoded.masked and names:
            yield f"{what}: {len(names)} of {len(decoded.names)}, such as '{names[0]}'."


def _shape(shape: Sequence[int] | None) -> str:
    channels, *sides = shape or (0,)
    return "×".join(map(str, sides)) + f" with {channels} channels"


def _labels(labels: list[int | None], spec: str) -> torch.Tensor | None:
    known = [label for label in labels if label is not None]
    if not known:
        return None
    if len(known) < len(labels):
        raise InfodiscardError(
            f"{len(labels) - len(known)} images of '{spec}' have no label; label all of them or none."
        )
    return torch.tensor(known, dtype=torch.int64)
