"""Folders of pictures, one for each class."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infodiscard import data
from infodiscard.errors import InfodiscardError
from pictures import pixels, png


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
