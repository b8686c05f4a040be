"""Weights files: what is read, refused, and said of them."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from infodiscard import zoo
from infodiscard.errors import InfodiscardError
from infodiscard.zoo.weights import load_weights, trained_spec
from tiny import write_weights


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch_files_are_unwrapped(tmp_path: Path, wrap, prefix: str) -> None:  # type: ignore[no-untyped-def]
    trained, fresh = small(), small()
    torch.save(wrap({prefix + key: value for key, value in trained.state_dict().items()}), tmp_path / "w.pth")
    load_weights(fresh, tmp_path / "w.pth")
    assert torch.equal(fresh[0].weight, trained[0].weight)  # type: ignore[index]


WRAPPED = {
    "model_state_dict": lambda s: {
        "model_state_dict": s,
        "optimizer": {"state": {0: torch.ones(2)}},
        "loss": torch.ones(()),
    },
    "ema": lambda s: {"ema": {"module": s, "decay": 0.99}},
    "model, before its average": lambda s: {"ema": {key: value * 0 for key, value in s.items()}, "model": s},
    "two levels": lambda s: {"state_dict": {"model": s}},
    "compiled": lambda s: {f"_orig_mod.{key}": value for key, value in s.items()},
    "compiled and parallel": lambda s: {f"module._orig_mod.{key}": value for key, value in s.items()},
    "a compiled layer": lambda s: {key.replace("0.", "0._orig_mod."): value for key, value in s.items()},
    "of Lightning": lambda s: {"state_dict": {f"model.{key}": value for key, value in s.items()}, "epoch": 1},
    "parallel, of Lightning": lambda s: {"state_dict": {f"model.module.{key}": value for key, value in s.items()}},
    "sparse": lambda s: {key: value.to_sparse() if value.ndim == 2 else value for key, value in s.items()},
    "half": lambda s: {key: value.half() if value.ndim == 2 else value for key, value in s.items()},
}


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize("case", WRAPPED)
def test_usual_nestings_and_prefixes_are_removed_where_the_keys_then_fit(tmp_path: Path, case: str) -> None:
    trained, fresh = small(), small()
    torch.save(WRAPPED[case](trained.state_dict()), tmp_path / "w.pth")
    load_weights(fresh, tmp_path / "w.pth")
    assert torch.allclose(fresh[0].weight, trained[0].weight, atol=1e-3)  # type: ignore[index]


class Prefixed(nn.Module):
    """A network whose own keys begin with what others remove."""

    def __init__(self) -> None:
        super().__init__()
        self.model = small()


def test_what_fits_is_loaded_as_it_is(tmp_path: Path) -> None:
    trained, fresh = Prefixed(), Prefixed()
    torch.save(trained.state_dict() | {}, tmp_path / "w.pth")
    load_weights(fresh, tmp_path / "w.pth")
    assert torch.equal(fresh.model[0].weight, trained.model[0].weight)  # type: ignore[index]
    compiled = torch.compile(small(), backend="eager")
    torch.save(trained.model.state_dict(), tmp_path / "w.pth")
    load_weights(compiled, tmp_path / "w.pth")
    assert torch.equal(compiled._orig_mod[0].weight, trained.model[0].weight)  # type: ignore[index]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: {key: value.to("meta") for key, value in s.items()}, "without values: 0.weight"),
        (lambda s: s | {"0.weight": s["0.weight"].to(torch.int8)}, "0.weight is int8 instead of float32"),
        (lambda s: s | {"0.weight": s["0.weight"].to(torch.complex64)}, "0.weight is complex64 instead of float32"),
        (lambda s: s | {"0.weight": [1, 2]}, "no tensor: 0.weight"),
        (
            lambda s: {f"model.{key}": value for key, value in s.items()} | {"loss.weight": torch.ones(2)},
            "unexpected: ",
        ),
        (lambda s: {0: torch.ones(1)}, "holds no state dict"),
        (lambda s: {"state_dict": {1: torch.ones(1)}}, "holds no state dict"),
        (lambda s: [torch.ones(1)], "holds no state dict"),
        (lambda s: torch.ones(1), "holds no state dict"),
        (lambda s: 5, "holds no state dict"),
    ],
)
def test_odd_contents_of_a_file_get_a_sentence(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    torch.save(change(small().state_dict()), tmp_path / "w.pth")
    with pytest.raises(InfodiscardError, match=message):
        load_weights(small(), tmp_path / "w.pth")


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
