"""The user's file is run as a script is, and leaves the process as it was."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, zoo


def write(folder, **files):
    """Writes Python files by their names, and returns the spec of the function `build` of the first."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return f"{folder / next(iter(files))}.py:build"


def blocks(channels):
    return f"from torch import nn\ndef block(): return nn.Conv2d(3, {channels}, 3)\n"


def channels(spec):
    return zoo.load(spec).module.out_channels


@pytest.fixture(autouse=True)
def same_process():
    before = sys.path.copy(), sys.argv.copy(), set(sys.modules)
    yield
    left = {name for name in set(sys.modules) - before[2] if getattr(sys.modules[name], "__file__", "")}
    assert (sys.path, sys.argv) == before[:2]
    assert not [name for name in left if name.partition(".")[0] in ("blocks", "parts", "deep")]


NEIGHBOURS = {
    "at the top": "from blocks import block\nbuild = block\n",
    "in the function": "def build():\n    from blocks import block\n    return block()\n",
    "of a neighbour": "from deep import block\nbuild = block\n",
}


@pytest.mark.parametrize("case", NEIGHBOURS)
def test_a_file_imports_its_neighbour_and_not_that_of_another_file(case, tmp_path):
    first = write(tmp_path / "a", net=NEIGHBOURS[case], blocks=blocks(4), deep="from blocks import block")
    second = write(tmp_path / "b", net=NEIGHBOURS[case], blocks=blocks(5), deep="from blocks import block")
    assert [channels(each) for each in (first, second, first)] == [4, 5, 4]


def test_a_file_imports_a_package_beside_it(tmp_path):
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts", __init__="", inner="from .outer import block", outer=blocks(6))
    assert channels(write(tmp_path, net="from parts.inner import block as build")) == 6


def test_a_module_of_the_program_is_neither_taken_for_a_neighbour_nor_replaced(tmp_path, monkeypatch):
    own = ModuleType("blocks")
    own.__file__, own.block = str(tmp_path / "elsewhere/blocks.py"), lambda: nn.Conv2d(3, 9, 3)
    monkeypatch.setitem(sys.modules, "blocks", own)
    assert channels(write(tmp_path / "a", net=NEIGHBOURS["at the top"], blocks=blocks(4))) == 4
    assert sys.modules.pop("blocks") is own


def test_an_installed_library_comes_before_a_file_of_its_name(tmp_path):
    spec = write(tmp_path, net="import torch, json\nbuild = lambda: torch.nn.Conv2d(3, 7, 3)", torch="", json="")
    assert channels(spec) == 7 and sys.modules["torch"] is torch


def test_arguments_are_those_of_a_script_without_any(tmp_path):
    text = """import argparse, sys
from torch import nn
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=8)
width = parser.parse_args().width
def build():
    assert sys.argv == [__file__]
    return nn.Conv2d(3, width, 3)
"""
    assert channels(write(tmp_path, net=text)) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys\nsys.exit('no GPU here')", r"cannot be imported: SystemExit: no GPU here; fix the file"),
        ("import argparse\np = argparse.ArgumentParser()\np.add_argument('x')\np.parse_args()", "SystemExit: 2; fix"),
        ("def build():\n    raise SystemExit", r"failed with SystemExit: SystemExit; fix the function"),
        ("def build():\n    assert False, 'one\\ntwo'", r"failed with AssertionError: one; fix the function"),
        ("from blocks import nothing", r"cannot be imported: ImportError: cannot import name 'nothing'"),
        ("def build(", "cannot be imported: SyntaxError: "),
    ],
)
def test_what_a_file_raises_and_an_end_of_the_program_are_told(text, message, tmp_path):
    with pytest.raises(InfodiscardError, match=message):
        zoo.load(write(tmp_path, net=text, blocks=blocks(4)))


def test_an_interruption_is_none_of_its_errors(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        zoo.load(write(tmp_path, net="raise KeyboardInterrupt"))
