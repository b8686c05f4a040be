"""The command that reruns the paper's studies."""

import re
from importlib import import_module

from infodiscard.cli.commands.reproduce import NAMES
from shell import call, interrupt


def test_the_help_names_every_study():
    studies = import_module("infodiscard.experiments").STUDIES
    assert re.split(r",(?: or)? ", NAMES) == [*studies, "all"]


def test_an_unknown_study_is_refused(place):
    result = call("reproduce", "everything")
    assert result.exit_code == 2 and "everything" in result.stderr and "Traceback" not in result.output


def test_an_interrupted_study_says_where_it_is_kept(place, monkeypatch):
    monkeypatch.setattr("infodiscard.cli.commands.reproduce.run_study", interrupt)
    result = call("reproduce", "maps", "--profile", "quick")
    assert result.exit_code == 130 and "kept in 'runs/reproduce-quick'" in result.stderr
