"""The command line as a whole: its errors, its help and its version."""

import subprocess
import sys
from pathlib import Path

import pytest

from shell import QUICK, call, refused


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


def test_version_is_printed():
    assert call("--version").exit_code == 0


FAULTS = """
import sys
from torch import nn

class Net(nn.Module):
    def __init__(self, fails):
        super().__init__()
        self.conv1, self.fails = nn.Conv2d(3, 4, 3), fails
    def forward(self, x):
        self.fails()
        return self.conv1(x)

def asserts(): assert False, "sizes do not fit"
def looks_up(): {}["missing"]
def leaves(): sys.exit("no GPU here")

def good(): return Net(int)
def bad(): return Net(asserts)
def key(): return Net(looks_up)
def exits(): return Net(leaves)
def gone(): sys.exit(1)
"""
SPACE = ("--data", "npz:good.npz", "--mean", "0,0,0", "--std", "1,1,1")


@pytest.mark.parametrize("function", ["bad", "key", "exits", "gone"])
def test_a_network_that_fails_is_bad_input_and_not_worse_than_its_base(function, place):
    Path("faults.py").write_text(FAULTS)
    assert call("measure", "faults.py:good", *SPACE, "--layers", "conv1", "--out", "base", *QUICK).exit_code == 0
    result = call("check", "base", f"faults.py:{function}", *SPACE, *QUICK[:2])
    assert result.exit_code == 2 and result.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("error", [ZeroDivisionError("by\nzero"), SystemExit(1), MemoryError(), AssertionError()])
def test_errors_of_its_own_have_an_exit_code_of_their_own(error, place, monkeypatch):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("infodiscard.cli.commands.status.verify_run", fails)
    result = call("verify", "run")
    assert result.exit_code == 70 and "infodiscard itself failed (" in result.stderr and "--debug" in result.stderr
    assert type(error).__name__ in result.stderr and "Traceback" not in result.stderr
    assert "Traceback" in call("verify", "run", "--debug").stderr


def test_debug_shows_where_in_the_users_own_code(place):
    Path("faults.py").write_text(FAULTS)
    words = ("measure", "faults.py:bad", *SPACE, *QUICK)
    assert "Traceback" not in call(*words).stderr
    for given in (("--debug", *words), (*words, "--debug")):
        result = call(*given)
        assert result.exit_code == 2 and 'assert False, "sizes do not fit"' in result.stderr


def test_a_path_that_the_system_refuses_is_bad_input(place):
    for words in (("measure", "net.py:plain", "--data", "npz:good.npz", "--out"), ("verify",), ("status",)):
        assert "name too long" in refused(place, *words, "x" * 3000)


@pytest.mark.slow
def test_a_reader_that_closes_is_no_verdict(place):
    command = f"{sys.executable} -m infodiscard.cli layers demo | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert result.returncode == 141 and result.stderr == ""
