"""NumPy archives, the user's and the one in the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from infodiscard import data
from infodiscard.errors import InfodiscardError
from pictures import pixels


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


def test_demo_has_every_class_and_a_mask_each() -> None:
    images = data.load("demo")
    assert images.images.shape == (12, 3, 32, 32) and len(images.classes) == 10
    assert images.labels is not None and set(images.labels.tolist()) == set(range(10))
    assert images.masks is not None
    share = images.masks.float().mean(dim=(1, 2))
    assert share.min() > 0.1 and share.max() < 0.7


@pytest.mark.parametrize("dtype", [">f4", ">f8", "longdouble", "float16", ">f2"])
def test_npz_floats_of_any_kind(tmp_path: Path, dtype: str) -> None:
    pictures = np.linspace(0, 1, 2 * 3 * 64).reshape(2, 3, 8, 8)
    arrays = {"labels": np.array([1, 0], ">i8"), "boxes": np.array([[0, 0, 5, 8]] * 2, ">f4")}
    images = data.load(save(tmp_path, images=pictures.astype(dtype), **arrays))
    torch.testing.assert_close(images.images, torch.from_numpy(pictures).float(), atol=1e-3, rtol=0)
    assert images.known_labels().tolist() == [1, 0] and images.masks is not None and images.masks[0].sum() == 40
