"""Training of decoders: what it leaves behind, what is done once, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from infodiscard.data import ImageSet
from infodiscard.decoders.cache import find
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network, weights_hash
from infodiscard.training.train_decoders import train_decoders
from tiny_decoders import LAYERS, QUICK, Tiny


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
    refused("training mode", given=Network(Tiny(), "t", *SPACE))
    refused("There is no data set", data="cifar")
    (tmp_path / "file").write_text("")
    with pytest.raises(InfodiscardError, match="cannot be made"):
        train_decoders(network, images, "conv1", tmp_path / "file")
    assert not any((tmp_path / "cache").iterdir())


SPACE = (0.5,) * 3, (0.5,) * 3


def test_without_lightning(network: Network, images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[train\]'"):
        train_decoders(network, images)
