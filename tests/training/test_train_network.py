"""The training recipe: augmentation, seeds, resuming, and what it leaves behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from infodiscard import data, zoo
from infodiscard.data import ImageSet
from infodiscard.errors import InfodiscardError
from infodiscard.training.batches import as_bytes
from infodiscard.training.train_network import Batches, Trained, accuracy, augment, reconstruction_error, train
from tiny import same_weights, write_tiny

SMALL = "resnet20,width=0.1"


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return write_tiny(tmp_path)


def trained(*arguments: Any, **options: Any) -> Trained:
    """Trains to the end."""
    end = train(*arguments, **options)
    assert end is not None
    return end


def never(*_: Any) -> None:
    pytest.fail("it was trained again")


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


def test_images_go_to_bytes_and_back_exactly(tiny: str) -> None:
    images = data.load(tiny)
    pixels, labels = as_bytes(images)
    assert pixels.shape == (12, 32, 32, 3) and pixels.dtype == torch.uint8 and labels is images.labels
    assert torch.equal(pixels.permute(0, 3, 1, 2).float() / 255, images.images)
    assert as_bytes(ImageSet(images.images))[1].tolist() == [0] * 12


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


# The same again


@pytest.mark.slow
@pytest.mark.parametrize("network", ["alexnet,width=0.05", "autoencoder20,width=0.1"])
def test_a_seed_fixes_the_weights_whatever_the_global_generator(tiny: str, tmp_path: Path, network: str) -> None:
    """AlexNet has dropout, which draws from the global generator; it is left as it was."""
    ends = []
    for place, (seed, state) in enumerate([(0, 1), (0, 2), (1, 1)]):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        ends.append(trained(network, tiny, tmp_path / str(place), epochs=2, batch_size=5, seed=seed).weights)
        assert torch.equal(before, torch.get_rng_state())
    assert same_weights(ends[0], ends[1]) and not same_weights(ends[0], ends[2])


@pytest.mark.slow
@pytest.mark.parametrize("network", ["alexnet,width=0.05", "autoencoder20,width=0.1", "resnet18,width=0.05"])
def test_going_on_after_each_epoch_equals_going_through(tiny: str, tmp_path: Path, network: str) -> None:
    options: dict = {"epochs": 3, "batch_size": 5, "test_data": tiny}
    whole = trained(network, tiny, tmp_path / "whole", **options)
    for epoch in (1, 2):
        torch.manual_seed(epoch)
        assert train(network, tiny, tmp_path / "parts", stop_after=epoch, **options) is None
    parts = trained(network, tiny, tmp_path / "parts", **options)
    assert same_weights(whole.weights, parts.weights) and (whole.accuracy, whole.mse) == (parts.accuracy, parts.mse)


def test_a_training_that_is_past_an_epoch_does_not_go_back_to_it(tiny: str, tmp_path: Path) -> None:
    options: dict = {"epochs": 4, "batch_size": 12}
    assert train(SMALL, tiny, tmp_path, stop_after=3, **options) is None
    before = (tmp_path / "last.ckpt").read_bytes()
    for epoch in (1, 3):
        assert train(SMALL, tiny, tmp_path, stop_after=epoch, **options) is None
        assert [path.name for path in tmp_path.iterdir() if path.suffix != ".npz"] == ["last.ckpt"]
        assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_finished_training_is_not_repeated(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict = {"epochs": 1, "batch_size": 12, "test_data": tiny, "test_samples": 7}
    end = trained(SMALL, tiny, tmp_path / "out", **options)
    told = capsys.readouterr().out.splitlines()[-1]
    monkeypatch.setattr("infodiscard.training.train_network._fit", never)
    (tmp_path / "out" / "last.ckpt").unlink()
    monkeypatch.setattr("infodiscard.training.train_network._finish", never)
    assert trained(SMALL, tiny, tmp_path / "out", **options) == end  # 1/7 and the like, to the last digit
    assert capsys.readouterr().out.splitlines() == [told]
    assert trained(f"zoo:{SMALL}", tiny, tmp_path / "out", epochs=1, batch_size=12) == Trained(end.weights)
    for changed, message in (({"lr": 0.3}, "lr"), ({"seed": 1, "epochs": 2}, "epochs, seed")):
        with pytest.raises(InfodiscardError, match=rf"the weights of another training \(it differs in {message}\)"):
            train(SMALL, tiny, tmp_path / "out", **(options | changed))


def test_a_finished_training_is_measured_on_other_images(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its checkpoint is gone; the weights stay."""
    first = trained(SMALL, tiny, tmp_path / "out", epochs=1, batch_size=4)
    weights, network = load_file(first.weights), zoo.load(str(first.weights))
    (tmp_path / "out" / "last.ckpt").unlink()
    with torch.no_grad():
        answers = network.module(network.normalise(data.load(tiny).images)).argmax(1).numpy()
    monkeypatch.setattr("infodiscard.training.train_network._fit", never)
    options: dict = {"epochs": 1, "batch_size": 4}
    for wrong, samples, wanted in ((3, None, 0.75), (0, None, 1.0), (12, None, 0.0), (3, 6, 0.5)):
        spec = write_tiny(tmp_path, f"{wrong}.npz", labels=np.where(np.arange(12) < wrong, (answers + 1) % 10, answers))
        end = trained(SMALL, tiny, tmp_path / "out", test_data=spec, test_samples=samples, **options)
        assert end.accuracy == wanted
    assert all(torch.equal(value, weights[key]) for key, value in load_file(end.weights).items())


def test_data_and_weights_may_move_but_not_change(tiny: str, tmp_path: Path) -> None:
    start = trained(SMALL, tiny, tmp_path / "start", epochs=1, batch_size=12).weights
    options: dict = {"epochs": 2, "batch_size": 12, "lr": 0.1}
    assert train(SMALL, tiny, tmp_path / "out", weights=str(start), stop_after=1, **options) is None
    moved, start = write_tiny(tmp_path / "other", "images.npz"), start.rename(tmp_path / "start.safetensors")
    assert trained(SMALL, moved, tmp_path / "out", weights=str(start), **options).weights.exists()
    changed = write_tiny(tmp_path, "changed.npz", labels=np.zeros(12, int))
    with pytest.raises(InfodiscardError, match=r"differs in data, weights\)"):
        train(SMALL, changed, tmp_path / "out", **options)


# What is kept


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


def test_numbers_of_epochs_that_make_no_sense(tiny: str, tmp_path: Path) -> None:
    for options, message in (
        ({"keep_epochs": (0, 3)}, "no epoch 3 to keep; give epochs from 0 to 2"),
        ({"keep_epochs": (-1,)}, "no epoch -1"),
        ({"keep_every": -1}, "keep_every of 0 or more"),
        ({"stop_after": 0}, "stop_after of 1 or more"),
    ):
        with pytest.raises(InfodiscardError, match=message):
            train(SMALL, tiny, tmp_path / "out", epochs=2, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_pruned_weights_stay_exactly_zero(tiny: str, tmp_path: Path) -> None:
    state = zoo.load(f"zoo:{SMALL}", allow_random=True).module.state_dict()
    pruned = {key: torch.where(value.abs() < value.std(), 0.0, value) for key, value in state.items() if "conv" in key}
    save_file(state | pruned, tmp_path / "pruned.safetensors")
    options: dict = {"weights": str(tmp_path / "pruned.safetensors"), "epochs": 2, "batch_size": 5}
    assert train(SMALL, tiny, tmp_path / "kept", keep="zeros", stop_after=1, **options) is None
    kept = load_file(trained(SMALL, tiny, tmp_path / "kept", keep="zeros", **options).weights)
    free = load_file(trained(SMALL, tiny, tmp_path / "free", **options).weights)
    for key, before in pruned.items():
        zero = before == 0
        assert zero.any() and torch.equal(kept[key] == 0, zero) and free[key][zero].any()
        assert not torch.equal(kept[key], before)


def test_there_must_be_weights_to_keep(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(InfodiscardError, match="keep is 'zeros', but there are no weights"):
        train(SMALL, tiny, tmp_path, keep="zeros")


# Auto-encoders and libraries' networks


@pytest.mark.slow
def test_an_autoencoder_learns_to_restore_and_needs_no_labels(tmp_path: Path) -> None:
    spec = write_tiny(tmp_path, labels=None)
    options: dict = {"epochs": 20, "batch_size": 4, "test_data": spec, "keep_epochs": (0,)}
    end = trained("autoencoder20,width=0.25", spec, tmp_path / "out", **options)
    start = zoo.load(str(tmp_path / "out" / "epoch-000.safetensors"))
    assert end.accuracy is None and end.mse == reconstruction_error(zoo.load(str(end.weights)), data.load(spec))
    assert end.mse < reconstruction_error(start, data.load(spec)) / 2
    assert start.module.decoder.mean.any()  # the statistics that the training begins with
    with safe_open(end.weights, "pt") as file:
        assert float(file.metadata()["test_mse"]) == end.mse


def test_reconstruction_error_is_a_mean_over_units() -> None:
    network = zoo.load("zoo:autoencoder20,width=0.1", allow_random=True)
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        inputs = network.normalise(images)
        wanted = float((network.module(inputs) - inputs).double().square().mean())
    assert reconstruction_error(network, ImageSet(images), batch_size=2) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.slow
def test_a_librarys_network_gets_as_many_logits_as_there_are_classes(tmp_path: Path) -> None:
    named, plain = "torchvision:mobilenet_v3_small,size=32", "torchvision:mobilenet_v3_small,size=32,classes=3"
    spec = write_tiny(tmp_path, classes=np.array(["dark", "bright", "other"]))
    end = trained(named, spec, tmp_path / "out", epochs=1, batch_size=12)
    network = zoo.load(str(end.weights))
    assert network.source == plain and network.input_size == (32, 32)
    assert network.module.classifier[-1].out_features == 3
    assert trained(plain, spec, tmp_path / "out", epochs=1, batch_size=12) == end
    options: dict = {"epochs": 1, "batch_size": 12, "weights": str(end.weights), "lr": 1e-9}
    again = trained(named, spec, tmp_path / "again", **options)  # from weights with that many already
    one, other = load_file(end.weights), load_file(again.weights)
    torch.testing.assert_close(one["classifier.3.weight"], other["classifier.3.weight"])


# Faults


def test_a_checkpoint_of_another_recipe_is_not_taken_up(tiny: str, tmp_path: Path) -> None:
    train("resnet20", tiny, tmp_path, epochs=2, batch_size=12, stop_after=1)
    with pytest.raises(InfodiscardError, match=r"differs in epochs, seed\)"):
        train("resnet20", tiny, tmp_path, epochs=3, batch_size=12, seed=1)
    (tmp_path / "last.ckpt").write_bytes(b"nonsense")
    with pytest.raises(InfodiscardError, match="not a whole checkpoint"):
        train("resnet20", tiny, tmp_path, epochs=2, batch_size=12)


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


def test_a_file_of_someone_else_is_not_overwritten(tiny: str, tmp_path: Path) -> None:
    path = tmp_path / "resnet20.safetensors"
    save_file(zoo.load(f"zoo:{SMALL}", allow_random=True).module.state_dict(), path)
    for content in (path.read_bytes(), b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(InfodiscardError, match="not the weights file of a training; move it"):
            train(SMALL, tiny, tmp_path, epochs=1, batch_size=12)
        assert path.read_bytes() == content and not (tmp_path / "last.ckpt").exists()


def test_test_images_need_labels_before_anything_is_trained(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infodiscard.training.train_network._fit", never)
    bare = write_tiny(tmp_path, "bare.npz", labels=None)
    with pytest.raises(InfodiscardError, match=r"bare\.npz' have no labels"):
        train(SMALL, tiny, tmp_path / "out", test_data=bare)
