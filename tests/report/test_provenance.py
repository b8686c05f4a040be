"""Provenance: the command that repeats a run, and what is recorded of it."""

import shlex
from pathlib import Path

from typer.testing import CliRunner

from infodiscard import data, measure, open_run, zoo
from infodiscard.cli import app
from infodiscard.report.content import read
from infodiscard.report.provenance import command, recipes
from infodiscard.report.sentences import warnings
from pages import HOSTILE, SMALL, hostile_run
from pictures import write_pictures
from synthetic import RESNET, make_run, shared_run


def test_the_command_says_what_a_run_records():
    run = make_run(networks=("a", "b"), tolerance=0.01, **SMALL)
    words = shlex.split(command(run))
    assert words[:6] == ["infodiscard", "measure", "NETWORK", "NETWORK", "--data", "SPEC"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options["--name"] == "b" and options["--layers"] == ",".join(RESNET[:3]) and options["--metrics"] == "sid"
    assert (options["--alpha"], options["--tolerance"], options["--samples"]) == ("1.5", "0.01", "6")
    assert options["--precision"] == "full" and options["--max-passes"] == "5000"


def test_the_command_names_what_a_run_is_of_and_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my nets").mkdir()
    Path("my nets/net.py").write_text("from infodiscard import zoo\ndef build():\n    return zoo.load('demo').module\n")
    boxes = "".join(f"{name},4,5,20,10\n" for name in ("a.png", "b.png"))
    for place, name in (("pictures", "x.csv"), ("my nets/pictures", "../x.csv")):
        write_pictures(tmp_path / place, "a.png", "b.png", height=48, width=40)
        Path(place, name).write_text(f"name,x,y,width,height\n{boxes}")
    words = [
        "my nets/net.py:build",
        "--data",
        "folder:pictures",
        "--size",
        "32",
        "--mean",
        "0.485,0.456,0.406",
        "--std",
        "0.229,0.224,0.225",
    ]
    words += ["--annotations", "pictures/x.csv"]
    words += ["--samples", "2", "--layers", "conv1", "--max-passes", "96", "--out", "a", "--tolerance", "0.5"]
    result = CliRunner().invoke(app, ["measure", *words])
    assert result.exit_code == 0, result.output
    run = open_run(tmp_path / "a")
    assert run.plan.origin["network/build"] == "net.py:build" and run.plan.origin["data"] == "folder:pictures"
    assert str(tmp_path) not in str(dict(run.dataset.attrs)) and "my nets" not in str(dict(run.dataset.attrs))
    monkeypatch.chdir(tmp_path / "my nets")
    again = CliRunner().invoke(app, [*shlex.split(command(run))[1:], "--out", "b"])
    assert again.exit_code == 0, again.output
    assert open_run("b").to_dataframe().equals(run.to_dataframe())
    assert "build: net.py:build\ndata: folder:pictures\n" in CliRunner().invoke(app, ["status", "b"]).stdout


def test_random_weights_are_told_and_asked_for_again(tmp_path):
    network = zoo.load("zoo:resnet20", allow_random=True, seed=3)
    run = measure(network, data.load("demo", 2), ["conv1"], max_passes=96, tolerance=0.5, progress=False, seed=3)
    assert run.plan.random == ("resnet20",) and run.plan.described()[0] == "resnet20: zoo:resnet20, random weights"
    words = shlex.split(command(run))
    assert words[2] == "zoo:resnet20" and "--random-weights" in words and "--weights" not in words
    said = "resnet20: random weights, which say nothing of a trained network."
    assert said in warnings(read(run))


def test_networks_of_other_layers_have_a_command_each():
    lines = command(make_run(networks=("a b", "c"), cap={"a b": 1.0, "c": 2.0}, **SMALL)).splitlines()
    assert [shlex.split(line)[2:7] for line in lines] == [
        ["NETWORK", "--data", "SPEC", "--name", name] for name in ("a b", "c")
    ]
    assert ["--cap 1.0" in lines[0], "--cap 2.0" in lines[1]] == [True, True]


def test_hostile_names_are_quoted():
    assert HOSTILE[1] in shlex.split(command(hostile_run()))


def test_settings_hashes_and_versions_are_texts():
    (recipe,) = recipes({"a": shared_run(**SMALL)})
    assert list(recipe.tables) == ["Settings", "Hashes (SHA-256)", "Versions"]
    assert recipe.tables["Settings"]["alpha"] == "1.5" and recipe.tables["Settings"]["sigma"] == "pixel"
    assert "created" in recipe.tables["Versions"] and "torch" in recipe.tables["Versions"]
