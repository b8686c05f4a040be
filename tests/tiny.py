"""A data set that a test can train on in a second, and what the tests of training compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from infodiscard import zoo
from infodiscard.networks.network import Network
from infodiscard.training.checkpoint import Trained
from infodiscard.training.train_network import train

SMALL = "resnet20,width=0.1"


def write_tiny(folder: Path, name: str = "tiny.npz", size: int = 32, **arrays: Any) -> str:
    """Writes twelve noisy images of two classes that differ in brightness.

    Args:
        folder: where to.
        name: of the file.
        size: height and width in pixels.
        arrays: further ones, or others in place of `labels`; `labels=None` for none.

    Returns:
        The spec of the data.
    """
    labels = np.arange(12) % 2
    noise = np.random.default_rng(0).integers(0, 60, (12, size, size, 3))
    images = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
    kept = {key: value for key, value in {"labels": labels, **arrays}.items() if value is not None}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / name, images=images, **kept)
    return f"npz:{folder / name}"


def write_weights(path: Path, spec: str, seed: int = 0) -> Path:
    """Writes a network's random weights, without a recipe."""
    save_file(zoo.load(spec, allow_random=True, seed=seed).module.state_dict(), path)
    return path


def same_weights(one: Path, other: Path) -> bool:
    """Whether two files hold the same tensors, to the last bit."""
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def trained(*arguments: Any, **options: Any) -> Trained:
    """Trains a network to the end."""
    end = train(*arguments, **options)
    assert end is not None
    return end


def small_module(seed: int = 0) -> nn.Sequential:
    """A module with a conv, a norm and a linear layer, with sizes that fill no vector register."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.Flatten(), nn.Linear(7 * 36, 10))


def random_network(spec: str) -> Network:
    """Returns a network of the zoo with random weights."""
    return zoo.load(f"zoo:{spec}", allow_random=True)
