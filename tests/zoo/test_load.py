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
from safetensors.torch import load_file, save_file
from torch import nn

from infodiscard import data, zoo
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network
from infodiscard.training.evaluate import accuracy
from infodiscard.zoo.cifar_resnet import BasicBlock, damage_positions, resnet
from infodiscard.zoo.default_layers import default_layers
from infodiscard.zoo.spec import Spec
from infodiscard.zoo.weights import load_weights, trained_spec
from tiny import write_weights

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data are not here")


def random(spec: str) -> Network:
    """Returns a network of the zoo with random weights."""
    return zoo.load(f"zoo:{spec}", allow_random=True)


# Architecture


@pytest.mark.parametrize("depth, parameters", [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_resnets_have_the_size_of_the_paper(depth: int, parameters: float) -> None:
    """He et al. (2016), table 6, in millions."""
    module = zoo.load(f"zoo:resnet{depth}", allow_random=True).module
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == parameters
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in module.modules()) == depth


@pytest.mark.parametrize(
    "name, parameters", [("vgg16", 14.73), ("vgg19", 20.04), ("resnet18", 11.17), ("resnet34", 21.28)]
)
def test_networks_for_small_images_have_their_usual_size(name: str, parameters: float) -> None:
    """As usual for CIFAR-10 (github.com/kuangliu/pytorch-cifar), in millions."""
    module = random(name).module
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == parameters
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    # VGG with one linear layer instead of three.
    assert len(layers) - len(shortcuts) + 2 * name.startswith("vgg") == int(name[-2:])


def test_alexnet_has_its_size() -> None:
    """Counted by hand: five convolutions, and three linear layers from 4 × 4 × 256."""
    sizes = [(3 * 25, 64), (64 * 25, 192), (192 * 9, 384), (384 * 9, 256), (256 * 9, 256), (4096, 1024), (1024, 1024)]
    module = random("alexnet").module
    assert sum(p.numel() for p in module.parameters()) == sum((i + 1) * o for i, o in [*sizes, (1024, 10)])
    assert sum(isinstance(m, nn.Dropout) for m in module.modules()) == 2


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "vgg19", "resnet18", "resnet34", "resnet20"])
def test_classes_width_and_size(name: str) -> None:
    network = random(f"{name},width=0.1,classes=7,size=64x48")
    assert network.input_size == (64, 48) and network.name == f"{name},width=0.1,classes=7,size=64x48"
    inputs = network.normalise(torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        logits = network.module(inputs)
    assert logits.shape == (2, 7) and logits.isfinite().all() and not torch.equal(logits[0], logits[1])
    assert not any(tensor.is_meta for tensor in network.module.state_dict().values())
    assert set(network.default_layers) <= {layer for layer, _ in network.module.named_modules()}
    wide, narrow = random(name).module.state_dict(), random(f"{name},width=0.1").module.state_dict()
    assert wide.keys() == narrow.keys()
    for key, value in wide.items():
        for usual, made in zip(value.shape, narrow[key].shape, strict=True):
            # Kernels, input colours and classes stay; AlexNet's linear layer takes 16 numbers of each channel.
            cells = 16 if key == "classifier.1.weight" and usual == 4096 else 1
            assert made in (usual, cells * round(usual / cells * 0.1))
    assert sum(v.numel() for v in narrow.values()) < 0.03 * sum(v.numel() for v in wide.values())


def test_the_thinnest_network_has_a_channel_left() -> None:
    assert random("vgg16,width=0.001").module(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert random("resnet20,width=0.001").module.conv1.out_channels == 1


def test_a_network_for_small_images_is_torchvisions_but_for_its_entrance() -> None:
    """Weights of torchvision's ResNet-18 fit all blocks, and then the blocks compute the same."""
    ours, theirs = random("resnet18").module, zoo.load("torchvision:resnet18", allow_random=True, seed=1).module
    state = {key: value for key, value in theirs.state_dict().items() if key.startswith("layer")}
    assert not ours.load_state_dict(state, strict=False).unexpected_keys
    x = torch.rand(2, 64, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(*(m.layer4(m.layer3(m.layer2(m.layer1(x)))) for m in (ours, theirs)))


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


# Damage


DAMAGED = [("layer1.0", "layer1.1"), ("layer1.2", "layer2"), ("layer2.1", "layer2.2"), ("layer3.1", "layer3.2")]


@pytest.mark.parametrize("place, next_one", DAMAGED)
def test_a_damaging_block_lies_between_its_neighbours(place: str, next_one: str) -> None:
    module, stage = random(f"resnet20,damage={place}").module, place.partition(".")[0]
    seen: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    for name, child in module.named_modules():
        if name in (place, f"{stage}.damage", next_one):
            child.register_forward_hook(lambda _, given, out, name=name: seen.append((name, given[0], out)))
    module(torch.rand(1, 3, 32, 32))
    (first, _, before), (second, taken, given), (third, after, _) = seen
    assert (first, second, third) == (place, f"{stage}.damage", next_one)
    assert taken is before and after is given
    block = module.get_submodule(f"{stage}.damage")
    assert [type(part).__name__ for part in block] == ["Conv2d", "ReLU", "Conv2d", "ReLU"]
    assert block[0].kernel_size == block[2].kernel_size == (1, 1) and block[0].out_channels == 8
    assert block[2].out_channels == block[0].in_channels == before.shape[1]
    with torch.no_grad():  # no shortcut: of nothing it makes what its biases are
        block[0].bias.zero_(), block[2].bias.zero_()
        assert not block(torch.zeros(1, before.shape[1], 4, 4)).any()


@pytest.mark.parametrize("place", [place for place, _ in DAMAGED])
def test_damage_changes_no_other_name(place: str) -> None:
    whole, damaged = random("resnet20").module, random(f"resnet20,damage={place}").module
    stage = place.partition(".")[0]
    assert [name for name in damaged.state_dict() if ".damage." not in name] == list(whole.state_dict())
    found = damaged.load_state_dict(whole.state_dict(), strict=False)
    assert not found.unexpected_keys and set(found.missing_keys) == {
        f"{stage}.damage.{part}" for part in ("0.weight", "0.bias", "2.weight", "2.bias")
    }
    x = torch.rand(2, 3, 32, 32)
    assert not torch.equal(damaged(x), whole(x))
    setattr(damaged.get_submodule(stage), "damage", nn.Identity())  # noqa: B010
    assert torch.equal(damaged(x), whole(x))


def test_where_damage_can_be() -> None:
    assert damage_positions(20) == [f"layer{i}.{j}" for i in (1, 2, 3) for j in (0, 1, 2)][:-1]
    assert len(damage_positions(56)) == 26
    for place in ("layer3.2", "layer1.3", "layer4.0", "layer1", "bn1", "layer1.01"):
        with pytest.raises(InfodiscardError, match=rf"no block '{place}'.* layer1\.0, layer1\.1.*, layer3\.1\.$"):
            random(f"resnet20,damage={place}")
    for name in ("vgg16", "resnet18", "autoencoder20"):
        with pytest.raises(InfodiscardError, match=f"'{name}' cannot be damaged; that is for resnet20, "):
            random(f"{name},damage=layer1.0")


# Auto-encoders


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (33, 47), (5, 6)])
def test_an_autoencoder_restores_the_shape(size: tuple[int, int]) -> None:
    network = random(f"autoencoder20,width=0.1,size={size[0]}x{size[1]}")
    assert network.input_size == size
    x = torch.rand(2, 3, *size)
    assert network.module(x).shape == x.shape
    assert network.default_layers == ("bn1", "layer1", "layer2", "layer3")


@pytest.mark.parametrize("depth", [20, 44])
def test_an_encoder_is_the_classifier_without_its_end(depth: int) -> None:
    classifier, whole = random(f"resnet{depth},width=0.5").module, random(f"autoencoder{depth},width=0.5").module
    names = [name for name, _ in whole.named_modules() if name and not name.startswith("decoder")]
    assert names == [name for name, _ in classifier.named_modules() if name and name != "linear"]
    found = whole.load_state_dict(classifier.state_dict(), strict=False)
    assert found.unexpected_keys == ["linear.weight", "linear.bias"]
    assert all(key.startswith("decoder.") for key in found.missing_keys)
    seen = []
    classifier.layer3.register_forward_hook(lambda module, given, out: seen.append(out))
    x = torch.rand(2, 3, 32, 32)
    classifier(x)
    assert torch.equal(whole.encode(x), seen[0])


# Specs


def test_zoo_network_is_ready_to_feed() -> None:
    network = zoo.load("zoo:resnet20", allow_random=True)
    assert network.name == "resnet20" and network.input_size == (32, 32) and network.source == "zoo:resnet20"
    assert network.default_layers == ("bn1", "layer1", "layer2", "layer3", "linear")
    assert not any(module.training for module in network.module.modules())
    assert network.module(network.normalise(torch.rand(2, 3, 32, 32))).shape == (2, 10)


def test_every_name_of_the_zoo_loads() -> None:
    depths = (20, 32, 44, 56)
    assert zoo.names() == [
        *("alexnet", "vgg16", "vgg19", "resnet18", "resnet34"),
        *(f"resnet{depth}" for depth in depths),
        *(f"autoencoder{depth}" for depth in depths),
    ]
    for name in zoo.names():
        network = random(f"{name},width=0.05")
        assert network.input_size == (32, 32) and network.default_layers and network.mean is not None
        assert not any(module.training for module in network.module.modules())


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


def test_specs_are_taken_apart() -> None:
    spec = Spec.parse("zoo:vgg16, width = 0.25,classes=5,size=64x48")
    assert (spec.kind, spec.name) == ("zoo", "vgg16")
    assert spec.options == {"width": "0.25", "classes": "5", "size": "64x48"}
    assert (spec.number("width", 1), spec.count("classes", 10), spec.size()) == (0.25, 5, (64, 48))
    plain = Spec.parse("timm:vit.augreg")
    assert (plain.kind, plain.name, plain.options, plain.size()) == ("timm", "vit.augreg", {}, None)
    assert (plain.number("width", 1), plain.count("classes", 10)) == (1, 10)
    assert Spec.parse("zoo:vgg16,size=40").size() == (40, 40) and Spec.parse("zoo:vgg16,size=40×32").size() == (40, 32)


@pytest.mark.parametrize(
    "options, message",
    [
        ("", r"'' in 'zoo:vgg16,' cannot be taken; options of 'zoo:vgg16' are width, classes, size, damage"),
        ("width", "'width' in 'zoo:vgg16,width' cannot be taken"),
        ("width=", "cannot be taken.*as key=value, as in 'zoo:vgg16,width=0.25'"),
        ("=3", "cannot be taken"),
        ("depth=3", "'depth=3' in"),
        ("width=1,width=2", "'width=2' in .* each once"),
        ("width=wide", "width was 'wide'; give a number above 0 and below a million, such as 1"),
        ("width=0", "width was '0'"),
        ("width=nan", "width was 'nan'"),
        ("classes=2.5", "classes was '2.5'; give a whole number, such as 10"),
        ("classes=-2", "classes was '-2'; give a number above 0"),
        ("classes=1e9", "below a million"),
        ("size=0x3", "size was '0x3'; give pixels as one number or as HEIGHTxWIDTH"),
        ("size=64x", "size was '64x'"),
        ("size=large", "size was 'large'"),
        ("size=²", "size was '²'"),
        ("size=64x31", "'vgg16' leaves nothing of images of 64×31 pixels; give a size of 32 or more"),
    ],
)
def test_bad_options(options: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        random(f"vgg16,{options}")


@pytest.mark.parametrize(
    "spec, message",
    [
        ("resnet20,width=0.5", "'resnet20' takes no options such as 'width=0.5'; .* as in 'zoo:vgg16,width=0.25'"),
        ("demo,width=0.5", "'demo' takes no options"),
        ("timm:resnet18,classes=3", "'timm:resnet18' takes no options"),
        ("torchvision:resnet18,width=2", "options of 'torchvision:resnet18' are classes, size"),
        ("torchvision:squeezenet1_1,classes=3", "no linear layer to replace; leave classes out"),
        ("zoo:autoencoder20,classes=3", "restores images and knows no classes"),
        ("zoo:alexnet,size=7", "give a size of 8 or more"),
    ],
)
def test_options_of_others(spec: str, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        zoo.load(spec, allow_random=True)


@pytest.mark.parametrize("spec", ["zoo:resnet20", "torchvision:alexnet", "timm:resnet10t"])
def test_random_weights_are_refused(spec: str) -> None:
    with pytest.raises(InfodiscardError, match=r"says nothing.*--random-weights"):
        zoo.load(spec)


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

from infodiscard.networks.network import Network

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


def write_trained(path: Path, spec: str, recipe: object) -> Path:
    save_file(load_file(write_weights(path, spec, seed=4)), path, {"recipe": json.dumps(recipe)})
    return path


@pytest.mark.parametrize(
    "spec, given",
    [
        ("zoo:resnet20,width=0.1,damage=layer2.0", "resnet20,width=0.1,damage=layer2.0"),
        ("zoo:vgg16,width=0.05", "zoo:vgg16,width=0.05"),
        ("zoo:autoencoder20,width=0.1", "autoencoder20,width=0.1"),
        ("torchvision:mobilenet_v3_small,classes=3,size=64", "torchvision:mobilenet_v3_small,classes=3,size=64"),
    ],
)
def test_a_trained_file_says_what_it_is(tmp_path: Path, spec: str, given: str) -> None:
    path = write_trained(tmp_path / "mine.safetensors", spec, {"network": given})
    network = zoo.load(str(path))
    assert (network.source, network.name) == (spec, "mine") and not network.module.training
    assert zoo.load(str(path), name="other").name == "other"
    wanted = zoo.load(spec, path)
    assert (network.input_size, network.default_layers) == (wanted.input_size, wanted.default_layers)
    assert all(torch.equal(v, wanted.module.state_dict()[k]) for k, v in network.module.state_dict().items())


def test_a_trained_file_takes_no_other_weights(tmp_path: Path) -> None:
    path = write_trained(tmp_path / "mine.safetensors", "zoo:resnet20,width=0.1", {"network": "resnet20,width=0.1"})
    with pytest.raises(InfodiscardError, match=r"mine\.safetensors' holds weights itself; leave --weights out"):
        zoo.load(str(path), path)


def test_files_that_do_not_say_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    with pytest.raises(InfodiscardError, match=r"no weights file '.*bare\.safetensors'"):
        zoo.load(str(path))
    for recipe in (None, {}, [], [3], "resnet20", 5):
        write_weights(path, "zoo:resnet20,width=0.1")
        if recipe is not None:
            write_trained(path, "zoo:resnet20,width=0.1", recipe)
        with pytest.raises(InfodiscardError, match=r"does not say which network.*'zoo:resnet20 --weights .*bare\.safe"):
            zoo.load(str(path))
    path.write_bytes(b"nonsense")
    with pytest.raises(InfodiscardError, match="does not say which network"):
        zoo.load(str(path))


def test_a_trained_file_runs_no_code(file: Path, tmp_path: Path) -> None:
    """Weights of others can be read; what their recipe names must not be run."""
    path = tmp_path / "mine.safetensors"
    save_file({"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, path, {"recipe": f'{{"network": "{file}:module"}}'})
    with pytest.raises(InfodiscardError, match=r"whose file is not run unless you name it.*net\.py:module --weights"):
        zoo.load(str(path))
    assert zoo.load(f"{file}:module", path).module(torch.ones(1, 2)).item() == 2


def test_the_last_cycle_of_several_says_what_a_file_is(tmp_path: Path) -> None:
    """The demo network's file holds a list of recipes."""
    cycles = [{"network": "resnet32"}, {"network": "resnet20,width=0.1"}]
    path = write_trained(tmp_path / "mine.safetensors", "zoo:resnet20,width=0.1", cycles)
    assert zoo.load(str(path)).source == "zoo:resnet20,width=0.1"
    with as_file(files("infodiscard").joinpath("demo", "resnet20_cifar10.safetensors")) as carried:
        assert trained_spec(carried) == "zoo:resnet20"
        assert zoo.load(str(carried)).name == "resnet20_cifar10"


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
