"""Parquet shards in the layout of the Hugging Face hub: `image` {bytes, path}, `label`, and perhaps `name`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

import torch

from ...errors import InfodiscardError
from .sample import Sample, decode


def read(pattern: str) -> tuple[Iterator[Sample], tuple[str, ...]]:
    """Returns the rows of every file that matches, in the order of file names and rows, and the classes' names.

    Rows are read a small batch at a time, as they are asked for. Labels that are texts are classes, in order of name;
    those that are neither texts nor whole numbers, such as targets of a regression, are left out.

    Raises:
        InfodiscardError: pyarrow is missing, nothing matches, or the columns are not those of the layout.
    """
    parquet = _pyarrow()
    paths = sorted(Path(path) for path in glob(str(Path(pattern).expanduser()), recursive=True))
    if not paths:
        raise InfodiscardError(
            f"No file matches 'parquet:{pattern}'; give a Parquet file or a quoted pattern, such as "
            "'parquet:data/test-*.parquet'."
        )
    files = [_open(parquet, path) for path in paths]
    numbers = _numbers(paths, files)
    named = all(isinstance(label, str) for label in numbers)
    return _rows(paths, files, numbers), tuple(numbers) if numbers and named else _classes(files[0].schema_arrow)


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InfodiscardError(
            "Reading Parquet needs pyarrow; install it with pip install 'infodiscard[parquet]'."
        ) from error
    return pyarrow.parquet


def _open(parquet: Any, path: Path) -> Any:
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these two
        raise _broken(path, error) from error
    if "image" not in file.schema_arrow.names:
        raise InfodiscardError(
            f"'{path}' has the columns {', '.join(file.schema_arrow.names)} but no 'image'; give the layout of the "
            "Hugging Face hub: image {bytes, path}, label, and perhaps name."
        )
    return file


def _broken(path: Path, error: Exception) -> InfodiscardError:
    reason = str(error).split(". ")[0].rstrip(".")
    return InfodiscardError(f"'{path}' is not a whole Parquet file ({reason}); fetch it again or leave it out.")


def _numbers(paths: list[Path], files: list[Any]) -> dict[Any, int]:
    """Returns the number of the class that each label stands for; nothing if the labels are no classes."""
    found: list[Any] = []
    for path, file in zip(paths, files, strict=True):
        if "label" in file.schema_arrow.names:
            try:
                found += [label for label in file.read(columns=["label"])["label"].to_pylist() if label is not None]
            except OSError as error:
                raise _broken(path, error) from error
    if all(isinstance(label, str) for label in found):
        return {label: number for number, label in enumerate(sorted(set(found)))}
    whole = all(isinstance(label, int | float) and float(label).is_integer() for label in found)
    return {label: int(label) for label in found} if whole else {}


def _rows(paths: list[Path], files: list[Any], numbers: dict[Any, int]) -> Iterator[Sample]:
    for path, file in zip(paths, files, strict=True):
        columns = [name for name in ("image", "label", "name") if name in file.schema_arrow.names]
        try:
            row = 0
            for batch in file.iter_batches(batch_size=64, columns=columns):
                for record in batch.to_pylist():
                    yield _sample(record, f"{path.stem}:{row}", numbers)
                    row += 1
        except OSError as error:
            raise _broken(path, error) from error


def _sample(record: dict[str, Any], place: str, numbers: dict[Any, int]) -> Sample:
    image = record["image"]
    data = image.get("bytes") if isinstance(image, dict) else image
    name = record.get("name") or (image.get("path") if isinstance(image, dict) else None) or place
    if not isinstance(data, bytes):
        raise InfodiscardError(
            f"Row {place} has no bytes in its 'image' column; embed the picture files in the Parquet file."
        )
    return Sample(str(name), partial(_decode, data, str(name)), numbers.get(record.get("label")) if numbers else None)


def _decode(data: bytes, name: str) -> tuple[torch.Tensor, None]:
    return decode(data, name), None


def _classes(schema: Any) -> tuple[str, ...]:
    """Returns the names that the hub's metadata gives the labels, or none."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return tuple(features["label"]["names"])
    except (KeyError, TypeError, ValueError):
        return ()
