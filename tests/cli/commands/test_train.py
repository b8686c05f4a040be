"""Commands that train and compress: what they hand over, print and leave."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from infodiscard import zoo
from infodiscard.training.compress import Compressed
from infodiscard.training.compressed_size import size_report
from infodiscard.training.weight_sharing import share
from shell import call, contents, interrupt, refused
from tiny import write_tiny


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_student_of_a_damaged_network_is_trained_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[object] = ["--data", "npz:tiny.npz", "--test-data", "npz:tiny.npz", "--epochs", 1, "--batch-size", 12]
    made = call("train", "resnet20,width=0.1", "--damage", "layer2.1", *words)
    assert made.exit_code == 0, made.output
    teacher = "runs/train-resnet20-width-0.1-damage-layer2.1/resnet20.safetensors"
    assert f"{teacher}: test accuracy " in made.stdout
    taught = ["train", "alexnet,width=0.05", *words, "--teacher", teacher, "--keep-epochs", "0,1", "--out", "student"]
    made = call(*taught)
    assert made.exit_code == 0, made.output
    assert sorted(path.name for path in (data / "student").iterdir()) == [
        "alexnet.safetensors", "epoch-000.safetensors", "epoch-001.safetensors", "last.ckpt",
    ]  # fmt: skip
    monkeypatch.setattr("infodiscard.training.network_module.fit", lambda *_: pytest.fail("it was trained again"))
    assert call(*taught).stdout == made.stdout.splitlines()[-1] + "\n"
    assert zoo.load("student/alexnet.safetensors").source == "zoo:alexnet,width=0.05"


def test_train_hands_all_its_options_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    given: dict[str, Any] = {
        "samples": 7, "crop": 1.5, "test_data": "npz:t.npz", "test_samples": 3, "epochs": 4, "batch_size": 5,
        "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1, "label_smoothing": 0.2, "seed": 6, "weights": "w.pt",
        "keep": "zeros", "teacher": "demo", "teacher_weights": "t.pt", "temperature": 2.0, "teacher_share": 0.5,
        "keep_every": 2, "stop_after": 3,
    }  # fmt: skip
    monkeypatch.setattr(
        "infodiscard.cli.commands.train.run_training", lambda *args, **rest: seen.update(rest, args=args)
    )
    words = [word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", value)]
    result = call("train", "vgg16", "--data", "cifar10", *words, "--keep-epochs", "0,1", "--bf16")
    assert result.exit_code == 0, result.output
    assert seen == given | {
        "args": ("vgg16", "cifar10", Path("runs/train-vgg16")), "keep_epochs": (0, 1), "bf16": True,
    }  # fmt: skip


def test_train_leaves_what_is_usual_to_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr("infodiscard.cli.commands.train.run_training", lambda *_, **rest: seen.update(rest))
    call("train", "vgg16", "--data", "cifar10")
    assert seen["epochs"] == 30 and seen["keep_epochs"] == ()
    assert all(seen[key] is None for key in ("optimizer", "lr", "weight_decay", "weights", "teacher", "stop_after"))


@pytest.mark.parametrize("text", ["one", "1,,2", "-1", "²", "1.5"])
def test_epochs_to_keep_are_whole_numbers(text: str) -> None:
    result = call("train", "vgg16", "--data", "cifar10", f"--keep-epochs={text}")
    assert result.exit_code == 2 and f"--keep-epochs was '{text}'; give whole numbers" in result.stderr


@pytest.mark.slow
def test_compress_prints_what_is_left_and_keeps_all_sizes(data: Path) -> None:
    words: list[object] = ["--data", "npz:tiny.npz", "--test-data", "npz:tiny.npz", "--epochs", 1, "--batch-size", 12]
    assert call("train", "resnet20,width=0.1", *words, "--out", "whole").exit_code == 0
    result = call("compress", "whole/resnet20.safetensors", *words, "--threshold", 0.5, "--bits", 4)
    assert result.exit_code == 0, result.output
    out = Path("runs/compressed-resnet20")
    assert f"weights    {out}/compressed.safetensors\nall sizes  {out}/sizes.csv\n" in result.stdout
    assert "Test accuracy: original " in result.stdout and ", shared " in result.stdout
    sizes = pd.read_csv(out / "sizes.csv")
    assert sizes["name"].iloc[-1] == "total" and sizes["shared_values"].max() <= 16
    assert zoo.load(str(out / "compressed.safetensors")).source == "zoo:resnet20,width=0.1"
    assert call("compress", "zoo:resnet20", *words).exit_code == 2


def test_the_table_of_sizes_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names and the numbers of digits of a VGG-16 at its full width."""
    monkeypatch.setenv("COLUMNS", "80")
    module = zoo.load("zoo:vgg16,width=0.05", allow_random=True).module
    share(module, 8)
    report = size_report(module)
    report[["parameters", "left", "dense", "huffman"]] *= 400
    made = Compressed(Path("w.safetensors"), {"original": 0.5}, report, {})
    monkeypatch.setattr("infodiscard.cli.commands.train.run_compression", lambda *_, **__: made)
    monkeypatch.setattr("infodiscard.cli.commands.train.write_table", lambda *_: None)
    lines = call("compress", "vgg16", "--weights", "w.pt", "--data", "cifar10", "--out", "o").stdout.splitlines()
    assert all(len(line) <= 80 for line in lines) and len(lines) == len(report) + 6
    assert lines[2].split()[-1] == "smaller" and lines[3].split()[:2] == ["features.0", "32,400"]
    assert lines[-4].split()[:2] == ["total", f"{report['parameters'].iloc[-1]:,}"]


def test_a_training_stopped_by_lightning_counts_as_interrupted(place, monkeypatch):
    def stop(*_, **__):  # what Lightning's trainer does on Ctrl-C
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr("infodiscard.cli.commands.train.run_training", stop)
    result = call("train", "resnet20", "--data", "npz:good.npz")
    assert result.exit_code == 130 and "runs/train-resnet20" in result.stderr
    monkeypatch.setattr("infodiscard.cli.commands.train.run_training", lambda *_, **__: sys.exit(7))
    assert call("train", "resnet20", "--data", "npz:good.npz").exit_code == 70  # its own code may mean something here


def test_train_hands_its_options_over(monkeypatch):
    seen = {}

    def train(*args, **options):
        seen.update(options, args=args)

    monkeypatch.setattr("infodiscard.cli.commands.train.run_training", train)
    result = call(
        "train", "resnet20", "--data", "cifar10", "--out", "w", "--epochs", "3", "--stop-after", "1", "--bf16"
    )
    assert result.exit_code == 0 and "goes on in 'w'" in result.stdout
    assert seen["args"] == ("resnet20", "cifar10", Path("w"))
    assert (seen["epochs"], seen["stop_after"], seen["bf16"], seen["samples"]) == (3, 1, True, None)


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

    monkeypatch.setattr("infodiscard.cli.commands.train.train_decoders", train)
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
    monkeypatch.setattr("infodiscard.cli.commands.train.train_decoders", interrupt)
    stopped = call("train-decoder", "net.py:plain", "--data", "cifar10")
    assert stopped.exit_code == 130 and "kept in 'cache/decoders'; the same command continues" in stopped.stderr
