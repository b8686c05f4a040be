"""CIFAR-10: the download, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from infodiscard import data
from infodiscard.errors import InfodiscardError
from pictures import pixels

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data are not here")


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
    assert images.options == {"split": "train"}


def test_cifar10_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    def download(**arguments: object) -> None:
        raise OSError("no route")

    monkeypatch.setenv("INFODISCARD_CACHE", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", download)
    with pytest.raises(InfodiscardError, match="cannot be downloaded"):
        data.load("cifar10")


@needs_shared
def test_real_cifar10() -> None:
    images = data.load(f"parquet:{SHARED}/cifar10/test-*.parquet", 3)
    assert images.images.shape == (3, 3, 32, 32) and images.names[0].endswith(".png") and images.labels is not None
