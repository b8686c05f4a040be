"""The command line as a whole: its errors, its help and its version."""

import subprocess
import sys

import pytest

from shell import call


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
