"""The zoo: architectures, specs, weights files, and what is said when they do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from infodiscard import data, zoo
from infodiscard.errors import InfodiscardError
from infodiscard.network import Network
from infodiscard.train import accuracy
from infodiscard.zoo.layers import default_layers
from infodiscard.zoo.resnet import BasicBlock, resnet
from infodiscard.zoo.weights import load_weights

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data are not here")


# Architecture


@pytest.mark.parametrize("depth, parameters", [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_resnets_have_the_size_of_the_paper(depth: int, parameters: float) -> None:
    """He et al. (2016), table 6, in millions."""
    module = zoo.load(f"zoo:resnet{depth}", allow_random=True).module
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == parameters
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in module.modules()) == depth


def test_shortcut_subsamples_and_pads_with_zeros() -> None:
    x = torch.rand(2, 16, 8, 8)
    y = BasicBlock(16, 32, 2).shortcut(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2]) and not y[:, :8].any() and not y[:, 24:].any()
    assert BasicBlock(16, 16, 1).shortcut(x) is x


def test_a_block_outputs_what_the_next_one_takes() -> None:
    module = zoo.load("zoo:resnet20", allow_random=True).module
    seen: dict[str, torch.Tensor] = {}
    module.layer1[0].register_forward_hook(lambda block, given, out: seen.update(out=out))  # type: ignore[union-attr,index]
    module.layer1[1].register_forward_hook(lambda block, given, out: seen.update(given=given[0]))  # type: ignore[union-attr,index]
    module(torch.rand(1, 3, 32, 32))
    assert seen["out"] is seen["given"] and seen["out"].min() >= 0


# Specs


def test_zoo_network_is_ready_to_feed() -> None:
    network = zoo.load("zoo:resnet20", allow_random=True)
    assert network.name == "resnet20" and network.input_size == (32, 32) and network.source == "zoo:resnet20"
    assert network.default_layers == ("bn1", "layer1", "layer2", "layer3", "linear")
    assert not any(module.training for module in network.module.modules())
    assert network.module(network.normalise(torch.rand(2, 3, 32, 32))).shape == (2, 10)
    assert zoo.names() == ["resnet20", "resnet32", "resnet44", "resnet56"]


def test_what_is_given_overrides_what_is_known() -> None:
    network = zoo.load(
        "zoo:resnet20", mean=(0.0,) * 3, std=(1.0,) * 3, input_size=(16, 16), name="mine", allow_random=True
    )
    assert (network.mean, network.std) == ((0.0,) * 3, (1.0,) * 3)
    assert (network.input_size, network.name) == ((16, 16), "mine")


def test_random_weights_come_from_the_seed_and_leave_the_global_generator() -> None:
    before = torch.get_rng_state()
    weights = [zoo.load("zoo:resnet20", allow_random=True, seed=seed).module.state_dict() for seed in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(weights[0]["conv1.weight"], weights[1]["conv1.weight"])
    assert not torch.equal(weights[0]["conv1.weight"], weights[2]["conv1.weight"])


@pytest.mark.parametrize(
    "spec, message",
    [
        ("resnet20", "near it are 'zoo:resnet20'"),
        ("zoo:resnet21", "near it are 'zoo:resnet"),
        ("zoo:", "There is no network"),
        ("", "There is no network"),
        ("torchvision:resnet19", "torchvision has no model 'resnet19'"),
        ("timm:resnet19", "timm has no model 'resnet19'"),
        ("net.py", "names no function"),
        ("net.py:", "names no function"),
        ("absent.py:build", r"There is no file 'absent\.py'"),
    ],
)
def test_bad_specs(spec: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        zoo.load(spec)


@pytest.mark.parametrize("spec", ["zoo:resnet20", "torchvision:alexnet", "timm:resnet10t"])
def test_random_weights_are_refused(spec: str) -> None:
    with pytest.raises(InfodiscardError, match=r"says nothing.*--random-weights"):
        zoo.load(spec)


def test_torchvision_knows_its_normalisation_and_layers() -> None:
    network = zoo.load("torchvision:resnet18", allow_random=True)
    assert network.mean == (0.485, 0.456, 0.406) and network.input_size == (224, 224) and network.name == "resnet18"
    assert network.default_layers == ("maxpool", "layer1", "layer2", "layer3", "layer4", "fc")


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


def test_layers_of_plain_networks_are_their_poolings_and_logits() -> None:
    class VGG(nn.Sequential): ...

    plain = VGG(
        nn.Conv2d(3, 3, 3), nn.MaxPool2d(2), nn.Conv2d(3, 3, 3), nn.MaxPool2d(2), nn.Linear(2, 2), nn.Linear(2, 2)
    )
    assert default_layers(plain) == ("1", "3", "5")
    assert default_layers(nn.Linear(2, 2)) == ()


@pytest.mark.slow
def test_libraries_are_imported_only_when_asked_for() -> None:
    code = "import sys, infodiscard.zoo, infodiscard.data, infodiscard.train; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torchvision", "timm", "lightning", "pyarrow", "PIL"} & set(shown)


# The user's own file


NET = """
from dataclasses import dataclass

import torch
from torch import nn

from infodiscard.network import Network

@dataclass
class Settings:
    width: int = 2

def module():
    return nn.Linear(Settings().width, 1)

def network():
    return Network(module(), "mine", mean=(0.5,), std=(0.5,))

def number():
    return 3

def failing():
    raise RuntimeError("no luck")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


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


# Weights


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch_files_are_unwrapped(tmp_path: Path, wrap, prefix: str) -> None:  # type: ignore[no-untyped-def]
    trained, fresh = small(), small()
    torch.save(wrap({prefix + key: value for key, value in trained.state_dict().items()}), tmp_path / "w.pth")
    load_weights(fresh, tmp_path / "w.pth")
    assert torch.equal(fresh[0].weight, trained[0].weight)  # type: ignore[index]


def test_counters_may_be_missing(tmp_path: Path) -> None:
    state = {key: value for key, value in small().state_dict().items() if not key.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "w.safetensors")
    load_weights(small(), tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("0.bias"), r"missing: 0\.bias\)"),
        (lambda s: s.update(extra=torch.ones(1)), "unexpected: extra"),
        (lambda s: s.update({"0.bias": torch.ones(4)}), r"0\.bias is \(4,\) instead of \(3,\)"),
        (lambda s: s.clear(), r"0\.weight, 0\.bias, 1\.weight and 3 more"),
    ],
)
def test_weights_that_do_not_fit(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    state = small().state_dict()
    change(state)
    save_file(dict(state), tmp_path / "w.safetensors")
    with pytest.raises(InfodiscardError, match=message):
        load_weights(small(), tmp_path / "w.safetensors")


class Evil:
    def __reduce__(self) -> tuple:
        return print, ("this must not run",)


def test_objects_are_not_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": Evil()}, tmp_path / "w.pt")
    with pytest.raises(InfodiscardError, match="holds more than tensors"):
        load_weights(small(), tmp_path / "w.pt")
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_broken_files(tmp_path: Path, name: str) -> None:
    for content in (b"", b"nonsense", b"PK\x03\x04nonsense"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InfodiscardError, match=r"broken|not a whole"):
            load_weights(small(), tmp_path / name)


def test_other_faults_of_files(tmp_path: Path) -> None:
    with pytest.raises(InfodiscardError, match="no weights file"):
        load_weights(small(), tmp_path / "absent.pt")
    with pytest.raises(InfodiscardError, match="no known kind"):
        load_weights(small(), tmp_path / "w.h5")
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(InfodiscardError, match="no state dict"):
        load_weights(small(), tmp_path / "w.pt")


# Trained networks


def test_demo_classifies_its_images() -> None:
    network, images = zoo.load("demo"), data.load("demo")
    assert network.source == "demo" and accuracy(network, images) == 1
    with pytest.raises(InfodiscardError, match="its own weights"):
        zoo.load("demo", "w.safetensors")


def test_demo_says_how_it_was_trained() -> None:
    with (
        as_file(files("infodiscard").joinpath("demo", "resnet20_cifar10.safetensors")) as path,
        safe_open(path, "pt") as file,
    ):
        metadata = file.metadata()
    assert float(metadata["test_accuracy"]) >= 0.88
    assert all(cycle["data"] == "cifar10" for cycle in json.loads(metadata["recipe"]))


@needs_shared
@pytest.mark.parametrize("depth", [20, 32, 44])
def test_known_weights_reach_their_accuracy(depth: int) -> None:
    """91.73, 92.63 and 93.10 % of all test images; within three standard errors on the first 256."""
    network = zoo.load(f"zoo:resnet{depth}", SHARED / "weights" / f"resnet{depth}_cifar10.safetensors")
    images = data.load(f"parquet:{SHARED}/cifar10/test-*.parquet", 256)
    expected = {20: 0.9173, 32: 0.9263, 44: 0.9310}[depth]
    assert accuracy(network, images) == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 256) ** 0.5)


@needs_shared
def test_keys_are_those_of_published_weights() -> None:
    with safe_open(SHARED / "weights" / "resnet20_cifar10.safetensors", "pt") as file:
        published = set(file.keys())
    assert {key for key in resnet(20).state_dict() if "tracked" not in key} == {
        k for k in published if "tracked" not in k
    }
