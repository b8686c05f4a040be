"""Commands that measure or read a run: what they print, where they write, and what they say to bad input."""

import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from infodiscard.results.store import holds_run
from shell import QUICK, call, contents, interrupt, refused
from synthetic import make_run

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
    assert "concentr." in result.stdout and "next: infodiscard report run" in result.stdout
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


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(place, monkeypatch):
    monkeypatch.setattr("infodiscard.cli.loading.carry", interrupt)
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


def test_layers_are_listed_in_order_with_the_default_ones_marked(place):
    result = call("layers", "net.py:plain")
    names = re.findall(r"^(• )? *(conv\d|relu) ", result.stdout, re.M)
    assert [name for _, name in names] == ["conv1", "relu", "conv2"]
    assert [bool(mark) for mark, _ in names] == [True, False, True]
    assert "4×6×6" in result.stdout
    assert "2×220×220" in call("layers", "net.py:unknown").stdout  # its input size is not known, and 224 × 224 fits
    assert "2×12×12" in call("layers", "net.py:unknown", "--size", "16").stdout


@pytest.mark.parametrize("columns", ["80", "120"])
def test_tables_have_names_and_numbers_in_one_piece(tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    names = ("conv1", "encoder.layers.encoder_layer_11.ln_2", "features.denseblock1")
    run = make_run(tmp_path / "run", layers=names, samples=16, size=8, masks=True)
    result = call("report", run.path)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    rows = [line for line in lines if line.startswith(names)]
    assert len(rows) == len(names) and len({len(line.rstrip()) for line in rows}) == 1  # whole, each on one line
    assert max(map(len, rows)) <= 120 and "…" not in result.stdout
    assert [line.split()[-1] for line in lines[-4:]] == [
        str(run.path / name) for name in ("layers.png", "maps.png", "summary.csv", "report.html")
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
