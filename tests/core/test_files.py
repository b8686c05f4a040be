"""Files: written whole or not at all, and what the operating system refuses in one sentence."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from platformdirs import user_cache_path
from safetensors.numpy import save_file

from infodiscard.core.files import cache_folder, read_safetensors_header, translate_os_errors, write_atomically
from infodiscard.errors import InfodiscardError

SIZE = 1 << 20


def write_often(path, byte, ready, count):
    ready.wait()
    for _ in range(count):
        write_atomically(path, lambda temporary: temporary.write_bytes(bytes([byte]) * SIZE))


def test_two_processes_writing_one_file_never_leave_a_part(tmp_path):
    path, context = tmp_path / "file", multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    ready = context.Barrier(3)
    writers = [context.Process(target=write_often, args=(path, byte, ready, 20)) for byte in (1, 2)]
    for writer in writers:
        writer.start()
    ready.wait()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            content = path.read_bytes()
            assert len(content) == SIZE
            assert len(set(content)) == 1
            seen.add(content[0])
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen <= {1, 2} and path.read_bytes()[0] in (1, 2)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary):
        assert temporary.parent == tmp_path
        temporary.write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_header_of_a_safetensors_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"x": np.zeros(3)}, path, {"recipe": json.dumps({"epochs": 3})})
    assert json.loads(read_safetensors_header(path)["recipe"]) == {"epochs": 3}
    save_file({"x": np.zeros(3)}, path)
    assert read_safetensors_header(path) == {}
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError):
        read_safetensors_header(path)
    with pytest.raises(FileNotFoundError):
        read_safetensors_header(tmp_path / "b.safetensors")


def test_errors_of_the_system_become_a_sentence(tmp_path):
    expected = pytest.raises(InfodiscardError, match=r"Could not read '.*/nothing': No such file .*; check its name")
    with expected, translate_os_errors("read", tmp_path / "nothing"):
        (tmp_path / "nothing").read_text()
    expected = pytest.raises(InfodiscardError, match=r"Could not write '.*/nothing': .*; fix that \(free space")
    with expected, translate_os_errors("write", tmp_path / "nothing"):
        (tmp_path / "nothing").read_text()
    with pytest.raises(InfodiscardError) as long, translate_os_errors("read", "x" * 9000):
        Path("x" * 9000).read_text()
    assert len(str(long.value)) < 400 and "name too long" in str(long.value)


def test_a_bucket_without_an_account_says_how_to_name_one():
    class NoCredentials(Exception):
        pass

    NoCredentials.__module__ = "botocore.exceptions"
    expected = pytest.raises(InfodiscardError, match=r"credentials; name your account of the bucket \(AWS_PROFILE")
    with expected, translate_os_errors("read the run in", "s3://bucket/run"):
        raise NoCredentials("Unable to locate credentials")


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(KeyError), translate_os_errors("read", tmp_path):
        raise KeyError("ours")


def test_the_cache_is_where_the_variable_says_or_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("INFODISCARD_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("INFODISCARD_CACHE")
    assert cache_folder() == user_cache_path("infodiscard", appauthor=False)


def test_a_path_that_is_too_long_is_to_be_shorter(tmp_path):
    with pytest.raises(InfodiscardError, match=r"too long; give a shorter path\.$"), translate_os_errors("read", "x"):
        (tmp_path / ("x" * 3000)).read_bytes()
