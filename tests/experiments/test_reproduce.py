"""The studies as a whole, from the command line, on a small made-up data folder: what they write, and going on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from data_folder import write_cifar10, write_cub
from infodiscard.cli import app
from infodiscard.experiments import STUDIES
from infodiscard.experiments.verdicts import FAILS, HOLDS, UNKNOWN

VERDICTS = {HOLDS, FAILS, UNKNOWN}
CLAIMS = {
    "coherency": 6,
    "maps": 2,
    "networks": 7,
    "flaws": 2,
    "compression": 3,
    "distillation": 3,
    "epochs": 2,
    "robustness": 6,
}
FIGURES = {study: [study] for study in STUDIES} | {"maps": ["sid_maps", "ru_maps"]}


def call(*words):
    return CliRunner().invoke(app, ["reproduce", *(str(word) for word in words)], prog_name="infodiscard")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with data sets in it."""
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path / "data" / "cifar10")
    write_cub(tmp_path / "data" / "CUB_200_2011")
    return tmp_path


def idle(monkeypatch):
    """Sees to it that nothing can be trained or measured any more."""

    def refuse(*_args, **_options):
        raise AssertionError("this was done before")

    monkeypatch.setattr("lightning.pytorch.Trainer.fit", refuse)
    monkeypatch.setattr("infodiscard.measurement.engines.work.measured", refuse)


def check_study(folder, study, output):
    """Checks everything that a study writes and prints; returns its table."""
    result = json.loads((folder / "result.json").read_text())
    assert result["study"] == study and result["profile"] == "quick" and result["seconds"] > 0
    assert result["command"] == f"infodiscard reproduce {study} --profile quick --data-dir DIR"
    assert len(result["claims"]) == CLAIMS[study]
    page = (folder / "result.md").read_text()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == CLAIMS[study] and all(len(row) == 4 for row in rows)
    for claim, row in zip(result["claims"], rows, strict=True):
        assert claim["verdict"] in VERDICTS and row[1].strip() == f"**{claim['verdict']}**"
        assert row[0].strip() == claim["text"] and row[2].strip().replace(r"\|", "|") == claim["statistic"]
    assert all(f"- {note}\n" in page for note in result["notes"])
    assert {path.stem for path in folder.glob("*.svg")} == {path.stem for path in folder.glob("*.png")}
    assert {path.stem for path in folder.glob("*.png")} == set(FIGURES[study])
    for name in FIGURES[study]:
        assert f"![{name}]({name}.png)" in page
        assert ElementTree.parse(folder / f"{name}.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
        with Image.open(folder / f"{name}.png") as picture:
            picture.load()
            assert min(picture.size) > 200 and picture.convert("L").getextrema()[0] < 100, "something is drawn"
    assert f"{study}: " in output and all(str(folder / f"{name}.png") in output for name in FIGURES[study])
    table = pd.read_csv(folder / "table.csv")
    assert len(table) and not table.duplicated().any()
    sid = table.loc[table["measure"] == "sid", "mean"] if "measure" in table else table["sid"]
    assert len(sid) and sid.notna().all()
    return table


@pytest.mark.slow
def test_every_study_from_the_command_line(place, monkeypatch):
    out = place / "out"
    result = call("all", "--profile", "quick", "--data-dir", "data", "--out", out)
    assert result.exit_code == 0, result.output
    tables = {study: check_study(out / study, study, result.stdout) for study in STUDIES}
    trained = sum(path.is_dir() for path in (out / "networks").iterdir())
    assert result.stdout.count("epoch 1/1: loss") == trained, "what several studies need is trained once"

    page = (out / "studies.md").read_text()
    html = (out / "studies.html").read_text()
    assert str(out / "studies.html") in result.stdout
    assert (
        html.count("data:image/png;base64,") == sum(map(len, FIGURES.values()))
        and "http" not in html.split("</style>")[1]
    )
    summary = [line for line in page.splitlines() if line.startswith("| ")][1 : sum(CLAIMS.values()) + 1]
    assert [line.split(" | ")[0][2:] for line in summary] == [name for name in STUDIES for _ in range(CLAIMS[name])]
    links = re.findall(r"\]\((.*?)\)", page)
    assert len(links) == sum(map(len, FIGURES.values())) and all((out / link).is_file() for link in links)

    # What does not depend on how well networks are trained.
    claims = {study: json.loads((out / study / "result.json").read_text())["claims"] for study in STUDIES}
    assert [claim["verdict"] for claim in claims["coherency"]] == [HOLDS, UNKNOWN, FAILS, FAILS, HOLDS, HOLDS]
    means = tables["coherency"].pivot_table(index=["measure", "layer"], columns="state", values="mean")
    assert (means.loc[["sid"], "after"] == means.loc[["sid"], "before"]).all(), "a factor of four rounds nothing"
    assert (means.loc["gradient", "after"] / means.loc["gradient", "before"]).tolist() == pytest.approx([4] * 5, 1e-3)
    assert set(tables["flaws"].groupby("network")["seed"].nunique()) == {2}
    assert set(tables["epochs"]["epoch"]) == {0, 1} and set(tables["maps"]["layer"]) == {"layer1", "layer2", "layer3"}
    assert tables["networks"].query("measure == 'concentration'")["network"].nunique() == 3
    families = {"resnet", "damaged", "alexnet", "vgg16", "vgg19", "distilled", "compressed"}
    assert set(tables["robustness"]["family"]) == families

    # Once more, nothing is left to do, and the same comes out.
    before = {study: (out / study / "table.csv").read_bytes() for study in ("flaws", "epochs")}
    idle(monkeypatch)
    for study, table in before.items():
        again = call(study, "--profile", "quick", "--data-dir", "data", "--out", out)
        assert again.exit_code == 0, again.output
        assert (out / study / "table.csv").read_bytes() == table
    assert json.loads((out / "flaws" / "result.json").read_text())["claims"] == claims["flaws"]


@pytest.mark.slow
def test_an_interrupted_study_goes_on_to_the_same_table(place):
    words = ["reproduce", "flaws", "--profile", "quick", "--data-dir", "data", "--out"]
    threads = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}

    def begin():
        return subprocess.Popen(
            [sys.executable, "-m", "infodiscard.cli", *words, "broken"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=threads,
        )

    def stop(pattern, how):
        """Starts the study and stops it once there is such a file; returns the exit code and what was said."""
        process, patience = begin(), time.monotonic() + 120
        while not list((place / "broken").glob(pattern)) and process.poll() is None and time.monotonic() < patience:
            time.sleep(0.02)
        process.send_signal(how)
        _, error = process.communicate(timeout=60)
        assert not (place / "broken" / "flaws").exists(), "it should not have got to the end"
        return process.returncode, error

    code, error = stop("networks/resnet20_damage=layer1.1-seed0", signal.SIGINT)
    assert code == 130 and "Traceback" not in error
    assert "What was finished is kept in 'broken'; the same command continues" in error
    assert stop("networks/*-seed1/last.ckpt", signal.SIGKILL)[0] == -signal.SIGKILL
    assert stop("runs/*/run.zarr", signal.SIGKILL)[0] == -signal.SIGKILL
    process = begin()
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0, error

    whole = call(*words[1:], "whole")
    assert whole.exit_code == 0, whole.output
    tables = [(place / name / "flaws" / "table.csv").read_text() for name in ("broken", "whole")]
    assert tables[0] == tables[1] and len(tables[0].splitlines()) == 23
    assert output.count("epoch 1/1") < whole.stdout.count("epoch 1/1") == 4


# -- what is refused -------------------------------------------------------------------------------------------------


def refused(place, *words):
    """Checks that bad input costs one line, exit code 2 and no file; returns the line."""
    before = sorted(place.rglob("*"))
    result = call(*words)
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert re.fullmatch(r"Error: [^\n]{20,}\.\n", result.stderr), result.stderr
    assert sorted(place.rglob("*")) == before
    return result.stderr


def test_what_cannot_be_reproduced_is_said_in_a_sentence(place):
    said = refused(place, "flawz", "--profile", "quick", "--data-dir", "data")
    assert "no study 'flawz'" in said and "near it is 'flaws'" in said and all(study in said for study in STUDIES)
    said = refused(place, "flaws", "--profile", "qick", "--data-dir", "data")
    assert "no profile 'qick'" in said and "near it is 'quick'" in said
    for study in ("flaws", "all"):
        said = refused(place, study, "--profile", "quick", "--data-dir", "nowhere")
        assert "no folder 'nowhere'" in said and "--data-dir" in said
    (place / "file").touch()
    assert "'file/out'" in refused(place, "flaws", "--profile", "quick", "--data-dir", "data", "--out", "file/out")
    assert call("--profile", "quick").exit_code == 2


def test_help_names_every_study():
    said = " ".join(re.sub("[│|]", " ", call("--help").stdout).split())
    assert all(name in said for name in (*STUDIES, "or all")) and "'quick'" in said and "--data-dir" in said


@pytest.mark.parametrize("study", ["flaws", "networks", "compression"])
def test_missing_data_are_told_before_anything_is_trained(place, study):
    if study == "flaws":
        (place / "data" / "cifar10" / "train-00000-of-00001.parquet").rename(
            place / "data" / "cifar10" / "train-00000-of-00002.parquet"
        )
        missing = "train-00001-of-00002.parquet' is missing; huggingface-cli download"
    else:
        (place / "data" / "CUB_200_2011" / "bounding_boxes.txt").unlink()
        missing = "bounding_boxes.txt' is missing; fetch and unpack CUB-200-2011"
    (place / "runs" / "reproduce-quick").mkdir(parents=True)
    assert missing in refused(place, study, "--profile", "quick", "--data-dir", "data")
