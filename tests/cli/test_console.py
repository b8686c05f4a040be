"""The console: where things go, and how an interruption ends."""

import os
import re
import signal

import pandas as pd
import pytest
import typer

from infodiscard import InfodiscardError
from infodiscard.cli.console import INTERRUPTED, TERMINATED, announce, file_name, fresh, interruptible, write_table
from synthetic import make_run


def test_names_suit_every_file_system():
    assert file_name("torchvision:resnet18, a/b") == "torchvision-resnet18-a-b" and len(file_name("x" * 99)) == 80
    assert re.fullmatch(r"runs/a\+b-\d{8}-\d{6}", str(fresh({"a": None, "b": None})))


def test_a_run_that_is_there_is_announced(tmp_path, capsys):
    announce(make_run(tmp_path / "new", layers=("a",), samples=2, size=4), known=False)
    announce(make_run(tmp_path / "part", layers=("a", "b"), samples=2, size=4, units=1), known=True)
    announce(make_run(tmp_path / "whole", layers=("a",), samples=2, size=4), known=True)
    new, part, whole = capsys.readouterr().out.splitlines()
    assert new == f"Run in {tmp_path / 'new'}"
    assert "1 of 2 parts are finished; going on" in part and "finished; it is reopened" in whole


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
def test_signals_say_what_is_kept(sent, code, capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, interruptible("here"):
        os.kill(os.getpid(), sent)
    assert ended.value.exit_code == code and "What was finished is kept in 'here'" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_table_that_cannot_be_written_is_one_sentence(tmp_path):
    table = pd.DataFrame({"a": [1]})
    write_table(table, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"
    with pytest.raises(InfodiscardError, match="Could not write the table"):
        write_table(table, tmp_path / "nowhere" / "a.csv")
