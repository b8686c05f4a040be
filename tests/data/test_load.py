"""Loading by spec: every bad spec and option."""

from __future__ import annotations

from pathlib import Path

import pytest

from infodiscard import data
from infodiscard.errors import InfodiscardError


@pytest.mark.parametrize(
    "spec, message",
    [
        ("parket:x", "near it is 'parquet:PATTERN'"),
        ("cifar", "near it is 'cifar10'"),
        ("", "There is no data set"),
        ("cub", "names no file or folder"),
        ("npz:", "names no file or folder"),
        ("cifar10:x", "There is no data set"),
        ("npz:absent.npz", "There is no file"),
        (str(Path(__file__).parent), "does not say what it is; write 'folder:"),
        ("images.npz", "write 'npz:images.npz'"),
        ("parquet:absent-*.parquet", "No file matches"),
    ],
)
def test_bad_specs(spec: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        data.load(spec)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"samples": 0}, "1 or more"),
        ({"size": (0, 4)}, r"size was 0; it must be \(height, width\), or one number"),
        ({"split": "val"}, "split was 'val'; it can be 'train' or 'test'"),
        ({"crop": 1.5}, "for 'cub:DIR' only"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        data.load("demo", **options)
