"""Provenance: the command that repeats a run, and what is recorded of it."""

import shlex

from infodiscard.report.provenance import command, recipes
from pages import HOSTILE, SMALL, hostile_run
from synthetic import RESNET, make_run, shared_run


def test_the_command_says_what_a_run_records():
    run = make_run(networks=("a", "b"), tolerance=0.01, **SMALL)
    words = shlex.split(command(run))
    assert words[:6] == ["infodiscard", "measure", "NETWORK", "NETWORK", "--data", "SPEC"]
    options = dict(zip(words[6::2], words[7::2], strict=True))
    assert options["--name"] == "b" and options["--layers"] == ",".join(RESNET[:3]) and options["--metrics"] == "sid"
    assert (options["--alpha"], options["--tolerance"], options["--samples"]) == ("1.5", "0.01", "6")
    assert options["--precision"] == "full"


def test_hostile_names_are_quoted():
    assert HOSTILE[1] in shlex.split(command(hostile_run()))


def test_settings_hashes_and_versions_are_texts():
    (recipe,) = recipes({"a": shared_run(**SMALL)})
    assert list(recipe.tables) == ["Settings", "Hashes (SHA-256)", "Versions"]
    assert recipe.tables["Settings"]["alpha"] == "1.5" and recipe.tables["Settings"]["sigma"] == "pixel"
    assert "created" in recipe.tables["Versions"] and "torch" in recipe.tables["Versions"]
