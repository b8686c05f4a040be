"""The Lightning module of decoders: each is trained as it would be alone, and one that diverges is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infodiscard.data import ImageSet
from infodiscard.decoders.architecture import Decoder
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network
from infodiscard.training.train_decoders import train_decoders
from tiny_decoders import LAYERS, QUICK, same


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
    kept, forward = good.read_bytes(), Decoder.forward

    def poisoned(self: Decoder, features: torch.Tensor) -> torch.Tensor:
        made = forward(self, features)
        return made if features.shape[-1] < 12 else made * torch.nan

    monkeypatch.setattr(Decoder, "forward", poisoned)
    with pytest.raises(InfodiscardError, match=r"its loss was nan in epoch 2.*conv1.*ckpt' keeps it .* after epoch 1"):
        train_decoders(network, images, LAYERS[:2], tmp_path / "late", **QUICK)
    assert part == {} and good.read_bytes() == kept
    assert [path.name[:5] for path in (tmp_path / "late").glob("*.safetensors")] == ["conv2"]  # which went well
    assert "conv1 diverged, conv2 0." in capsys.readouterr().out
