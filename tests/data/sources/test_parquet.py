"""Parquet shards in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infodiscard import data
from infodiscard.errors import InfodiscardError
from pictures import pixels, png


def write_parquet(path: Path, rows: list[dict], classes: tuple[str, ...] = ()) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(rows)
    if classes:
        features = {"label": {"names": list(classes), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


def parquet_row(seed: int, **more: object) -> dict:
    return {"image": {"bytes": png(pixels(seed)), "path": None}, "label": seed} | more


def test_parquet_shards_in_order(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test-1.parquet", [parquet_row(1)], ("cat", "dog", "cow"))
    write_parquet(tmp_path / "test-0.parquet", [parquet_row(0), parquet_row(2)], ("cat", "dog", "cow"))
    images = data.load(f"parquet:{tmp_path}/test-*.parquet")
    assert images.names == ("test-0:0", "test-0:1", "test-1:0") and images.classes == ("cat", "dog", "cow")
    assert images.labels is not None and images.labels.tolist() == [0, 2, 1]
    torch.testing.assert_close(images.images[1], torch.from_numpy(pixels(2)).permute(2, 0, 1) / 255)


def test_parquet_names_and_no_more_rows_than_asked(tmp_path: Path) -> None:
    broken = {"image": {"bytes": b"broken", "path": None}, "label": 1, "name": "b"}
    write_parquet(tmp_path / "x.parquet", [parquet_row(0, name="a"), broken])
    images = data.load(f"parquet:{tmp_path / 'x.parquet'}", samples=1)
    assert images.names == ("a",) and images.classes == ()
    with pytest.raises(InfodiscardError, match="'b' cannot be read"):
        data.load(f"parquet:{tmp_path / 'x.parquet'}")


def truncated(path: Path) -> None:
    """A footer in order over pages that are not: only reading the rows finds out."""
    write_parquet(path, [parquet_row(0)])
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: path.write_bytes(b"nonsense"), "not a whole Parquet file"),
        (lambda path: path.write_bytes(b""), "not a whole Parquet file"),
        (truncated, "not a whole Parquet file"),
        (lambda path: write_parquet(path, [{"picture": b"", "label": 0}]), "no 'image'"),
        (lambda path: write_parquet(path, [{"image": {"bytes": None, "path": "a.png"}}]), "no bytes"),
        (lambda path: write_parquet(path, [parquet_row(0), parquet_row(1, label=None)]), "have no label"),
    ],
)
def test_parquet_faults(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "x.parquet")
    with pytest.raises(InfodiscardError, match=message):
        data.load(f"parquet:{tmp_path / 'x.parquet'}")


def test_parquet_without_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "x.parquet")
    with pytest.raises(InfodiscardError, match="holds no images"):
        data.load(f"parquet:{tmp_path / 'x.parquet'}")


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[parquet\]'"):
        data.load("parquet:x.parquet")


@pytest.mark.parametrize(
    ("labels", "numbers", "classes"),
    [
        (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog")),
        ([True, False, True], [1, 0, 1], ()),
        ([2.0, 0.0, 1.0], [2, 0, 1], ()),
        ([0.2, 0.9, 1.0], None, ()),
        ([0.0, float("nan"), 1.0], None, ()),
        ([[0, 1], [1], []], None, ()),
        ([{"id": 1}, {"id": 2}, {"id": 1}], None, ()),
        ([None, None, None], None, ()),
    ],
)
def test_parquet_labels(tmp_path: Path, labels: list, numbers: list | None, classes: tuple) -> None:
    for i, label in enumerate(labels):  # a shard each: a class has its number from all of them
        write_parquet(tmp_path / f"{i}.parquet", [parquet_row(i, label=label)])
    images = data.load(f"parquet:{tmp_path}/*.parquet")
    assert (None if images.labels is None else images.labels.tolist()) == numbers and images.classes == classes
    first = data.load(f"parquet:{tmp_path}/*.parquet", samples=1)
    assert first.classes == classes and (numbers is None or first.known_labels().tolist() == numbers[:1])


def test_parquet_of_dictionary_texts(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [parquet_row(0), parquet_row(1)]
    label = pa.array(["b", "a"]).dictionary_encode()
    pq.write_table(pa.table({"image": [row["image"] for row in rows], "label": label}), tmp_path / "x.parquet")
    images = data.load(f"parquet:{tmp_path / 'x.parquet'}")
    assert images.known_labels().tolist() == [1, 0] and images.classes == ("a", "b")
