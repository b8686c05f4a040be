"""Checkpoints and weights files: what is taken up, kept, and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from infodiscard import zoo
from infodiscard.errors import InfodiscardError
from infodiscard.training.train_network import train
from tiny import SMALL, same_weights, trained, write_tiny


def test_a_training_that_is_past_an_epoch_does_not_go_back_to_it(tiny: str, tmp_path: Path) -> None:
    options: dict = {"epochs": 4, "batch_size": 12}
    assert train(SMALL, tiny, tmp_path, stop_after=3, **options) is None
    before = (tmp_path / "last.ckpt").read_bytes()
    for epoch in (1, 3):
        assert train(SMALL, tiny, tmp_path, stop_after=epoch, **options) is None
        assert [path.name for path in tmp_path.iterdir() if path.suffix != ".npz"] == ["last.ckpt"]
        assert (tmp_path / "last.ckpt").read_bytes() == before


def test_data_and_weights_may_move_but_not_change(tiny: str, tmp_path: Path) -> None:
    start = trained(SMALL, tiny, tmp_path / "start", epochs=1, batch_size=12).weights
    options: dict = {"epochs": 2, "batch_size": 12, "lr": 0.1}
    assert train(SMALL, tiny, tmp_path / "out", weights=str(start), stop_after=1, **options) is None
    moved, start = write_tiny(tmp_path / "other", "images.npz"), start.rename(tmp_path / "start.safetensors")
    assert trained(SMALL, moved, tmp_path / "out", weights=str(start), **options).weights.exists()
    changed = write_tiny(tmp_path, "changed.npz", labels=np.zeros(12, int))
    with pytest.raises(InfodiscardError, match=r"differs in data, weights\)"):
        train(SMALL, changed, tmp_path / "out", **options)


def test_weights_of_epochs_are_kept_and_0_is_the_start(tiny: str, tmp_path: Path) -> None:
    options: dict = {"epochs": 2, "batch_size": 12, "seed": 3}
    end = trained(SMALL, tiny, tmp_path / "out", keep_epochs=(0, 2), **options)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "epoch-000.safetensors", "epoch-002.safetensors", "last.ckpt", "resnet20.safetensors",
    ]  # fmt: skip
    start = load_file(tmp_path / "out" / "epoch-000.safetensors")
    random = zoo.load(f"zoo:{SMALL}", allow_random=True, seed=3).module.state_dict()
    assert start.keys() == random.keys() and all(torch.equal(start[key], random[key]) for key in random)
    assert same_weights(end.weights, tmp_path / "out" / "epoch-002.safetensors")
    assert zoo.load(str(tmp_path / "out" / "epoch-000.safetensors")).name == "epoch-000"
    assert same_weights(end.weights, trained(SMALL, tiny, tmp_path / "bare", **options).weights)


def test_epochs_that_cannot_be_kept_any_more(tiny: str, tmp_path: Path) -> None:
    options: dict = {"epochs": 2, "batch_size": 12}
    assert train(SMALL, tiny, tmp_path, stop_after=1, keep_epochs=(1,), **options) is None
    with pytest.raises(InfodiscardError, match="past epoch 0, whose weights were not kept; choose another folder"):
        train(SMALL, tiny, tmp_path, keep_epochs=(0, 1), **options)
    trained(SMALL, tiny, tmp_path, keep_epochs=(1,), **options)
    with pytest.raises(InfodiscardError, match="past epoch 2, whose"):
        train(SMALL, tiny, tmp_path, keep_every=1, **options)


def test_a_checkpoint_of_another_recipe_is_not_taken_up(tiny: str, tmp_path: Path) -> None:
    train("resnet20", tiny, tmp_path, epochs=2, batch_size=12, stop_after=1)
    with pytest.raises(InfodiscardError, match=r"differs in epochs, seed\)"):
        train("resnet20", tiny, tmp_path, epochs=3, batch_size=12, seed=1)
    (tmp_path / "last.ckpt").write_bytes(b"nonsense")
    with pytest.raises(InfodiscardError, match="not a whole checkpoint"):
        train("resnet20", tiny, tmp_path, epochs=2, batch_size=12)


def test_a_file_of_someone_else_is_not_overwritten(tiny: str, tmp_path: Path) -> None:
    path = tmp_path / "resnet20.safetensors"
    save_file(zoo.load(f"zoo:{SMALL}", allow_random=True).module.state_dict(), path)
    for content in (path.read_bytes(), b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(InfodiscardError, match="not the weights file of a training; move it"):
            train(SMALL, tiny, tmp_path, epochs=1, batch_size=12)
        assert path.read_bytes() == content and not (tmp_path / "last.ckpt").exists()
