"""Commands that compare networks or runs."""

from pathlib import Path

import numpy as np
import pandas as pd

import infodiscard
from shell import QUICK, call, refused
from synthetic import make_run


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


def test_the_command_measures_networks_and_keeps_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(
        "import torch\nfrom torch import nn\nfrom infodiscard import Network\n\n\n"
        "def make(name, half):\n"
        "    torch.manual_seed(0)\n"
        "    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))\n"
        "    seen = (torch.arange(8) >= 4).float() if half else torch.ones(8)\n"
        "    module.register_forward_pre_hook(lambda _, inputs: (inputs[0] * seen,))\n"
        "    return Network(module, name, (0.5,) * 3, (0.25,) * 3, (8, 8), ('0', '2'))\n\n\n"
        "def whole(): return make('net', False)\n"
        "def half(): return make('net', True)\n"
    )
    np.savez("images.npz", images=np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8))
    quick = ("--data", "npz:images.npz", "--max-passes", "256", "--tolerance", "0.5", "--no-progress")
    both = call("check", "nets.py:whole", "nets.py:half", *quick, "--samples", "4", "--out", "kept")
    assert both.exit_code == 1, both.output
    assert "DIFFERS" in both.stdout.splitlines()[-1] and "run  kept" in both.stdout.splitlines()
    assert infodiscard.open_run("kept").plan.networks == ("base", "candidate")  # both are called 'net'
    again = call("check", "kept/base", "kept/candidate")
    assert again.exit_code == 1 and again.stdout.splitlines()[-1] == both.stdout.splitlines()[-1]

    # Against a run: on its layers, as many images, under its settings, and kept nowhere.
    assert call("measure", "nets.py:whole", *quick, "--samples", "3", "--layers", "0", "--out", "base").exit_code == 0
    before = set(tmp_path.rglob("*"))
    words = ("--data", "npz:images.npz", "--no-progress")
    for spec, code in (("whole", 0), ("half", 1)):
        result = call("check", "base", f"nets.py:{spec}", *words)
        assert result.exit_code == code and "over 3 images" in " ".join(result.stdout.split()), result.output
        assert [line.split()[0] for line in result.stdout.splitlines() if line[:2] in ("0 ", "2 ")] == ["0"]
    new = {path for path in set(tmp_path.rglob("*")) - before if "__pycache__" not in path.parts}
    assert not new
    other = call("check", "base", "nets.py:half", *words, "--alpha", "3")
    assert other.exit_code == 2 and "alpha differs (1.5 and 3.0)" in other.stderr
    few = call("check", "nets.py:whole", "nets.py:half", *quick, "--samples", "1")
    assert few.exit_code == 2 and "two or more" in few.stderr
