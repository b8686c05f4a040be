"""Training of networks: learning, what is done once, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from infodiscard import data, zoo
from infodiscard.errors import InfodiscardError
from infodiscard.training.checkpoint import Trained
from infodiscard.training.evaluate import reconstruction_error
from infodiscard.training.train_network import train
from tiny import SMALL, trained, write_tiny


def never(*_: Any) -> None:
    pytest.fail("it was trained again")


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
def test_a_further_cycle_starts_from_the_weights_given(tiny: str, tmp_path: Path) -> None:
    first = train("resnet20", tiny, tmp_path / "first", epochs=1, batch_size=12)
    assert first is not None
    second = train("resnet20", tiny, tmp_path / "second", epochs=1, lr=1e-9, weights=str(first.weights))
    assert second is not None
    one, other = load_file(first.weights), load_file(second.weights)
    torch.testing.assert_close(one["conv1.weight"], other["conv1.weight"])
    assert not torch.equal(one["bn1.running_mean"], other["bn1.running_mean"])


def test_a_finished_training_is_not_repeated(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict = {"epochs": 1, "batch_size": 12, "test_data": tiny, "test_samples": 7}
    end = trained(SMALL, tiny, tmp_path / "out", **options)
    told = capsys.readouterr().out.splitlines()[-1]
    monkeypatch.setattr("infodiscard.training.network_module.fit", never)
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
    monkeypatch.setattr("infodiscard.training.network_module.fit", never)
    options: dict = {"epochs": 1, "batch_size": 4}
    for wrong, samples, wanted in ((3, None, 0.75), (0, None, 1.0), (12, None, 0.0), (3, 6, 0.5)):
        spec = write_tiny(tmp_path, f"{wrong}.npz", labels=np.where(np.arange(12) < wrong, (answers + 1) % 10, answers))
        end = trained(SMALL, tiny, tmp_path / "out", test_data=spec, test_samples=samples, **options)
        assert end.accuracy == wanted
    assert all(torch.equal(value, weights[key]) for key, value in load_file(end.weights).items())


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


def test_there_must_be_weights_to_keep(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(InfodiscardError, match="keep is 'zeros', but there are no weights"):
        train(SMALL, tiny, tmp_path, keep="zeros")


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


def test_unknown_network_folder_and_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", images=np.zeros((2, 32, 32, 3), dtype=np.uint8))
    with pytest.raises(InfodiscardError, match="There is no network"):
        train("resnet21", "cifar10", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InfodiscardError, match="cannot be made"):
        train("resnet20", write_tiny(tmp_path, "whole.npz"), tmp_path / "file")
    np.savez(tmp_path / "many.npz", images=np.zeros((2, 32, 32, 3), dtype=np.uint8), labels=np.array([0, 10]))
    with pytest.raises(InfodiscardError, match="go up to 10"):
        train("resnet20", f"npz:{tmp_path / 'many.npz'}", tmp_path)
    with pytest.raises(InfodiscardError, match="no labels"):
        train("resnet20", f"npz:{tmp_path / 'bare.npz'}", tmp_path)


def test_without_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[train\]'"):
        train("resnet20", "cifar10", tmp_path)


def test_test_images_need_labels_before_anything_is_trained(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infodiscard.training.network_module.fit", never)
    bare = write_tiny(tmp_path, "bare.npz", labels=None)
    with pytest.raises(InfodiscardError, match=r"bare\.npz' have no labels"):
        train(SMALL, tiny, tmp_path / "out", test_data=bare)
