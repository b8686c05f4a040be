"""Masks as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from infodiscard import data
from infodiscard.data.masks import box_mask
from infodiscard.errors import InfodiscardError
from pictures import png, write_pictures

BOX = box_mask((2, 1, 3, 4), 8, 10)
BYTES = BOX.numpy().astype(np.uint8)


def palette() -> Image.Image:
    """Returns a mask whose object has the palette's first place, and whose background is black."""
    picture = Image.fromarray(1 - BYTES, "L")
    picture.putpalette([255, 0, 0, 0, 0, 0])
    return picture


@pytest.mark.parametrize(
    "mask",
    [
        Image.fromarray(BYTES),
        Image.fromarray(BYTES * 255),
        Image.fromarray(BOX.numpy()),
        Image.fromarray((BYTES * 255)[..., None].repeat(3, 2)),
        Image.fromarray(BYTES.astype(np.uint16)),
        palette(),
    ],
    ids=["1", "255", "bool", "rgb", "16 bits", "palette"],
)
@pytest.mark.parametrize("name", ["masks/a.png", "Masks/a_mask.png", "masks/a.gif"])
def test_black_is_the_background(tmp_path: Path, mask: Image.Image, name: str) -> None:
    write_pictures(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / name).parent.mkdir()
    mask.save(tmp_path / name, "PNG")
    found = data.load(f"folder:{tmp_path}")
    assert found.names == ("a.jpg", "b.jpg") and found.masks is not None
    assert torch.equal(found.masks[0], BOX) and not found.masks[1].any()


def test_masks_of_class_folders_and_a_class_called_masks(tmp_path: Path) -> None:
    write_pictures(tmp_path, "cat/a.png", "dog/a.png", "masks/b.png")
    assert data.load(f"folder:{tmp_path}").classes == ("cat", "dog", "masks")
    (tmp_path / "masks" / "b.png").unlink()
    (tmp_path / "masks" / "dog").mkdir()
    (tmp_path / "masks" / "dog" / "a.png").write_bytes(png(BYTES))
    found = data.load(f"folder:{tmp_path}")
    assert found.classes == ("cat", "dog") and found.masks is not None and torch.equal(found.masks[1], BOX)


def test_pictures_in_images_and_masks_beside_it(tmp_path: Path) -> None:
    write_pictures(tmp_path, "images/a.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(png(BYTES))
    found = data.load(f"folder:{tmp_path}")
    assert found.names == ("a.png",) and found.labels is None and found.classes == ()
    assert found.masks is not None and torch.equal(found.masks[0], BOX)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.arange(80, dtype=np.uint8).reshape(8, 10), "'masks/a.png' has several values or colours beside black"),
        (BYTES + 1, "several values"),
        (np.zeros((4, 5), np.uint8), "is 4×5 pixels and its picture 'a.jpg' 8×10"),
    ],
)
def test_faults(tmp_path: Path, mask: np.ndarray, message: str) -> None:
    write_pictures(tmp_path, "a.jpg")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(png(mask))
    with pytest.raises(InfodiscardError, match=message):
        data.load(f"folder:{tmp_path}", keep_unreadable=True)


def test_a_broken_mask_leaves_its_picture_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, "a.jpg", "b.jpg", "masks/b.jpg")
    (tmp_path / "masks" / "a.png").write_bytes(b"broken")
    (tmp_path / "masks" / "b.jpg").write_bytes(png(BYTES))
    found = data.load(f"folder:{tmp_path}", keep_unreadable=True)
    assert "'masks/a.png' cannot be read" in found.unreadable["a.jpg"] and found.masks is not None
