"""Training decoders: what is learnt, what is independent of what, going on, and faults."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from errno import ENOSPC
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard.data import ImageSet
from infodiscard.decoders import cache as decoders
from infodiscard.decoders.cache import TrainedDecoder, find
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network, weights_hash
from infodiscard.training.decoder_progress import DecoderRecipe, rate
from infodiscard.training.train_decoders import quality, train_decoders

LAYERS = ("conv1", "conv2", "head")
QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 8, "width": 2, "validation_share": 0.25, "seed": 3}


class Tiny(nn.Module):
    """A map at full size, one at half size, and a vector; an in-place ReLU overwrites the first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, 5)
        self.pair = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self.relu(self.norm(self.conv1(x))))
        x = self.relu(x)
        self.pair((x, 2 * x))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def network() -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network(Tiny().eval(), "tiny", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), (12, 12), LAYERS)


@pytest.fixture
def images() -> ImageSet:
    """Smooth colours, so that there is something to learn."""
    rng = np.random.default_rng(0)
    corners = torch.from_numpy(rng.random((40, 3, 2, 2), dtype=np.float32))
    pixels = nn.functional.interpolate(corners, (12, 12), mode="bilinear", align_corners=True)
    return ImageSet(pixels, source="smooth")


def same(one: TrainedDecoder, other: TrainedDecoder) -> bool:
    return one.digest == other.digest


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


# Training


@pytest.mark.slow
def test_training_learns_and_leaves_only_its_files(
    network: Network, images: ImageSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, before = torch.get_rng_state(), weights_hash(network.module)
    flags = [(p.requires_grad, p.grad) for p in network.module.parameters()]
    plan = QUICK | {"epochs": 20, "width": 8}
    found = train_decoders(network, images, LAYERS, tmp_path / "cache", **plan)
    assert torch.equal(state, torch.get_rng_state()) and weights_hash(network.module) == before
    assert flags == [(p.requires_grad, p.grad) for p in network.module.parameters()]
    assert not network.module.training and not any(child._forward_hooks for child in network.module.modules())
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".safetensors"}
    assert tuple(found) == LAYERS
    inputs = network.normalise(images.images)
    level = (inputs - inputs.mean((0, 2, 3), keepdim=True)).square().mean().item()  # of the best constant colour
    assert found["conv1"].quality["mse"] < 0.2 * level and found["conv2"].quality["mse"] < 0.7 * level
    assert found["conv1"].quality["ssim"] > 0.5 and found["conv1"].held_out == "10 images held out of 'smooth'"
    shown = capsys.readouterr()
    assert "epoch 20/20: MSE (validation) conv1 0." in shown.out and "conv1: MSE 0." in shown.out and not shown.err
    again = train_decoders(network, images, LAYERS, tmp_path / "cache", **plan)
    told = capsys.readouterr().out
    assert again == found and told.count("it was there already") == 3 and "epoch" not in told
    hashed = find(
        before, "conv2", (4, 6, 6), (3, 12, 12), tmp_path / "cache", normalisation=(network.mean, network.std)
    )  # type: ignore[arg-type]
    assert hashed == found["conv2"]


@pytest.mark.slow
def test_layers_trained_together_are_as_trained_alone(network: Network, images: ImageSet, tmp_path: Path) -> None:
    together = train_decoders(network, images, (), tmp_path / "together", **QUICK)
    assert tuple(together) == LAYERS
    for layer in LAYERS:
        alone = train_decoders(network, images, [layer], tmp_path / "alone", **QUICK)[layer]
        assert same(alone, together[layer]) and alone.quality == together[layer].quality
    other = train_decoders(network, images, "head", tmp_path / "other", **QUICK | {"seed": 4})
    assert not same(other["head"], together["head"])


@pytest.mark.slow
def test_going_on_equals_going_through(network: Network, images: ImageSet, tmp_path: Path) -> None:
    whole = train_decoders(network, images, LAYERS, tmp_path / "whole", **QUICK)
    assert train_decoders(network, images, LAYERS[:2], tmp_path / "parts", stop_after=2, **QUICK) == {}
    assert {path.suffix for path in (tmp_path / "parts").iterdir()} == {".ckpt"}
    parts = train_decoders(network, images, LAYERS, tmp_path / "parts", **QUICK)  # one layer has to catch up
    assert all(same(whole[layer], parts[layer]) for layer in LAYERS)
    assert {path.suffix for path in (tmp_path / "parts").iterdir()} == {".safetensors"}


@pytest.mark.slow
def test_test_images_and_half_precision(network: Network, images: ImageSet, tmp_path: Path) -> None:
    np.savez(tmp_path / "test.npz", images=images.images[:6].numpy())
    spec = f"npz:{tmp_path / 'test.npz'}"
    found = train_decoders(
        network, images, "conv1", tmp_path, test_data=spec, test_samples=5, samples=20, half=True, **QUICK
    )["conv1"]
    assert found.held_out == f"5 images of '{spec}'" and found.recipe["samples"] == 20
    assert found.quality == quality(network, {"conv1": found.module}, images.images[:5])["conv1"]


@pytest.mark.slow
def test_training_ends_early_and_keeps_the_best(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise that a vector of 5 says nothing of: fitting it makes the held-out images worse."""
    noise = ImageSet(torch.rand(24, 3, 12, 12, generator=torch.Generator().manual_seed(0)), source="noise")
    plan = QUICK | {"epochs": 200, "width": 8, "patience": 2, "lr": 0.01}
    found = train_decoders(network, noise, "head", tmp_path, **plan)["head"]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    losses = [float(line.split("(")[2].split(")")[0]) for line in lines]
    assert len(lines) < 100 and min(losses) == losses[-3]
    assert found.quality["mse"] == pytest.approx(losses[-3], abs=1e-3)


def test_the_rate_rises_and_falls_to_zero() -> None:
    rates = [rate(step, 100, 2.0) for step in range(100)]
    assert max(rates) == rates[9] == 2.0 and rates[0] == pytest.approx(0.2) and rates[-1] == pytest.approx(0, abs=1e-9)
    assert all(a > b for a, b in pairwise(rates[9:])) and rate(0, 1, 2.0) == 2.0


def test_quality_is_what_it_says(network: Network, images: ImageSet) -> None:
    class Exact(nn.Linear):
        """Gives the inputs back, whatever the feature; a tenth brighter, if asked."""

        def __init__(self, shift: float) -> None:
            super().__init__(1, 1)
            self.shift = shift

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return network.normalise(images.images * 0.9 + self.shift)

    dimmed = ImageSet(images.images * 0.9)
    exact, brighter = (
        quality(network, {"conv1": Exact(shift)}, dimmed.images, batch_size=40)["conv1"] for shift in (0.0, 0.1)
    )
    assert exact["mse"] == 0 and exact["psnr"] == pytest.approx(100) and exact["ssim"] == pytest.approx(1, abs=1e-4)
    assert brighter["psnr"] == pytest.approx(20, abs=1e-3) and brighter["ssim"] < 1
    assert brighter["mse"] == pytest.approx(np.mean(np.square(0.1 / np.array(network.std))), rel=1e-4)


# Faults


@pytest.mark.slow
def test_a_diverging_training_is_stopped_and_its_last_good_state_kept(
    network: Network,
    images: ImageSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(InfodiscardError, match=r"'conv1' diverged .*no epoch of it was finished. Give .* such as 250"):
        train_decoders(network, images, "conv1", tmp_path / "high", **QUICK | {"lr": 1000.0})
    assert list((tmp_path / "high").iterdir()) == []

    part = train_decoders(network, images, LAYERS[:2], tmp_path / "late", stop_after=1, **QUICK)
    (good,) = (tmp_path / "late").glob("conv1*.ckpt")
    kept, forward = good.read_bytes(), decoders.Decoder.forward

    def poisoned(self: decoders.Decoder, features: torch.Tensor) -> torch.Tensor:
        made = forward(self, features)
        return made if features.shape[-1] < 12 else made * torch.nan

    monkeypatch.setattr(decoders.Decoder, "forward", poisoned)
    with pytest.raises(InfodiscardError, match=r"its loss was nan in epoch 2.*conv1.*ckpt' keeps it .* after epoch 1"):
        train_decoders(network, images, LAYERS[:2], tmp_path / "late", **QUICK)
    assert part == {} and good.read_bytes() == kept
    assert [path.name[:5] for path in (tmp_path / "late").glob("*.safetensors")] == ["conv2"]  # which went well
    assert "conv1 diverged, conv2 0." in capsys.readouterr().out


@pytest.mark.slow
def test_a_full_disk_keeps_the_old_checkpoint_and_the_training_goes_on(
    network: Network, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_decoders(network, images, "conv1", tmp_path / "whole", **QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(decoders.os, "fsync", fails_after(1, os.fsync))
        with pytest.raises(
            InfodiscardError, match=r"cannot be written \(No space left on device\).*goes on from there"
        ):
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


def test_bad_input_is_refused_before_the_training(network: Network, images: ImageSet, tmp_path: Path) -> None:
    def refused(
        match: str, *, given: Network = network, data: Any = images, layers: Any = "conv1", **other: Any
    ) -> None:
        with pytest.raises(InfodiscardError, match=match):
            train_decoders(given, data, layers, tmp_path / "cache", **QUICK | other)

    refused("no layer 'conv9'", layers="conv9")
    refused("called 2 times", layers="relu")
    refused("holds 1 image", data=images.take(1))
    refused("takes inputs of 12×12 pixels, but the images have 8×8", data=ImageSet(torch.rand(4, 3, 8, 8)))
    refused(
        "test images have shape", given=Network(network.module, "t", *SPACE), test_data=ImageSet(torch.rand(2, 3, 8, 8))
    )
    refused("normalisation", given=Network(network.module, "t"))
    refused("No layers were given", given=Network(network.module, "t", *SPACE), layers=())
    refused("training mode", given=Network(Tiny(), "t", *SPACE))
    refused("There is no data set", data="cifar")
    (tmp_path / "file").write_text("")
    with pytest.raises(InfodiscardError, match="cannot be made"):
        train_decoders(network, images, "conv1", tmp_path / "file")
    assert not any((tmp_path / "cache").iterdir())


SPACE = (0.5,) * 3, (0.5,) * 3


@pytest.mark.parametrize("what", ["epochs", "batch_size", "lr", "width", "patience"])
def test_numbers_must_be_above_zero(what: str) -> None:
    with pytest.raises(InfodiscardError, match=what):
        DecoderRecipe(**{what: 0})
    with pytest.raises(InfodiscardError, match="validation share"):
        DecoderRecipe(validation_share=1.0)


def test_without_lightning(network: Network, images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[train\]'"):
        train_decoders(network, images)
