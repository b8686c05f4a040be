"""The working directory of the commands."""

import pytest

from shell import make_place


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with networks and images, good and bad."""
    monkeypatch.chdir(tmp_path)
    return make_place(tmp_path)
