"""CUB-200-2011: boxes, crops and segmentations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from infodiscard import data
from infodiscard.data.masks import box_mask
from infodiscard.errors import InfodiscardError
from pictures import pixels, png

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data are not here")


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
    assert images.options == {"split": "test", "crop": "1.5"}
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


@needs_shared
def test_real_cub() -> None:
    images = data.load(f"cub:{SHARED}/cub200_2011_first10", 4, (64, 48), crop=1.5)
    assert images.images.shape == (4, 3, 64, 48) and images.masks is not None and len(images.classes) == 10
    assert (images.masks.float().mean(dim=(1, 2)) > 0.4).all()
