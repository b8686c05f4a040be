"""Options: their defaults are those of the library, and --help needs nothing heavy."""

import subprocess
import sys
from dataclasses import fields

import pytest
import typer

from infodiscard.cli import COMMANDS, app
from infodiscard.cli.options import QUICK, Measuring
from infodiscard.core.settings import Settings
from infodiscard.measurement.execution import Execution

HELP = """
import sys
from typer.testing import CliRunner
from infodiscard.cli import app
for words in (["--help"], []):
    result = CliRunner().invoke(app, words)
    assert "Usage" in result.output and "train-decoder" in result.output, result.output
heavy = {"torch", "numpy", "pandas", "zarr", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_needs_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_options_that_are_not_given_say_what_the_library_does():
    arguments = Measuring().arguments()
    names = set(Settings.names()) & {each.name for each in fields(Measuring)}
    assert set(Settings.names()) - names == {"noise_on"}
    assert Measuring().settings() == Settings()
    of_execution = {name: value for name, value in arguments.items() if name in Execution.names()}
    assert Execution(**of_execution) == Execution(device="cpu")
    assert set(arguments) == names | set(Execution.names()) - {"callback"} | {"layers", "out"}


def test_quick_stands_for_other_options_where_these_are_not_given():
    plain, quick = Measuring(), Measuring(quick=True).hastened(())
    assert (quick.samples, quick.max_passes, quick.tolerance, quick.block) == tuple(QUICK.values())
    assert Measuring(quick=True, samples=16).hastened({"samples"}).samples == 16 and plain.max_passes is None
    assert plain.hastened(()) == plain


def test_only_the_options_asked_for_are_returned():
    assert Measuring(tau="code", seed=3).arguments(["tau", "seed"]) == {"tau": "code", "seed": 3}
    assert Measuring(metrics="SID, ru").settings().metrics == ("sid", "ru")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_itself(name):
    listed = typer.main.get_command(app).commands[name]
    command = listed.load()
    assert command.name == name and len(command.params) > 1
    assert listed.help == " ".join(command.help.split("\n\n")[0].split())
