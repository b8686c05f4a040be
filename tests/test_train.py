"""The training recipe: augmentation, seeds, resuming, and what it leaves behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from infodiscard import zoo
from infodiscard.data import ImageSet
from infodiscard.errors import InfodiscardError
from infodiscard.train import Batches, Recipe, accuracy, augment, train


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """Two classes that differ in brightness, twelve images."""
    labels = np.arange(12) % 2
    noise = np.random.default_rng(0).integers(0, 60, (12, 32, 32, 3))
    np.savez(tmp_path / "tiny.npz", images=(noise + 150 * labels[:, None, None, None]).astype(np.uint8), labels=labels)
    return f"npz:{tmp_path / 'tiny.npz'}"


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return all(torch.equal(first[key], second[key]) for key in first)


# Augmentation


def test_augment_only_shifts_and_flips() -> None:
    """Each result is one of the 9 × 9 × 2 that padding, cropping and flipping give, found by trying them all."""
    images = torch.randint(1, 256, (6, 5, 7, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = augment(images, torch.Generator().manual_seed(1))
    assert made.shape == (6, 2, 5, 7) and made.dtype == torch.float32
    for image, result in zip(images.permute(0, 3, 1, 2).float() / 255, made, strict=True):
        padded = torch.nn.functional.pad(image, (4, 4, 4, 4))
        crops = [padded[:, i : i + 5, j : j + 7] for i in range(9) for j in range(9)]
        assert any(torch.equal(result, crop) or torch.equal(result, crop.flip(2)) for crop in crops)


def test_augment_without_a_shift_flips_about_half() -> None:
    images = torch.arange(3, dtype=torch.uint8).view(1, 1, 3, 1).repeat(400, 1, 1, 1)
    flipped = augment(images, torch.Generator().manual_seed(0), shift=0)[:, 0, 0, 0] > 0
    assert 150 < flipped.sum() < 250


def test_an_epoch_shows_every_image_once_and_depends_on_its_seed() -> None:
    labels = torch.arange(10)
    images = torch.zeros(10, 32, 32, 3, dtype=torch.uint8)
    epochs = [torch.cat([batch for _, batch in Batches(images, labels, 4, seed)]) for seed in (0, 0, 1)]
    assert sorted(epochs[0].tolist()) == list(range(10)) and len(Batches(images, labels, 4, 0)) == 3
    assert torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[0], epochs[2])


def test_accuracy_counts() -> None:
    network = zoo.load("zoo:resnet20", allow_random=True)
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = network.module(network.normalise(images)).argmax(1)
    labels[0] = (labels[0] + 1) % 10
    assert accuracy(network, ImageSet(images, labels), batch_size=2) == 0.8
    with pytest.raises(InfodiscardError, match="no labels"):
        accuracy(network, ImageSet(images))


# Training


@pytest.mark.slow
def test_training_learns_and_leaves_only_its_weights(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    result = train("resnet20", tiny, tmp_path / "out", test_data=tiny, epochs=10, batch_size=4, lr=0.01)
    assert torch.equal(before, torch.get_rng_state())
    assert result is not None and result.accuracy is not None and result.accuracy > 0.8
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["last.ckpt", "out", "resnet20.safetensors", "tiny.npz"]
    with safe_open(result.weights, "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["recipe"])["epochs"] == 10 and float(metadata["test_accuracy"]) > 0.8
    shown = capsys.readouterr()
    assert "epoch 10/10" in shown.out and "test accuracy" in shown.out and not shown.err
    assert not zoo.load("zoo:resnet20", result.weights).module.training


@pytest.mark.slow
def test_going_on_equals_going_through(tiny: str, tmp_path: Path) -> None:
    options: dict = {"epochs": 3, "batch_size": 4, "seed": 5, "keep_every": 2}
    whole = train("resnet20", tiny, tmp_path / "whole", **options)
    assert train("resnet20", tiny, tmp_path / "parts", stop_after=1, **options) is None
    parts = train("zoo:resnet20", tiny, tmp_path / "parts", **options)
    assert whole is not None and parts is not None and whole.accuracy is None
    for name in (whole.weights.name, "epoch-002.safetensors"):
        assert same_weights(tmp_path / "whole" / name, tmp_path / "parts" / name)
    whole.weights.unlink()
    again = train("resnet20", tiny, tmp_path / "whole", **options)  # nothing is left to do but to write the weights
    assert again is not None and same_weights(again.weights, parts.weights)
    assert not same_weights(parts.weights, tmp_path / "parts" / "epoch-002.safetensors")


@pytest.mark.slow
def test_a_further_cycle_starts_from_the_weights_given(tiny: str, tmp_path: Path) -> None:
    first = train("resnet20", tiny, tmp_path / "first", epochs=1, batch_size=12)
    assert first is not None
    second = train("resnet20", tiny, tmp_path / "second", epochs=1, lr=1e-9, weights=str(first.weights))
    assert second is not None
    one, other = load_file(first.weights), load_file(second.weights)
    torch.testing.assert_close(one["conv1.weight"], other["conv1.weight"])
    assert not torch.equal(one["bn1.running_mean"], other["bn1.running_mean"])


# Faults


def test_a_checkpoint_of_another_recipe_is_not_taken_up(tiny: str, tmp_path: Path) -> None:
    train("resnet20", tiny, tmp_path, epochs=2, batch_size=12, stop_after=1)
    with pytest.raises(InfodiscardError, match=r"differs in epochs, seed\)"):
        train("resnet20", tiny, tmp_path, epochs=3, batch_size=12, seed=1)
    (tmp_path / "last.ckpt").write_bytes(b"nonsense")
    with pytest.raises(InfodiscardError, match="not a whole checkpoint"):
        train("resnet20", tiny, tmp_path, epochs=2, batch_size=12)


@pytest.mark.parametrize("what", ["epochs", "batch_size", "lr"])
def test_numbers_must_be_above_zero(what: str) -> None:
    with pytest.raises(InfodiscardError, match=what):
        Recipe("resnet20", "cifar10", **{what: 0})


def test_other_numbers_have_ranges() -> None:
    with pytest.raises(InfodiscardError, match="label smoothing"):
        Recipe("resnet20", "cifar10", label_smoothing=1.0)


def test_unknown_network_folder_and_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", images=np.zeros((2, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(InfodiscardError, match="There is no network"):
        train("resnet21", "cifar10", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InfodiscardError, match="cannot be made"):
        train("resnet20", "cifar10", tmp_path / "file")
    np.savez(tmp_path / "many.npz", images=np.zeros((2, 32, 32, 3), dtype=np.uint8), labels=np.array([0, 10]))
    with pytest.raises(InfodiscardError, match="go up to 10"):
        train("resnet20", f"npz:{tmp_path / 'many.npz'}", tmp_path)
    with pytest.raises(InfodiscardError, match="no labels"):
        train("resnet20", f"npz:{tmp_path / 'bare.npz'}", tmp_path)


def test_without_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[train\]'"):
        train("resnet20", "cifar10", tmp_path)
