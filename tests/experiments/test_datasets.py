"""The folder of data sets: what is found in it, and what is missing."""

import shutil

import pytest

from data_folder import write_cifar10, write_cub
from infodiscard import data
from infodiscard.experiments.datasets import CUB_PAGE, CUB_TABLES, DataFolder
from studying import said


def shards(folder, split, total, missing=()):
    """Empty files named as the parts of a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in set(range(total)) - set(missing):
        (folder / f"{split}-{i:05}-of-{total:05}.parquet").touch()


def test_without_a_folder_cifar10_is_downloaded_and_nothing_else_is_there(tmp_path):
    folder = DataFolder()
    assert folder.cifar10("train") == folder.cifar10("test") == "cifar10" and folder.weights("resnet20") is None
    assert DataFolder(tmp_path).cifar10("train") == "cifar10"
    words = said(folder.cub)
    assert CUB_PAGE in words and "'CUB_200_2011'" in words and "--data-dir" in words
    words = said(DataFolder(tmp_path).cub)
    assert CUB_PAGE in words and f"in '{tmp_path}'" in words


def test_a_folder_that_is_not_there_is_named(tmp_path):
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").touch()
        words = said(DataFolder, place)
        assert str(place) in words and "--data-dir" in words


@pytest.mark.parametrize(("total", "missing"), [(4, [2]), (4, [0]), (4, [3]), (4, [1, 2, 3]), (2, [1])])
def test_a_missing_part_of_cifar10_is_named(tmp_path, total, missing):
    shards(tmp_path / "cifar10", "train", total, missing)
    shards(tmp_path / "cifar10", "test", 1)
    words = said(DataFolder(tmp_path).cifar10, "train")
    assert f"{tmp_path}/cifar10/train-{missing[0]:05}-of-{total:05}.parquet'" in words
    assert "huggingface-cli download uoft-cs/cifar10" in words
    assert DataFolder(tmp_path).cifar10("test") == f"parquet:{tmp_path}/cifar10/test-*.parquet"


def test_a_split_of_cifar10_without_any_file_is_named(tmp_path):
    shards(tmp_path / "cifar10", "train", 2)
    words = said(DataFolder(tmp_path).cifar10, "test")
    assert f"'{tmp_path}/cifar10/test-*.parquet'" in words and "huggingface-cli download" in words
    (tmp_path / "cifar10" / "test-all.parquet").touch()  # which says nothing of other parts
    assert DataFolder(tmp_path).cifar10("test").endswith("cifar10/test-*.parquet")


@pytest.mark.parametrize("name", ["data", "my [1] data*?"])
def test_data_sets_are_found_whatever_their_folder_is_called(tmp_path, name):
    root = tmp_path / name
    write_cifar10(root / "cifar10", 6, 4)
    write_cub(root / "cub-200", 2)
    (root / "CUB.tgz").touch()  # as it was downloaded
    folder = DataFolder(root)
    assert [len(data.load(folder.cifar10(split))) for split in ("train", "test")] == [6, 4]
    birds = data.load(folder.cub(), size=(8, 8))
    assert len(birds) == 10 and len(birds.classes) == 10
    (root / "weights").mkdir()
    assert folder.weights("resnet20") is None
    (root / "weights" / "resnet20_cifar10.safetensors").touch()
    assert folder.weights("resnet20") == root / "weights" / "resnet20_cifar10.safetensors"


def test_birds_that_were_not_unpacked_are_not_there(tmp_path):
    (tmp_path / "CUB_200_2011.tgz").touch()
    assert "fetch and unpack it" in said(DataFolder(tmp_path).cub)


@pytest.mark.parametrize("table", CUB_TABLES)
def test_a_missing_table_of_the_birds_is_named(tmp_path, table):
    write_cub(tmp_path / "CUB_200_2011", 1)
    assert DataFolder(tmp_path).cub() == f"cub:{tmp_path}/CUB_200_2011"
    path = tmp_path / "CUB_200_2011" / table
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    words = said(DataFolder(tmp_path).cub)
    assert f"'{path}' is missing" in words and CUB_PAGE in words
