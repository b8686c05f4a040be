"""Tables for programs: JSON and CSV, and nothing else on standard output; plain columns in pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import infodiscard
from infodiscard.cli.tables import show_run
from shell import QUICK, call
from synthetic import make_run, shared_run

SMALL = {"layers": ("conv1", "fc"), "samples": 8, "size": 6}


@pytest.fixture
def runs(place):
    """Two runs in the working directory."""
    for name in ("one", "two"):
        make_run(place / name, pictures=True, **SMALL)


COMMANDS = {
    "layers net.py:plain": ("layer", "conv1", {"network", "input"}),
    "compare one two": ("layer", "conv1", {"metric"}),
    "check one two": ("layer", "conv1", {"verdict", "sentence", "worst", "accuracy", "metric"}),
    "report one": ("run", "one", set()),
    "status one": ("layer", "conv1", {"run", "finished", "state"}),
}


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_give_their_table_and_nothing_else(line, runs):
    column, first, facts = COMMANDS[line]
    plain, found, table = call(*line.split()), call(*line.split(), "--json"), call(*line.split(), "--csv", "-")
    answer = json.loads(found.stdout)
    assert answer["rows"][0][column] == first and set(answer) == facts | {"rows"}
    head, row, *_ = table.stdout.splitlines()
    assert column in head.split(",") and first in row.split(",")
    assert found.exit_code == table.exit_code == plain.exit_code == 0, found.output
    written = call(*line.split(), "--csv", "table.csv")
    assert Path("table.csv").read_text() == table.stdout and "table.csv" in written.stdout


def test_a_measurement_says_where_it_is(place):
    words = ("measure", "net.py:plain", "--data", "npz:good.npz", *QUICK, "--out", "run")
    found = call(*words, "--json")
    answer = json.loads(found.stdout)
    assert answer["run"] == "run" and answer["finished"] is True and "Run in run" in found.stderr
    assert [row["layer"] for row in answer["rows"]] == ["conv1", "conv2"] and answer["rows"][0]["trust"]
    assert "table" in call(*words).stdout and Path("run/layers.png").is_file() and Path("run/summary.csv").is_file()


def test_a_place_that_cannot_be_is_told_before_anything_is_measured(place):
    result = call("measure", "net.py:plain", "--data", "npz:good.npz", *QUICK, "--csv", "nowhere/a.csv", "--out", "run")
    assert result.exit_code == 2 and "--csv was 'nowhere/a.csv'" in result.stderr and not Path("run").exists()


def test_the_place_of_a_run_is_said_once_its_input_is_checked(place):
    words = ("measure", "net.py:plain", "--data", "npz:good.npz", *QUICK)
    assert "Run in" not in call(*words, "--layers", "conv9", "--out", "run").output
    assert "Run in run\n" in call(*words, "--out", "run").output
    assert "Run in run: there already, finished" in call(*words, "--out", "run").output


def test_quick_leaves_alone_what_is_typed(place):
    found = call("measure", "demo", "--data", "demo", "--layers", "bn1", "--quick", "--samples", "16", "--no-progress")
    assert "fewer than the 16 of --samples" in found.stderr
    (run,) = Path("runs").iterdir()
    plan = infodiscard.open_run(run).plan
    assert len(plan.samples) == 12 and plan.settings.max_passes["sid"] == 128 and plan.block == 1


def test_a_report_in_a_directory_that_is_not_there_yet(runs):
    assert call("report", "one", "--out", "new/").exit_code == 0 and Path("new/maps.png").is_file()
    assert call("report", "one", "two", "--out", "both/").exit_code == 0 and Path("both/report.html").is_file()


def test_pipes_have_plain_columns_and_terminals_have_frames():
    run = shared_run(**SMALL)
    for terminal in (False, True):
        console = Console(width=60, force_terminal=terminal, color_system=None, highlight=False)
        with console.capture() as capture:
            show_run(console, run)
        lines = capture.get().splitlines()
        assert any("─" in line for line in lines) is terminal
        row = next(line for line in lines if line.startswith("conv1"))
        assert len(row.split("  ")) > 5  # whole, though wider than the terminal


@pytest.mark.slow
def test_the_module_is_the_command_and_shells_complete_it():
    whole = subprocess.run([sys.executable, "-m", "infodiscard", "--version"], capture_output=True, text=True)
    assert whole.returncode == 0 and whole.stdout.strip() == infodiscard.__version__
    words = {"_INFODISCARD_COMPLETE": "complete_bash", "COMP_WORDS": "infodiscard measure --qu", "COMP_CWORD": "2"}
    code = "import sys; sys.argv = ['infodiscard']; from infodiscard.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | words)
    assert done.stdout.split() == ["--quick"]


def test_the_package_lists_its_public_names_alone():
    names = {name for name in dir(infodiscard) if not name.startswith("_")}
    assert names == {*infodiscard.__all__, "data", "plots", "report", "training", "zoo"}
    assert infodiscard.zoo.load and infodiscard.__version__ and "TYPE_CHECKING" not in dir(infodiscard)
