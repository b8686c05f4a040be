"""The command line: what it prints, where it writes, and what it says to bad input."""

import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from infodiscard.cli import app, keep_memory
from infodiscard.cli.parsing import common_size, named_runs, number_or_word, numbers, patterns, pixels
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network
from infodiscard.results.store import holds_run
from synthetic import make_run

NETWORKS = """
import torch
from torch import nn
from torch.nn import functional as F
from infodiscard import Network


class Tiny(nn.Module):
    def __init__(self, kind="plain"):
        super().__init__()
        self.conv1, self.relu, self.conv2 = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)
        self.kind = kind
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, x):
        x = self.relu(self.conv1(x))
        if self.kind == "random":
            x = F.dropout(x, training=True)
        x = self.conv2(x)
        if self.kind == "constant":
            x = x * 0
        return x.detach() if self.kind == "detached" else x


def network(kind="plain", size=(8, 8)):
    return Network(Tiny(kind), kind, (0.5,) * 3, (0.25,) * 3, size, ("conv1", "conv2"))


def plain(): return network()
def other(): return Network(Tiny(), "other", (0.5,) * 3, (0.25,) * 3, (8, 8), ("conv1", "conv2"))
def inner(*layers): return Network(nn.Sequential(Tiny()), "far", (0.5,) * 3, (0.25,) * 3, (8, 8), layers)
def far(): return inner("0.conv1", "0")
def short(): return inner("0")
def large(): return network("large", (16, 16))
def random(): return network("random")
def constant(): return network("constant")
def detached(): return network("detached")
def unknown(): return Tiny()
def broken(): raise RuntimeError("no such thing")
"""
QUICK = ("--max-passes", "256", "--samples", "2", "--no-progress")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with networks and images, good and bad."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NETWORKS)
    rng = np.random.default_rng(0)
    good = rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.savez("good.npz", images=good, labels=np.arange(3), boxes=np.tile([2, 2, 4, 4], (3, 1)))
    nan = good.transpose(0, 3, 1, 2).astype(np.float32) / 255
    nan[0, 0, 0, 0] = np.nan
    np.savez("nan.npz", images=nan)
    np.savez("integers.npz", images=good.astype(np.int64))
    np.savez("flat.npz", images=good.reshape(3, -1))
    np.savez("grey.npz", images=good[..., :1])
    Path("broken.npz").write_bytes(b"PK\x03\x04 nothing")
    Path("broken.safetensors").write_bytes(b"nothing")
    from safetensors.numpy import save_file

    save_file({"conv1.weight": np.zeros((4, 3, 3, 3), np.float32)}, "partial.safetensors")
    return tmp_path


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="infodiscard")


def contents(folder):
    """Every file below the folder with what is in it; directories too."""
    paths = [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts]
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


def refused(place, *words):
    """Checks that bad input costs one line, exit code 2 and no file; returns the line."""
    before = contents(place)
    result = call(*words)
    assert result.exit_code == 2, result.output
    assert contents(place) == before
    assert re.fullmatch(r"Error: [^\n]{20,}\.\n", result.stderr), result.stderr
    return result.stderr


BAD = {
    "unknown layer": (["net.py:plain", "--layers", "conv3"], "'conv1'.*'conv2'|'conv2'.*'conv1'"),
    "no match for a pattern": (["net.py:plain", "--layers", "block*"], "block"),
    "images with NaN": (["net.py:plain", "--data", "npz:nan.npz"], "nan"),
    "integer images": (["net.py:plain", "--data", "npz:integers.npz"], "int64"),
    "images of another shape": (["net.py:plain", "--data", "npz:flat.npz"], r"\(3, 192\)"),
    "images of one channel": (["net.py:plain", "--data", "npz:grey.npz"], "channel"),
    "no images": (["net.py:plain", "--data", "npz:nowhere.npz"], "nowhere.npz"),
    "broken images": (["net.py:plain", "--data", "npz:broken.npz"], "broken.npz"),
    "unknown data": (["net.py:plain", "--data", "cifar"], "'cifar10'"),
    "no samples": (["net.py:plain", "--samples", "0"], "1 or more"),
    "constant output": (["net.py:constant", "--layers", "output"], "output"),
    "no gradient": (["net.py:detached", "--layers", "output"], "output"),
    "random output": (["net.py:random", "--layers", "conv2"], "conv2|random"),
    "no weights": (["zoo:resnet20", "--data", "demo"], "--random-weights"),
    "missing weights": (["zoo:resnet20", "--weights", "nowhere.safetensors"], "nowhere.safetensors"),
    "broken weights": (["zoo:resnet20", "--weights", "broken.safetensors"], "broken.safetensors"),
    "weights of another network": (["zoo:resnet20", "--weights", "partial.safetensors"], "do not fit CifarResNet"),
    "too many weights": (["net.py:plain", "--weights", "a.pt", "--weights", "b.pt"], "twice for 1 network;"),
    "unknown network": (["zoo:resnet21"], "'zoo:resnet20'"),
    "failing function": (["net.py:broken"], "no such thing"),
    "unknown normalisation": (["net.py:unknown", "--layers", "conv1"], "--mean"),
    "networks of one name": (["net.py:plain", "net.py:plain"], "--name"),
    "networks of two sizes": (["net.py:plain", "net.py:large"], "8x8.*16x16"),
    "alpha": (["net.py:plain", "--alpha", "-1"], "alpha"),
    "alpha that is no number": (["net.py:plain", "--alpha", "nan"], "alpha"),
    "tau": (["net.py:plain", "--tau", "papers"], "tau.*paper"),
    "sigma": (["net.py:plain", "--sigma", "grid:99"], "grid"),
    "cap": (["net.py:plain", "--cap", "none"], "cap.*range"),
    "tolerance": (["net.py:plain", "--tolerance", "0"], "tolerance"),
    "passes": (["net.py:plain", "--max-passes", "0"], "max_passes|passes"),
    "metric": (["net.py:plain", "--metrics", "sid,entropy"], "sid, ru"),
    "no decoders": (["net.py:plain", "--metrics", "ru"], "infodiscard train-decoder .*'conv1,conv2'"),
    "device": (["net.py:plain", "--device", "gpu"], "gpu"),
    "mean": (["net.py:plain", "--mean", "a,b"], "--mean"),
    "size": (["net.py:plain", "--size", "8by8"], "--size"),
    "split": (["net.py:plain", "--split", "val"], "'val'"),
    "crop": (["net.py:plain", "--crop", "1.5"], "cub"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_writes_nothing(place, case):
    words, said = BAD[case]
    words = [*words, *QUICK] if "--samples" not in words and "--max-passes" not in words else words
    words = words if "--data" in words else [*words, "--data", "npz:good.npz"]
    error = refused(place, "measure", *words, "--out", "run")
    assert re.search(said, error), error


def test_usage_errors_exit_with_2(place):
    for words in (["measure", "net.py:plain"], ["measure", "net.py:plain", "--data", "demo", "--alpha", "x"], ["walk"]):
        result = call(*words)
        assert result.exit_code == 2 and "Traceback" not in result.output


def test_measure_prints_a_table_and_leaves_a_run(place):
    result = call("measure", "net.py:plain", "--data", "npz:good.npz", *QUICK, "--out", "run")
    assert result.exit_code == 0, result.output
    rows = [line for line in result.stdout.splitlines() if line.startswith(("conv1", "conv2"))]
    assert [row.split()[0] for row in rows] == ["conv1", "conv2"] and all(" ± " in row for row in rows)
    assert "concentr." in result.stdout and "run  run" in result.stdout.splitlines()
    assert Path("run/run.zarr").is_dir()

    before = contents(place)
    again = call("measure", "net.py:plain", "--data", "npz:good.npz", *QUICK, "--out", "run")
    assert again.exit_code == 0 and "reopened" in again.stdout and contents(place) == before

    said = refused(place, "measure", "net.py:plain", "--data", "npz:good.npz", *QUICK, "--out", "run", "--alpha", "2")
    assert "different run" in said and "alpha was 1.5, now 2" in said


def test_measure_prints_both_metrics_and_the_report_shows_reconstructions(place):
    quick = ("--max-passes", "256", "--samples", "1", "--layers", "bn1,layer1", "--no-progress")
    result = call("measure", "demo", "--data", "demo", "--metrics", "sid,ru", *quick, "--out", "run")
    assert result.exit_code == 0, result.output
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.startswith(("bn1 ", "layer1 "))]
    assert rows == ["bn1", "layer1"] * 2
    assert "RU ± se" in result.stdout and "floor" in result.stdout
    assert call("report", "run").exit_code == 0
    assert {"maps.png", "maps_ru.png", "reconstructions.png", "report.html"} <= {p.name for p in Path("run").iterdir()}


def test_an_out_with_other_files_is_left_alone(place):
    Path("thesis").mkdir()
    Path("thesis/chapter.txt").write_text("dear reader")
    said = refused(place, "measure", "net.py:plain", "--data", "npz:good.npz", *QUICK, "--out", "thesis")
    assert "thesis" in said
    assert "net.py" in refused(place, "measure", "net.py:plain", "--data", "npz:good.npz", *QUICK, "--out", "net.py")


def test_several_networks_and_layers_and_a_run_of_its_own_name(place):
    words = [
        "net.py:plain",
        "net.py:other",
        "--name",
        "a",
        "--name",
        "b",
        "--layers",
        "conv1,relu",
        "--layers",
        "output",
    ]
    result = call("measure", *words, "--data", "npz:good.npz", *QUICK)
    assert result.exit_code == 0, result.output
    (run,) = Path("runs").iterdir()
    assert re.fullmatch(r"a\+b-\d{8}-\d{6}", run.name) and str(run) in result.stdout
    compared = call("compare", run, "--csv", "table.csv")
    assert compared.exit_code == 0 and "SID of b minus that of a" in compared.stdout
    assert Path("table.csv").read_text().startswith("layer,a,b,mean_a")


def test_networks_are_measured_compared_and_reported_at_once(place):
    names = ("--name", "a", "--name", "b", "--name", "c")
    words = ("net.py:plain", "net.py:other", "net.py:plain", *names, "--data", "npz:good.npz", *QUICK)
    result = call("compare-networks", *words, "--tolerance", "0.5", "--out", "run")
    assert result.exit_code == 0, result.output
    titles = [line.rstrip() for line in result.stdout.splitlines() if " minus that of a" in line]
    assert titles == [f"{what} of {who} minus that of a" for what in ("SID", "concentration") for who in "bc"]
    table = pd.read_csv("run/comparison.csv")
    assert list(table.columns[:5]) == ["metric", "layer", "a", "b", "mean_a"]
    assert list(zip(table["metric"], table["b"], table["layer"], strict=True)) == [
        (what, who, layer) for what in ("sid", "concentration") for who in "bc" for layer in ("conv1", "conv2")
    ]
    assert (table["difference"] == 0).all() and (table["n"] == 2).all()  # the same weights, images and noise
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["comparison", "run/comparison.csv"] in lines and ["report", "run/report.html"] in lines
    assert {"layers.png", "comparison.csv", "report.html", "run.zarr"} <= {path.name for path in Path("run").iterdir()}
    again = call("compare-networks", *words, "--tolerance", "0.5", "--out", "run")
    assert again.exit_code == 0 and "reopened" in again.stdout


def test_compared_networks_without_shared_names_are_paired_by_position(place):
    words = ("net.py:plain", "net.py:far", "--data", "npz:good.npz", *QUICK, "--tolerance", "0.5")
    result = call("compare-networks", *words, "--out", "run")
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv("run/comparison.csv")["layer"]) == {"conv1 ~ 0.conv1", "conv2 ~ 0"}


def test_networks_that_cannot_be_compared_are_not_measured_first(place):
    rest = ("--data", "npz:good.npz", *QUICK, "--out", "run")
    assert "two networks or more" in refused(place, "compare-networks", "net.py:plain", *rest)
    assert "--name" in refused(place, "compare-networks", "net.py:plain", "net.py:plain", *rest)
    said = refused(place, "compare-networks", "net.py:plain", "net.py:short", *rest)
    assert "'plain' has 2 layers and 'far' has 1" in said
    assert "conv9" in refused(place, "compare-networks", "net.py:plain", "net.py:other", "--layers", "conv9", *rest)


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(place, monkeypatch):
    monkeypatch.setattr(import_module("infodiscard.api.measure"), "measure", interrupt)
    words = ["measure", "net.py:plain", "--data", "npz:good.npz"]
    named = call(*words, "--out", "run")
    assert named.exit_code == 130 and "kept in 'run'; the same command continues" in named.stderr
    monkeypatch.setattr(sys, "argv", ["infodiscard", *words])
    unnamed = call(*words)
    assert unnamed.exit_code == 130
    assert re.search(r"continues: infodiscard measure net.py:plain .* --out runs/plain-[\d-]+\n", unnamed.stderr)
    monkeypatch.setattr(import_module("infodiscard.zoo"), "load", interrupt)
    early = call(*words)
    assert early.exit_code == 130 and early.stderr == "\nInterrupted.\n"


def test_a_training_stopped_by_lightning_counts_as_interrupted(place, monkeypatch):
    def stop(*_, **__):  # what Lightning's trainer does on Ctrl-C
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr(import_module("infodiscard.training.train_network"), "train", stop)
    result = call("train", "resnet20", "--data", "npz:good.npz")
    assert result.exit_code == 130 and "runs/train-resnet20" in result.stderr
    monkeypatch.setattr(import_module("infodiscard.training.train_network"), "train", lambda *_, **__: sys.exit(7))
    assert call("train", "resnet20", "--data", "npz:good.npz").exit_code == 7


def test_train_hands_its_options_over(monkeypatch):
    seen = {}

    def train(*args, **options):
        seen.update(options, args=args)

    monkeypatch.setattr(import_module("infodiscard.training.train_network"), "train", train)
    result = call(
        "train", "resnet20", "--data", "cifar10", "--out", "w", "--epochs", "3", "--stop-after", "1", "--bf16"
    )
    assert result.exit_code == 0 and "goes on in 'w'" in result.stdout
    assert seen["args"] == ("resnet20", "cifar10", Path("w"))
    assert (seen["epochs"], seen["stop_after"], seen["bf16"], seen["samples"]) == (3, 1, True, None)


def test_layers_are_listed_in_order_with_the_default_ones_marked(place):
    result = call("layers", "net.py:plain")
    names = re.findall(r"^(• )? *(conv\d|relu) ", result.stdout, re.M)
    assert [name for _, name in names] == ["conv1", "relu", "conv2"]
    assert [bool(mark) for mark, _ in names] == [True, False, True]
    assert "4×6×6" in result.stdout
    assert "--size" in refused(place, "layers", "net.py:unknown")
    assert "2×12×12" in call("layers", "net.py:unknown", "--size", "16").stdout


@pytest.mark.parametrize("columns", ["80", "120"])
def test_tables_fit_the_terminal_uncut(tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    names = ("conv1", "encoder.layers.encoder_layer_11.ln_2", "features.denseblock1")
    run = make_run(tmp_path / "run", layers=names, samples=16, size=8, masks=True)
    result = call("report", run.path)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert all(len(line.rstrip()) <= int(columns) for line in lines if str(tmp_path) not in line)
    assert "…" not in result.stdout and "conv1" in result.stdout
    assert [line.split()[-1] for line in lines[-3:]] == [
        str(run.path / name) for name in ("layers.png", "maps.png", "report.html")
    ]


def test_one_page_about_several_runs(place):
    for name in ("a", "b"):
        make_run(Path(name), layers=("conv1", "fc"), samples=6, size=4, shift=0.1 * (name == "b"))
    result = call("report", "a", "late=b", "--out", "both.html")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1].split() == ["report", "both.html"]
    assert "SID of late against a: significantly higher in" in Path("both.html").read_text(encoding="utf-8")
    assert call("report", "a", "--out", "one.html").exit_code == 0 and not list(Path("a").glob("*.png"))
    assert call("report", "a", "--out", "files").exit_code == 0
    assert {"report.html", "layers.png", "maps.png", "values.csv"} <= {path.name for path in Path("files").iterdir()}
    assert "name them apart" in refused(place, "report", "a", "a=b")
    assert "'nowhere' does not exist" in refused(place, "report", "a", "nowhere")


def test_what_should_not_be_trusted_is_said_in_words(tmp_path):
    make_run(tmp_path / "a", layers=("conv1", "fc"), samples=6, size=4)
    make_run(tmp_path / "b", layers=("conv1", "fc"), samples=6, size=4, units=1, alpha=2.0)
    whole, part = call("report", tmp_path / "a").stdout, call("report", tmp_path / "b").stdout
    assert re.search(r"^fc !", whole, re.M) and "resnet20 fc: not converged for 17% of the samples." in whole
    assert "the run is not finished: 1 of 2 units are missing." in part
    compared = " ".join(call("compare", tmp_path / "a", f"late={tmp_path / 'b'}").stdout.split())
    assert "SID of late minus that of a" in compared and "alpha differs (1.5 and 2.0)" in compared


def test_runs_that_are_not_there_or_alike_are_refused(tmp_path):
    make_run(tmp_path / "a", layers=("conv1",), samples=2, size=4)
    assert "nowhere" in refused(tmp_path, "report", tmp_path / "nowhere")
    assert "nowhere" in refused(tmp_path, "compare", tmp_path / "a", tmp_path / "nowhere")
    assert "named 'a'" in refused(tmp_path, "compare", tmp_path / "a", tmp_path / "a")
    assert "two networks or more" in refused(tmp_path, "compare", tmp_path / "a")
    twice = (tmp_path / "a", f"b={tmp_path / 'a'}")
    assert "'sid'" in refused(tmp_path, "compare", *twice, "--metric", "side")
    assert "position" in refused(tmp_path, "compare", *twice, "--by", "depth")
    assert "'b'" in refused(tmp_path, "compare", *twice, "--reference", "c")


@pytest.mark.slow
def test_a_real_interrupt_ends_with_130_and_the_run_goes_on(place):
    words = [
        sys.executable,
        "-m",
        "infodiscard.cli",
        "measure",
        "net.py:plain",
        "--data",
        "npz:good.npz",
        "--out",
        "run",
    ]
    slow = subprocess.Popen(
        [*words, "--tolerance", "1e-9", "--max-passes", "1000000"], stderr=subprocess.PIPE, text=True
    )
    patience = time.monotonic() + 40
    while not holds_run("run") and time.monotonic() < patience:
        time.sleep(0.05)
    slow.send_signal(signal.SIGINT)
    _, said = slow.communicate(timeout=30)
    assert slow.returncode == 130 and "Traceback" not in said
    assert "What was finished is kept in 'run'; the same command continues" in said


@pytest.mark.slow
def test_errors_of_the_installed_command_have_no_traceback(place):
    words = [sys.executable, "-m", "infodiscard.cli", "measure", "zoo:resnet21", "--data", "demo"]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1


@pytest.mark.slow
def test_help_does_not_wait_for_heavy_imports():
    heavy = {"lightning", "matplotlib", "pandas", "torchvision", "xarray", "zarr"}
    code = f"import sys, infodiscard.cli; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
    for command in ("demo", "layers", "measure", "compare", "report", "train", "train-decoder"):
        assert call(command, "--help").exit_code == 0
    for command in ("compare-networks", "check"):
        said = call(command, "--help").stdout
        assert "--max-passes" in said and "--tolerance" in said and "--options" not in said
    assert "Holm" in said and "--max-increase" in said


def test_memory_setting_does_without_glibc(monkeypatch):
    class Other:
        pass

    monkeypatch.setattr("ctypes.CDLL", lambda _: Other())
    assert keep_memory() is None


def test_version_is_printed():
    assert call("--version").exit_code == 0


def test_texts_become_values():
    assert patterns(None) is None and patterns(["a,b*", " c "]) == ["a", "b*", "c"]
    assert numbers("0.5, 1", "mean") == (0.5, 1.0) and numbers(None, "mean") is None
    assert pixels("32") == (32, 32) and pixels("224x192") == (224, 192) and pixels(None) is None
    for wrong in ("0", "-3", "3x", "3.5", "x"):
        with pytest.raises(InfodiscardError, match="--size"):
            pixels(wrong)
    assert number_or_word("1e-4") == 1e-4 and number_or_word("code") == "code"


def test_runs_are_named_by_their_directory_or_as_told(tmp_path):
    odd = tmp_path / "tau=1"
    odd.mkdir()
    assert named_runs([str(odd), f"other={odd}"]) == {"tau=1": str(odd), "other": str(odd)}


def test_networks_of_any_size_take_that_of_the_others():
    from torch import nn

    free, fixed = Network(nn.Identity(), "free"), Network(nn.Identity(), "fixed", input_size=(4, 6))
    assert common_size({"free": free}) is None and common_size({"free": free, "fixed": fixed}) == (4, 6)


def test_train_decoder_trains_once_and_prints_a_table(place):
    words = ["train-decoder", "net.py:plain", "--data", "npz:good.npz", "--layers", "conv1,conv2", "--decoders", "kept"]
    quick = [*words, "--epochs", "2", "--width", "2"]
    part = call(*quick, "--stop-after", "1")
    assert part.exit_code == 0 and "goes on in 'kept'" in part.stdout, part.output
    result = call(*quick)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines() if re.match(r"conv\d +\d", line)]
    assert [row[0] for row in rows] == ["conv1", "conv2"] and all(len(row) == 4 for row in rows)
    assert "epoch 1/2" not in result.stdout and "epoch 2/2" in result.stdout
    assert "Measured on 1 image held out of 'npz:good.npz'." in result.stdout and "Decoders in kept" in result.stdout
    before = contents(place)
    again = call(*quick)
    assert again.stdout.count("it was there already") == 2 and "epoch" not in again.stdout
    assert contents(place) == before


def test_train_decoder_refuses_bad_input(place):
    cases = {
        "conv9": ["net.py:plain", "--layers", "conv9"],
        "epochs is 0": ["net.py:plain", "--epochs", "0"],
        "mean and std": ["net.py:unknown", "--layers", "conv1", "--size", "8"],
        "--random-weights|--weights": ["zoo:resnet20"],
        "nowhere.npz": ["net.py:plain", "--data", "npz:nowhere.npz"],
        "--std": ["net.py:plain", "--std", "a"],
    }
    Path("kept").mkdir()
    for said, words in cases.items():
        data = [] if "--data" in words else ["--data", "npz:good.npz"]
        error = refused(place, "train-decoder", *words, *data, "--decoders", "kept")
        assert re.search(said, error), error


def test_train_decoder_hands_its_options_over(place, monkeypatch):
    seen = {}

    def train(*args, **options):
        seen.update(options, args=args[1:])
        return {}

    monkeypatch.setattr(import_module("infodiscard.training.train_decoders"), "train_decoders", train)
    monkeypatch.setenv("INFODISCARD_CACHE", "cache")
    words = ["--samples", "5", "--seed", "7", "--lr", "0.1", "--bf16", "--half", "--test-data", "demo"]
    assert call("train-decoder", "net.py:plain", "--data", "cifar10", *words).exit_code == 0
    assert seen["args"] == ("cifar10", (), Path("cache/decoders"))
    assert {name: seen[name] for name in ("samples", "seed", "lr", "bf16", "half", "test_data", "stop_after")} == {
        "samples": 5,
        "seed": 7,
        "lr": 0.1,
        "bf16": True,
        "half": True,
        "test_data": "demo",
        "stop_after": None,
    }
    monkeypatch.setattr(import_module("infodiscard.training.train_decoders"), "train_decoders", interrupt)
    stopped = call("train-decoder", "net.py:plain", "--data", "cifar10")
    assert stopped.exit_code == 130 and "kept in 'cache/decoders'; the same command continues" in stopped.stderr
