"""Data sets and a network that the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from infodiscard.data import ImageSet
from infodiscard.networks.network import Network
from tiny import write_tiny
from tiny_decoders import smooth_images, tiny_network


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return write_tiny(tmp_path)


@pytest.fixture
def network() -> Network:
    return tiny_network()


@pytest.fixture
def images() -> ImageSet:
    return smooth_images()
