"""Data sets: every spec, from files made on the spot; the geometry of boxes and masks; every bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from infodiscard import data
from infodiscard.data import ImageSet
from infodiscard.data.imageset import unique
from infodiscard.data.sources.sample import box_mask, crop_window, fit
from infodiscard.errors import InfodiscardError

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data are not here")


def pixels(seed: int = 0, height: int = 8, width: int = 10, channels: int = 3) -> np.ndarray:
    """Returns a random picture, uint8 `height × width × channels`."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(picture: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(picture.squeeze()).save(stream, "PNG")
    return stream.getvalue()


# The set


def test_take_keeps_the_parts_together() -> None:
    images = ImageSet(torch.rand(4, 3, 2, 2), torch.arange(4), torch.ones(4, 2, 2, dtype=torch.bool), tuple("abcd"))
    few = images.take(2)
    assert len(few) == 2 and few.names == ("a", "b") and few.labels is not None and few.masks is not None
    assert few.labels.tolist() == [0, 1] and few.masks.shape == (2, 2, 2)
    assert len(images.take(9)) == 4


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"images": torch.rand(3, 2, 2)}, "samples × channels"),
        ({"names": ("a", "a")}, "1 different names"),
        ({"labels": torch.arange(3)}, "one label per image"),
        ({"labels": torch.tensor([0, 2]), "classes": ("x", "y")}, "0 to 2"),
        ({"masks": torch.ones(2, 3, 3)}, r"\(2, 2, 2\)"),
    ],
)
def test_parts_that_do_not_fit(parts: dict, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        ImageSet(**({"images": torch.rand(2, 3, 2, 2)} | parts))


def test_take_nothing() -> None:
    with pytest.raises(InfodiscardError, match="1 or more"):
        ImageSet(torch.rand(2, 3, 2, 2)).take(0)


def test_repeated_names_are_marked() -> None:
    assert unique(["a", "b", "a", "a", "a#2"]) == ("a", "b", "a#2", "a#3", "a#2#2")


# Boxes and sizes


def test_box_mask_counts_whole_pixels() -> None:
    mask = box_mask((2, 1, 3, 2), 6, 7)
    assert mask.sum() == 6 and mask[1:3, 2:5].all()


def test_crop_window_grows_about_the_centre_and_stops_at_the_edge() -> None:
    assert crop_window((4, 4, 4, 2), 1.0, 20, 20) == (slice(4, 6), slice(4, 8))
    assert crop_window((4, 4, 4, 2), 1.5, 20, 20) == (slice(4, 6), slice(3, 9))  # 4.25 … 5.75 … rounded
    assert crop_window((4, 4, 4, 2), 9.0, 20, 20) == (slice(0, 14), slice(0, 20))
    assert crop_window((4, 4, 4, 2), float("inf"), 20, 20) == (slice(0, 20), slice(0, 20))
    assert crop_window((25, 25, 4, 2), 1.0, 20, 20) == (slice(19, 20), slice(19, 20))


def test_fit_covers_and_crops_the_centre() -> None:
    """A picture twice as wide as the size loses its sides, and its mask with them."""
    image = torch.zeros(3, 8, 16)
    image[:, :, 4:12] = 1
    mask = box_mask((4, 2, 4, 4), 8, 16)
    small, small_mask = fit(image, mask, (4, 4))
    assert small.shape == (3, 4, 4) and small[:, :, 1:3].min() == 1 and small_mask is not None
    assert torch.equal(small_mask, box_mask((0, 1, 2, 2), 4, 4))


def test_fit_agrees_with_torchvision() -> None:
    from torchvision.transforms import functional

    for height, width in ((50, 37), (37, 51), (16, 33), (5, 4)):
        image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
        usual = functional.center_crop(functional.resize(image, 16, antialias=True), 16)
        torch.testing.assert_close(fit(image, None, (16, 16))[0], usual, atol=1e-5, rtol=0)


def test_fit_leaves_the_right_size_alone() -> None:
    image = torch.rand(3, 4, 5)
    assert torch.equal(fit(image, None, (4, 5))[0], image)


# npz


def save(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path / "set.npz", **arrays)
    return f"npz:{path / 'set.npz'}"


def test_npz_bytes_with_boxes(tmp_path: Path) -> None:
    pictures = np.stack([pixels(i) for i in range(3)])
    spec = save(
        tmp_path,
        images=pictures,
        labels=np.array([1, 0, 1]),
        boxes=np.array([[0, 0, 5, 8]] * 3),
        names=np.array(["a", "b", "c"]),
        classes=np.array(["cat", "dog"]),
    )
    images = data.load(spec, 2)
    assert torch.equal(images.images, torch.from_numpy(pictures[:2]).permute(0, 3, 1, 2).float() / 255)
    assert images.labels is not None and images.labels.tolist() == [1, 0] and images.labels.dtype == torch.int64
    assert images.names == ("a", "b") and images.classes == ("cat", "dog") and images.source == spec
    assert images.masks is not None and images.masks[:, :, :5].all() and not images.masks[:, :, 5:].any()


def test_npz_floats_with_masks_through_a_size(tmp_path: Path) -> None:
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[:, :4] = True
    images = data.load(save(tmp_path, images=np.random.default_rng(0).random((2, 1, 8, 8)), masks=masks), size=(4, 4))
    assert images.images.shape == (2, 1, 4, 4) and images.images.dtype == torch.float32
    assert images.masks is not None and images.masks[:, :2].all() and not images.masks[:, 2:].any()
    assert images.labels is None and images.names == ("0", "1")


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"pictures": np.zeros(1)}, "no 'images'"),
        ({"images": np.zeros((2, 8, 8, 3), dtype=np.int64)}, "int64"),
        ({"images": np.zeros((2, 8, 8, 3), dtype=np.float32)}, "N×C×H×W"),
        ({"images": np.zeros((2, 3, 8, 8), dtype=np.uint8)}, "N×H×W×C"),
        ({"images": np.zeros((8, 8, 3), dtype=np.uint8)}, "shape"),
        ({"images": np.full((2, 3, 8, 8), 2.0)}, "from 2 to 2"),
        ({"images": np.full((2, 3, 8, 8), np.nan)}, r"in \[0, 1\]"),
        ({"images": np.zeros((0, 8, 8, 3), dtype=np.uint8)}, "no images"),
        ({"images": np.zeros((2, 8, 8, 3), dtype=np.uint8), "labels": np.zeros(3, dtype=int)}, r"shape \(2,\)"),
        ({"images": np.zeros((2, 8, 8, 3), dtype=np.uint8), "labels": np.zeros(2)}, "integers"),
        ({"images": np.zeros((2, 8, 8, 3), dtype=np.uint8), "masks": np.zeros((2, 8, 8))}, "bool"),
        ({"images": np.zeros((2, 8, 8, 3), dtype=np.uint8), "boxes": np.zeros((2, 5))}, r"shape \(2, 4\)"),
        ({"images": np.zeros((2, 8, 8, 3), dtype=np.uint8), "names": np.array([{}, {}])}, "plain arrays"),
    ],
)
def test_npz_faults(tmp_path: Path, arrays: dict, message: str) -> None:
    spec = save(tmp_path, **arrays)
    with pytest.raises(InfodiscardError, match=message):
        data.load(spec)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04broken"])
def test_npz_broken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InfodiscardError, match=r"not a whole \.npz"):
        data.load(f"npz:{tmp_path / 'x.npz'}")


def test_npz_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(InfodiscardError, match="single array"):
        data.load(f"npz:{tmp_path / 'x.npy'}")


# Folders


def test_folder_in_the_order_of_paths(tmp_path: Path) -> None:
    for name, seed in (("dog/b.png", 0), ("dog/a.png", 1), ("cat/z.png", 2)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(pixels(seed)))
    (tmp_path / "dog" / "notes.txt").write_text("not a picture")
    images = data.load(f"folder:{tmp_path}")
    assert images.names == ("cat/z.png", "dog/a.png", "dog/b.png") and images.classes == ("cat", "dog")
    assert images.labels is not None and images.labels.tolist() == [0, 1, 1] and images.masks is None
    torch.testing.assert_close(images.images[0], torch.from_numpy(pixels(2)).permute(2, 0, 1) / 255)


def test_folder_makes_grey_pictures_colour_and_reads_no_more_than_asked(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(png(pixels(channels=1)))
    (tmp_path / "x" / "b.png").write_bytes(b"broken")
    images = data.load(f"folder:{tmp_path}", samples=1)
    assert images.images.shape == (1, 3, 8, 10) and torch.equal(images.images[:, 0], images.images[:, 2])
    with pytest.raises(InfodiscardError, match=r"'x/b\.png' cannot be read"):
        data.load(f"folder:{tmp_path}")


def test_folder_of_several_sizes_needs_a_size(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.png").write_bytes(png(pixels(height=8)))
    (tmp_path / "x" / "b.png").write_bytes(png(pixels(height=9)))
    with pytest.raises(InfodiscardError, match="give a size"):
        data.load(f"folder:{tmp_path}")
    assert data.load(f"folder:{tmp_path}", size=(6, 6)).images.shape == (2, 3, 6, 6)


def test_folder_faults(tmp_path: Path) -> None:
    with pytest.raises(InfodiscardError, match="There is no folder"):
        data.load(f"folder:{tmp_path / 'absent'}")
    with pytest.raises(InfodiscardError, match="one per class"):
        data.load(f"folder:{tmp_path}")
    (tmp_path / "x").mkdir()
    with pytest.raises(InfodiscardError, match="no images"):
        data.load(f"folder:{tmp_path}")


# Parquet


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


# CUB-200-2011


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    """Two birds, one in each split, with the box x 2 … 6, y 2 … 6 of a 10×12 picture."""
    tables = {
        "classes": "1 001.Crow\n2 002.Wren\n",
        "images": "1 001.Crow/a.png\n2 002.Wren/b.png\n",
        "image_class_labels": "1 1\n2 2\n",
        "train_test_split": "1 1\n2 0\n",
        "bounding_boxes": "1 2.0 2.0 4.0 4.0\n2 2.0 2.0 4.0 4.0\n",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.txt").write_text(text)
    for i, name in enumerate(("001.Crow/a.png", "002.Wren/b.png")):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        (tmp_path / "images" / name).write_bytes(png(pixels(i, 10, 12)))
    return tmp_path


def test_cub_crops_to_the_box(cub: Path) -> None:
    images = data.load(f"cub:{cub}")
    assert images.names == ("002.Wren/b.png",) and images.classes == ("001.Crow", "002.Wren")
    assert images.labels is not None and images.labels.tolist() == [1]
    torch.testing.assert_close(
        images.images[0], torch.from_numpy(pixels(1, 10, 12)).permute(2, 0, 1)[:, 2:6, 2:6] / 255
    )
    assert images.masks is not None and images.masks.all()
    assert data.load(f"cub:{cub}", split="train").names == ("001.Crow/a.png",)


def test_cub_maps_the_box_into_a_wider_crop_and_a_size(cub: Path) -> None:
    images = data.load(f"cub:{cub}", crop=1.5)
    assert images.masks is not None and torch.equal(images.masks[0], box_mask((1, 1, 4, 4), 6, 6))
    larger = data.load(f"cub:{cub}", size=(12, 12), crop=1.5)
    assert larger.masks is not None and torch.equal(larger.masks[0], box_mask((2, 2, 8, 8), 12, 12))
    assert data.load(f"cub:{cub}", crop=float("inf")).images.shape == (1, 3, 10, 12)


@pytest.mark.parametrize("inside", [True, False])
def test_cub_prefers_segmentations(cub: Path, inside: bool) -> None:
    mask = np.zeros((10, 12, 1), dtype=np.uint8)
    mask[3, 3] = 255
    path = (cub if inside else cub.parent) / "segmentations" / "002.Wren" / "b.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(png(mask))
    images = data.load(f"cub:{cub}")
    assert images.masks is not None and images.masks.sum() == 1 and images.masks[0, 1, 1]


def test_cub_segmentation_of_another_size(cub: Path) -> None:
    path = cub / "segmentations" / "002.Wren" / "b.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(png(pixels(channels=1)))
    with pytest.raises(InfodiscardError, match="fetch both again"):
        data.load(f"cub:{cub}")


def test_cub_faults(cub: Path) -> None:
    with pytest.raises(InfodiscardError, match="not above 0"):
        data.load(f"cub:{cub}", crop=0)
    (cub / "bounding_boxes.txt").write_text("1 2 2 4 4\n")
    with pytest.raises(InfodiscardError, match="do not fit together"):
        data.load(f"cub:{cub}")
    (cub / "bounding_boxes.txt").unlink()
    with pytest.raises(InfodiscardError, match=r"bounding_boxes\.txt' cannot be read"):
        data.load(f"cub:{cub}")


def test_cub_missing_picture(cub: Path) -> None:
    (cub / "images" / "002.Wren" / "b.png").unlink()
    with pytest.raises(InfodiscardError, match="cannot be read"):
        data.load(f"cub:{cub}")


# CIFAR-10


def test_cifar10_is_fetched_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The download itself is torchvision's; here it is replaced by one picture."""
    import torchvision

    def download(root: str, train: bool, download: bool) -> SimpleNamespace:
        assert root == str(tmp_path) and download
        return SimpleNamespace(data=pixels(0, 32, 32)[None], targets=[int(train)], classes=["a", "b"])

    monkeypatch.setenv("INFODISCARD_CACHE", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", download)
    images = data.load("cifar10", split="train")
    assert images.names == ("train-00000",) and images.classes == ("a", "b") and images.images.shape == (1, 3, 32, 32)


def test_cifar10_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    def download(**arguments: object) -> None:
        raise OSError("no route")

    monkeypatch.setenv("INFODISCARD_CACHE", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", download)
    with pytest.raises(InfodiscardError, match="cannot be downloaded"):
        data.load("cifar10")


# The carried images


def test_demo_has_every_class_and_a_mask_each() -> None:
    images = data.load("demo")
    assert images.images.shape == (12, 3, 32, 32) and len(images.classes) == 10
    assert images.labels is not None and set(images.labels.tolist()) == set(range(10))
    assert images.masks is not None
    share = images.masks.float().mean(dim=(1, 2))
    assert share.min() > 0.1 and share.max() < 0.7


# Specs


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
        ({"size": (0, 4)}, "1 pixel or more"),
        ({"split": "val"}, "choose 'train' or 'test'"),
        ({"crop": 1.5}, "for 'cub:DIR' only"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        data.load("demo", **options)


# Real data


@needs_shared
def test_real_cifar10() -> None:
    images = data.load(f"parquet:{SHARED}/cifar10/test-*.parquet", 3)
    assert images.images.shape == (3, 3, 32, 32) and images.names[0].endswith(".png") and images.labels is not None


@needs_shared
def test_real_cub() -> None:
    images = data.load(f"cub:{SHARED}/cub200_2011_first10", 4, (64, 48), crop=1.5)
    assert images.images.shape == (4, 3, 64, 48) and images.masks is not None and len(images.classes) == 10
    assert (images.masks.float().mean(dim=(1, 2)) > 0.4).all()
