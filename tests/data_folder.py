"""A folder of data sets as the studies take it, made on the spot: small pictures in the layouts of the real ones."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10


def picture(label: int, seed: int, size: int = 32) -> bytes:
    """Returns a PNG whose colours and stripes depend on its class, with noise."""
    generator = np.random.default_rng([label, seed])
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    stripes = 60 * np.sin((x * (label % 3 + 1) + y * (label % 4)) * 2 * np.pi / size * 2)
    base = 128 + stripes[..., None] * np.array([1, (label % 5) / 4, (label % 2)])
    pixels = np.clip(base + generator.normal(0, 20, (size, size, 3)), 0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_cifar10(folder: Path, train: int = 80, test: int = 40) -> None:
    """Writes `train-*` and `test-*` Parquet files as on the Hugging Face hub."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    folder.mkdir(parents=True)
    for split, count, seed in (("train", train, 0), ("test", test, 1000)):
        labels = [i % CLASSES for i in range(count)]
        rows = [
            {"image": {"bytes": picture(label, seed + i), "path": f"{split}{i}.png"}, "label": label}
            for i, label in enumerate(labels)
        ]
        parquet.write_table(pa.Table.from_pylist(rows), folder / f"{split}-00000-of-00001.parquet")


def write_cub(folder: Path, each: int = 6) -> None:
    """Writes ten classes of pictures with boxes in the layout of CUB-200-2011."""
    tables: dict[str, list[str]] = {name: [] for name in ("images", "labels", "split", "boxes")}
    number = 0
    for label in range(CLASSES):
        name = f"{label + 1:03}.Bird_{label}"
        (folder / "images" / name).mkdir(parents=True)
        for i in range(each):
            number += 1
            file = f"{name}/bird_{i}.png"
            (folder / "images" / file).write_bytes(picture(label, i, 48))
            tables["images"].append(f"{number} {file}")
            tables["labels"].append(f"{number} {label + 1}")
            tables["split"].append(f"{number} {int(i % 2 == 0)}")
            tables["boxes"].append(f"{number} 12.0 12.0 20.0 20.0")
    files = {
        "images": "images.txt",
        "labels": "image_class_labels.txt",
        "split": "train_test_split.txt",
        "boxes": "bounding_boxes.txt",
    }
    for key, file in files.items():
        (folder / file).write_text("\n".join(tables[key]) + "\n")
    (folder / "classes.txt").write_text("\n".join(f"{i + 1} {i + 1:03}.Bird_{i}" for i in range(CLASSES)) + "\n")
