"""Folders of pictures, one for each class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from infodiscard import data, measure
from infodiscard.data.masks import box_mask
from infodiscard.errors import InfodiscardError
from pictures import pixels, png, write_pictures


def test_folder_in_the_order_of_paths(tmp_path: Path) -> None:
    for name, seed in (("dog/b.png", 0), ("dog/a.png", 1), ("cat/z.png", 2)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(pixels(seed)))
    (tmp_path / "dog" / "notes.txt").write_text("not a picture")
    images = data.load(f"folder:{tmp_path}")
    assert images.names == ("cat/z.png", "dog/a.png", "dog/b.png") and images.classes == ("cat", "dog")
    assert images.labels is not None and images.labels.tolist() == [0, 1, 1] and images.masks is None
    torch.testing.assert_close(images.images[0], torch.from_numpy(pixels(2)).permute(2, 0, 1) / 255)


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    write_pictures(tmp_path, "b.png", "a.png", "ü.PNG", ".hidden.png", "._a.png")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text.txt").touch()
    images = data.load(f"folder:{tmp_path}")
    assert images.names == ("a.png", "b.png", "ü.PNG") and images.classes == () and images.labels is None
    assert images.masks is None and images.notes == () and images.options == {}
    torch.testing.assert_close(images.images[1], torch.from_numpy(pixels(0)).permute(2, 0, 1) / 255)


def test_pictures_beside_class_folders_are_not_left_out_without_a_word(tmp_path: Path) -> None:
    write_pictures(tmp_path, "a.png", "cat/b.png")
    with pytest.raises(
        InfodiscardError, match=r"holds pictures itself \('a.png'\), and folders .* \('cat'\) as if they"
    ):
        data.load(f"folder:{tmp_path}")


@pytest.mark.parametrize("names", [("images/b.png", "images/a.png"), ("images/cat/a.png", "images/dog/a.png")])
def test_a_single_folder_images_is_no_class(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_pictures(tmp_path, *names)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "readme.txt").touch()
    images = data.load(f"folder:{tmp_path}")
    assert images.names == tuple(sorted(name.removeprefix("images/") for name in names))
    assert images.classes == (("cat", "dog") if "cat" in names[0] else ())


def test_the_object_goes_the_way_of_its_picture(tmp_path: Path) -> None:
    """Resized and cropped, white on black is the object where the picture shows at least half of it."""
    rows = ["name,x,y,width,height"]
    for name, height, width, box in (
        ("a", 40, 70, (3, 4, 50, 31)),
        ("b", 90, 30, (10, 40, 13, 21)),
        ("c", 9, 9, (1, 2, 4, 4)),
    ):
        picture = box_mask(box, height, width).numpy() * np.uint8(255)
        (tmp_path / f"{name}.png").write_bytes(png(picture))
        rows.append(",".join(map(str, (f"{name}.png", *box))))
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    for size in ((24, 24), (17, 40), (60, 20)):
        images = data.load(f"folder:{tmp_path}", size=size)
        assert images.masks is not None and images.masks.flatten(1).any(1).all()
        assert torch.equal(images.masks, images.images[:, 0] >= 0.5)
        assert images.options == {"size": f"{size[0]}x{size[1]}"}


def test_an_object_that_the_crop_leaves_out_is_told(tmp_path: Path) -> None:
    write_pictures(tmp_path, "a.png", "b.png", height=8, width=32)
    (tmp_path / "boxes.csv").write_text("name,x,y,width,height\na.png,0,0,4,8\nb.png,12,0,8,8\n")
    images = data.load(f"folder:{tmp_path}", size=(8, 8))
    assert images.notes == (
        "Pictures of whose object nothing is left in the size and crop, and so no concentration: 1 of 2, such as "
        "'a.png'.",
    )


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
    with pytest.raises(InfodiscardError, match=r"holds no pictures .* a folder of pictures per class"):
        data.load(f"folder:{tmp_path}")
    (tmp_path / "x").mkdir()
    with pytest.raises(InfodiscardError, match="no images"):
        data.load(f"folder:{tmp_path}")


@pytest.mark.parametrize("folder", [b"a", b"\xe9t\xe9"])
@pytest.mark.parametrize("file", [b"caf\xe9.png", "café.png".encode(), "日本.png".encode("shift-jis")])
def test_names_in_any_encoding(tmp_path: Path, folder: bytes, file: bytes) -> None:
    root = os.fsencode(tmp_path)
    try:
        os.mkdir(root + b"/" + folder)
        for i, name in enumerate((file, b"x.png")):
            with open(root + b"/" + folder + b"/" + name, "wb") as stream:
                stream.write(png(pixels(i)))
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    images = data.load(f"folder:{tmp_path}")
    assert len(set(images.names)) == 2 and all(name.encode() for name in (*images.names, *images.classes))
    run = measure(torch.nn.Conv2d(3, 2, 3).eval(), images, ["output"], max_passes=256, progress=False)
    assert list(run.dataset["sample"].values) == list(images.names)


@pytest.mark.parametrize(
    "copy",
    [
        "a/.ipynb_checkpoints/x-checkpoint.png",
        "a/@eaDir/x.png",
        "a/@eaDir/x.png/thumb.png",
        "a/._x.png",
        "__MACOSX/a/x.png",
        "@eaDir/x.png",
        ".git/x.png",
        "a/deep/.hidden/x.png",
        "a/#recycle/x.png",
        "a/Thumbs.db",
        "a/.DS_Store",
    ],
)
def test_what_systems_leave_behind_is_no_sample(tmp_path: Path, copy: str) -> None:
    for name in ("a/x.png", "a/deep/y.png", copy):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(pixels()))
    images = data.load(f"folder:{tmp_path}")
    assert images.names == ("a/deep/y.png", "a/x.png") and images.classes == ("a",)


def test_a_folder_within_a_hidden_one_is_read(tmp_path: Path) -> None:
    place = tmp_path / ".cache" / "set" / "a"
    place.mkdir(parents=True)
    (place / "x.png").write_bytes(png(pixels()))
    assert data.load(f"folder:{place.parent}").names == ("a/x.png",)
