"""Progress in notebooks: text that needs no widget."""

import sys
from types import SimpleNamespace

import pytest

import infodiscard
from infodiscard.measurement.text_bar import TextBar, in_notebook
from small_network import images, tiny


@pytest.fixture
def kernel(monkeypatch):
    """Makes this process look like a notebook's kernel."""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return shell


def test_a_terminal_is_no_notebook(monkeypatch):
    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert not in_notebook()  # IPython in a terminal


def test_a_measurement_in_a_notebook_shows_lines_that_are_written_over(kernel, capsys):
    infodiscard.measure(tiny(), images(2), ["0", "1"], max_passes=96, tolerance=1)
    shown = capsys.readouterr()
    lines = shown.out.rstrip("\n").split("\r")
    assert shown.err == "" and "\n" not in shown.out[:-1] and "\x1b" not in shown.out
    assert lines[1].startswith("·") and "0/4 samples × layers" in lines[1]
    assert lines[-1].startswith("█" * 20) and "4/4 samples × layers" in lines[-1]


def test_a_shorter_line_leaves_nothing_of_a_longer_one(capsys):
    bar = TextBar(0, 4)
    bar.show(1, SimpleNamespace(remaining=(1.0, 2.0)), "network layer", at_once=True)
    bar.stop()
    first, second, last = capsys.readouterr().out.rstrip("\n").split("\r")[1:]
    assert "network layer" in second and "left" in second and len(last) >= len(second) > len(first)
