"""Deep Compression, the whole way: each stage once, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from infodiscard import zoo
from infodiscard.errors import InfodiscardError
from infodiscard.training import compress as compression
from infodiscard.training.compress import compress


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """Two classes that differ in brightness, twelve images."""
    labels = np.arange(12) % 2
    noise = np.random.default_rng(0).integers(0, 60, (12, 32, 32, 3))
    np.savez(tmp_path / "tiny.npz", images=(noise + 150 * labels[:, None, None, None]).astype(np.uint8), labels=labels)
    return f"npz:{tmp_path / 'tiny.npz'}"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "start.safetensors"
    save_file(zoo.load("zoo:resnet20,width=0.25", allow_random=True).module.state_dict(), path)
    return path


@pytest.mark.slow
def test_compress_goes_all_the_way_and_takes_up_what_is_there(
    tiny: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict = {"weights": weights, "bits": 4, "test_data": tiny, "epochs": 2, "batch_size": 6, "share_epochs": 1}
    network, out = "zoo:resnet20,width=0.25", tmp_path / "out"
    before = torch.get_rng_state()
    result = compress(network, tiny, 0.6, out, **options)
    assert torch.equal(before, torch.get_rng_state())
    assert list(result.accuracy) == ["original", "pruned", "retrained", "shared", "tuned"]
    assert all(value is not None and 0 <= value <= 1 for value in result.accuracy.values())
    pruned, final = load_file(out / "pruned.safetensors"), load_file(result.weights)
    shared = load_file(out / "shared.safetensors")
    for name in ("conv1.weight", "layer3.1.conv2.weight"):
        assert torch.equal(pruned[name] == 0, final[name] == 0) and (final[name] == 0).any()
        assert len(final[name].unique()) <= 16 and not torch.equal(shared[name], final[name])
    assert not torch.equal(pruned["bn1.bias"], final["bn1.bias"])
    assert result.report.set_index("name").loc["total"].ratio > 3
    with safe_open(result.weights, "pt") as file:
        metadata = file.metadata()
    recipe = json.loads(metadata["recipe"])
    assert recipe == result.recipe and recipe["lr"] < 0.01 and recipe["threshold"] == 0.6
    assert json.loads(metadata["accuracy"]) == result.accuracy
    assert torch.equal(zoo.load(str(result.weights)).module.conv1.weight, final["conv1.weight"])
    assert {path.suffix for path in out.iterdir()} == {".safetensors", ""}

    # What was written is not made again; from the files of the trainings, the end is the same.
    monkeypatch.setattr("infodiscard.training.network_module.fit", lambda *_: pytest.fail("trained again"))
    (out / "compressed.safetensors").unlink()
    (out / "shared.safetensors").unlink()
    again = compress(network, tiny, 0.6, out, **options)
    assert again.accuracy == result.accuracy and again.report.equals(result.report)
    assert all(torch.equal(value, final[name]) for name, value in load_file(again.weights).items())
    monkeypatch.setattr(compression, "train", lambda *_, **__: pytest.fail("train was called"))
    assert compress(network, tiny, 0.6, out, **options).accuracy == result.accuracy

    with pytest.raises(InfodiscardError, match=r"another compression \(it differs in epochs, threshold\)"):
        compress(network, tiny, 0.7, out, **(options | {"epochs": 3}))
    result.weights.write_bytes(b"nonsense")
    with pytest.raises(InfodiscardError, match="not a file of a compression"):
        compress(network, tiny, 0.6, out, **options)


@pytest.mark.slow
def test_compress_without_test_images_or_tuning(tiny: str, weights: Path, tmp_path: Path) -> None:
    result = compress(
        "resnet20,width=0.25", tiny, 0.6, tmp_path / "out", weights=weights, epochs=1, batch_size=12, lr=0.01
    )
    assert result.accuracy == dict.fromkeys(("original", "pruned", "retrained", "shared"))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.*")) == [
        "compressed.safetensors",
        "pruned.safetensors",
    ]
    assert result.recipe["lr"] == 0.01


def test_compress_refuses_before_it_writes(tiny: str, weights: Path, tmp_path: Path) -> None:
    network, out = "zoo:resnet20,width=0.25", tmp_path / "out"
    with pytest.raises(InfodiscardError, match="share_epochs"):
        compress(network, tiny, 0.5, out, weights=weights, share_epochs=-1)
    with pytest.raises(InfodiscardError, match="epochs is 0"):
        compress(network, tiny, 0.5, out, weights=weights, epochs=0)
    with pytest.raises(InfodiscardError, match="do not fit"):
        compress("zoo:resnet20", tiny, 0.5, out, weights=weights)
    with pytest.raises(InfodiscardError, match="leaves no weight"):
        compress(network, tiny, 50, out, weights=weights)
    with pytest.raises(TypeError, match="keep"):
        compress(network, tiny, 0.5, out, weights=weights, keep="shared")
    assert not list(tmp_path.rglob("out/*"))
