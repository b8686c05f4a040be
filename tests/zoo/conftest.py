"""A user's Python file with networks in it."""

from pathlib import Path

import pytest

NET = """
from dataclasses import dataclass

import torch
from torch import nn

from infodiscard.networks.network import Network

@dataclass
class Settings:
    width: int = 2

def module():
    return nn.Linear(Settings().width, 1)

def network():
    return Network(module(), "mine", mean=(0.5,), std=(0.5,))

def number():
    return 3

def failing():
    raise RuntimeError("no luck")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path
