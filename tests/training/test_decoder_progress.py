"""The training of one decoder: its learning rate and its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import ENOSPC
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from infodiscard.data import ImageSet
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network
from infodiscard.training.decoder_progress import rate
from infodiscard.training.train_decoders import train_decoders
from tiny_decoders import QUICK, same


def fails_after(calls: int, real: Callable[..., None]) -> Callable[..., None]:
    """The function until it was called so often, then a full disk."""
    count = 0

    def call(*args: Any) -> None:
        nonlocal count
        count += 1
        if count > calls:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        real(*args)

    return call


def test_the_rate_rises_and_falls_to_zero() -> None:
    rates = [rate(step, 100, 2.0) for step in range(100)]
    assert max(rates) == rates[9] == 2.0 and rates[0] == pytest.approx(0.2) and rates[-1] == pytest.approx(0, abs=1e-9)
    assert all(a > b for a, b in pairwise(rates[9:])) and rate(0, 1, 2.0) == 2.0


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_checkpoint_and_the_training_goes_on(
    network: Network, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_decoders(network, images, "conv1", tmp_path / "whole", **QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fails_after(1, Path.write_bytes))
        with pytest.raises(InfodiscardError, match=r"Could not write '.*conv1.*\.ckpt': No space left on device;"):
            train_decoders(network, images, "conv1", tmp_path / "full", **QUICK)
    (checkpoint,) = (tmp_path / "full").iterdir()
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 1
    assert same(train_decoders(network, images, "conv1", tmp_path / "full", **QUICK)["conv1"], whole["conv1"])


@pytest.mark.slow
def test_a_broken_checkpoint_is_not_taken_up(network: Network, images: ImageSet, tmp_path: Path) -> None:
    train_decoders(network, images, "conv1", tmp_path, stop_after=1, **QUICK)
    (checkpoint,) = tmp_path.iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(InfodiscardError, match="not a whole checkpoint of a decoder; delete it"):
        train_decoders(network, images, "conv1", tmp_path, **QUICK)
