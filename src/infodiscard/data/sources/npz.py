"""NumPy archives, and the dozen images that the package carries in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import IO
from zipfile import BadZipFile

import numpy as np
import torch

from ...errors import InfodiscardError
from ..collect import native
from ..masks import box_masks, check_object
from .sample import Sample, to_float

KEYS = ("images", "labels", "masks", "boxes", "names", "classes")


def read(path: str) -> tuple[Iterator[Sample], tuple[str, ...]]:
    """Returns the samples of an `.npz` file and the classes' names.

    Its arrays: `images`, uint8 `N × H × W × C` or float `N × C × H × W` in [0, 1]; and perhaps `labels`, integers, `N`;
    `masks`, bool `N × H × W`, or `boxes`, `N × 4`, as x, y, width, height in pixels; `names` and `classes`, text.

    Raises:
        InfodiscardError: the file is missing or broken, holds pickled objects, or an array is not as above.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise InfodiscardError(f"There is no file '{path}'; give the path of an .npz file, as in 'npz:images.npz'.")
    with place.open("rb") as stream:
        return _read(stream, path)


def read_demo() -> tuple[Iterator[Sample], tuple[str, ...]]:
    """Returns the samples that the package carries, and the classes' names."""
    with files("infodiscard").joinpath("demo", "images.npz").open("rb") as stream:
        return _read(stream, "demo")


def _read(stream: IO[bytes], path: str) -> tuple[Iterator[Sample], tuple[str, ...]]:
    arrays = _arrays(stream, path)
    if "images" not in arrays:
        raise InfodiscardError(
            f"'{path}' holds {', '.join(arrays) or 'no known array'} but no 'images'; give an array so named, uint8 "
            "N×H×W×C or float N×C×H×W in [0, 1]."
        )
    images = _images(arrays["images"], path)
    _check(arrays, images, path)
    return _samples(arrays, images), tuple(str(name) for name in arrays.get("classes", ()))


def _arrays(stream: IO[bytes], path: str) -> dict[str, np.ndarray]:
    """Returns the arrays that are known by name; never unpickles."""
    try:
        archive = np.load(stream, allow_pickle=False)
        if not isinstance(archive, Mapping):
            raise ValueError("it is a single array")
        return {key: archive[key] for key in archive if key in KEYS}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InfodiscardError(
            f"'{path}' is not a whole .npz file of plain arrays ({error}); write one with numpy.savez, without objects."
        ) from error


def _images(images: np.ndarray, path: str) -> torch.Tensor:
    """Returns a `N × C × H × W` tensor, still in the file's type."""
    channels_last = images.dtype == np.uint8
    images = images if channels_last else native(images)
    if images.ndim != 4 or not (channels_last or np.issubdtype(images.dtype, np.floating)):
        raise _not_images(images, path)
    if channels_last:
        images = images.transpose(0, 3, 1, 2)
    if images.shape[1] > min(images.shape[2:]):
        raise _not_images(images, path)
    if not channels_last and images.size and not (images.min() >= 0 and images.max() <= 1):
        raise InfodiscardError(
            f"The images of '{path}' go from {images.min():g} to {images.max():g}; give floats in [0, 1], not yet "
            "normalised."
        )
    return torch.from_numpy(images)


def _not_images(images: np.ndarray, path: str) -> InfodiscardError:
    return InfodiscardError(
        f"The images of '{path}' are {images.dtype} of shape {images.shape}; give uint8 N×H×W×C or float N×C×H×W in "
        "[0, 1]."
    )


def _check(arrays: dict[str, np.ndarray], images: torch.Tensor, path: str) -> None:
    """Checks the other arrays' shapes and types against the images'; converts boxes to masks."""
    count, _, height, width = images.shape
    allowed: dict[str, tuple[tuple[int, ...], str]] = {
        "labels": ((count,), "iu"),
        "masks": ((count, height, width), "b"),
        "boxes": ((count, 4), "iuf"),
        "names": ((count,), "U"),
    }
    kinds = {"iu": "integers", "b": "bool", "iuf": "numbers", "U": "text"}
    for key, (shape, kind) in allowed.items():
        if key in arrays and (arrays[key].shape != shape or arrays[key].dtype.kind not in kind):
            raise InfodiscardError(
                f"'{key}' of '{path}' is {arrays[key].dtype} of shape {arrays[key].shape}; give {kinds[kind]} of shape "
                f"{shape}."
            )
    if "boxes" in arrays and "masks" not in arrays:
        arrays["masks"] = box_masks(torch.from_numpy(native(arrays["boxes"])), height, width).numpy()
    if "masks" in arrays and count:
        check_object(torch.from_numpy(arrays["masks"]))


def _samples(arrays: dict[str, np.ndarray], images: torch.Tensor) -> Iterator[Sample]:
    labels, names = arrays.get("labels"), arrays.get("names")
    for i in range(len(images)):
        yield Sample(
            name=str(i) if names is None else str(names[i]),
            read=partial(_sample, arrays, images, i),
            label=None if labels is None else int(labels[i]),
        )


def _sample(arrays: dict[str, np.ndarray], images: torch.Tensor, i: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    pixels = images[i]
    image = to_float(pixels) if pixels.dtype == torch.uint8 else pixels.to(torch.float32)
    if "masks" in arrays:
        return image, torch.from_numpy(arrays["masks"][i])
    return image, None
