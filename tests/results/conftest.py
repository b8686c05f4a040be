"""Places where a run may be: a directory, memory, or a bucket of an S3 server on this machine."""

import os
import socket
import subprocess
import sys
import time

import pytest

from infodiscard.results.locks import Lease


@pytest.fixture(scope="session")
def bucket():
    """A bucket of an S3 server on this machine; its URL. One for all tests, as fsspec keeps its connections."""
    pytest.importorskip("moto", reason="moto is not installed")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        patience = time.monotonic() + 60
        while time.monotonic() < patience:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        s3fs.S3FileSystem().mkdir("runs")
        yield "s3://runs"
    finally:
        server.kill()
        server.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(params=["directory", "memory", "bucket"])
def place(request, tmp_path):
    """A place for a run, a new one for each test."""
    if request.param == "directory":
        return str(tmp_path / "run")
    if request.param == "memory":
        pytest.importorskip("upath", reason="universal_pathlib is not installed")
        return f"memory://{tmp_path}/run"
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}/run"


@pytest.fixture
def quick(monkeypatch):
    """Leases that beat and expire in a moment."""
    monkeypatch.setattr(Lease, "beat", 0.1)
    monkeypatch.setattr(Lease, "expiry", 1.0)
    monkeypatch.setattr(Lease, "pause", 0.1)
