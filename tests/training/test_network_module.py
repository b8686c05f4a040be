"""The Lightning module of networks: seeds, resumption to the same weights, and weights that stay zero."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from infodiscard import zoo
from infodiscard.training.train_network import train
from tiny import SMALL, same_weights, trained


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
