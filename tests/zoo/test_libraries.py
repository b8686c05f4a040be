"""Networks of torchvision, timm and the user's file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from infodiscard import zoo
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network


def test_torchvision_knows_its_normalisation_and_layers() -> None:
    network = zoo.load("torchvision:resnet18", allow_random=True)
    assert network.mean == (0.485, 0.456, 0.406) and network.input_size == (224, 224) and network.name == "resnet18"
    assert network.default_layers == ("maxpool", "layer1", "layer2", "layer3", "layer4", "fc")


@pytest.mark.parametrize("name, head", [("resnet18", "fc"), ("mobilenet_v3_small", "classifier.3")])
def test_torchvision_gets_another_head_and_nothing_else(name: str, head: str) -> None:
    usual = zoo.load(f"torchvision:{name}", allow_random=True, seed=3)
    other = zoo.load(f"torchvision:{name},classes=5,size=96x64", allow_random=True, seed=3)
    assert other.input_size == (96, 64) and other.name == f"{name},classes=5,size=96x64"
    one, two = usual.module.state_dict(), other.module.state_dict()
    assert one.keys() == two.keys()
    assert {key for key in one if not torch.equal(one[key], two[key])} == {f"{head}.weight", f"{head}.bias"}
    assert other.module(torch.zeros(1, 3, 96, 64)).shape == (1, 5)
    assert other.default_layers == usual.default_layers and other.mean == usual.mean


def test_torchvision_downloads_nothing_unasked() -> None:
    """Its segmentation models would fetch their backbone."""
    network = zoo.load("torchvision:lraspp_mobilenet_v3_large", allow_random=True)
    assert network.mean == (0.485, 0.456, 0.406) and network.default_layers == ()


def test_torchvision_unknown_weights() -> None:
    with pytest.raises(InfodiscardError, match=r"one of IMAGENET1K_V1, DEFAULT"):
        zoo.load("torchvision:resnet18", "IMAGENET22K")


def test_torchvision_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setattr("torch.hub.os.path.exists", lambda path: False)
    with pytest.raises(InfodiscardError, match="cannot be downloaded"):
        zoo.load("torchvision:resnet18", "DEFAULT")


def test_timm_knows_its_normalisation_and_layers() -> None:
    network = zoo.load("timm:vit_tiny_patch16_224", allow_random=True)
    assert network.mean == (0.5, 0.5, 0.5) and network.input_size == (224, 224)
    assert network.default_layers == ("blocks.2", "blocks.5", "blocks.8", "blocks.11", "head")


def test_timm_unknown_weights_and_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InfodiscardError, match="nor 'pretrained'"):
        zoo.load("timm:resnet18", "DEFAULT")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[timm\]'"):
        zoo.load("timm:resnet18")


def test_timm_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("timm.create_model", fail)
    with pytest.raises(InfodiscardError, match="cannot be downloaded"):
        zoo.load("timm:resnet18", "pretrained")


@pytest.mark.slow
def test_libraries_are_imported_only_when_asked_for() -> None:
    code = "import sys, infodiscard.zoo, infodiscard.data, infodiscard.training.train_network; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torchvision", "timm", "lightning", "pyarrow", "PIL"} & set(shown)


def test_file_gives_a_module_or_a_network(file: Path) -> None:
    before = torch.get_rng_state()
    made = zoo.load(f"{file}:module")
    assert (
        isinstance(made.module, nn.Linear) and not made.module.training and made.name == "module" and made.mean is None
    )
    ready = zoo.load(f"{file}:network", name="other")
    assert isinstance(ready, Network) and ready.mean == (0.5,) and ready.name == "other"
    assert torch.equal(before, torch.get_rng_state())


def test_file_takes_weights(file: Path, tmp_path: Path) -> None:
    save_file({"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, tmp_path / "w.safetensors")
    module = zoo.load(f"{file}:module", tmp_path / "w.safetensors").module
    assert module(torch.ones(1, 2)).item() == 2


@pytest.mark.parametrize(
    "function, message", [("absent", "no function"), ("number", "returned int"), ("failing", "RuntimeError: no luck")]
)
def test_file_faults(file: Path, function: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        zoo.load(f"{file}:{function}")


def test_file_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import absent_library\n")
    with pytest.raises(InfodiscardError, match="ModuleNotFoundError"):
        zoo.load(f"{tmp_path / 'net.py'}:build")
