"""Where runs lie: a directory, memory, or a bucket; and that two writers are kept apart there, too."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jobs
from infodiscard.api.run import Run, open_run
from infodiscard.errors import InfodiscardError
from infodiscard.results.places import Lease, as_place, lock, names_in, read_whole, remove, write_whole
from infodiscard.results.verify import verify
from synthetic import RESNET, make_images, make_plan, values_of

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


@pytest.fixture(scope="module")
def bucket():
    """A bucket of an S3 server on this machine; its URL."""
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
    """Where a run may lie, anew for each test."""
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


def fill(run, count=None):
    for unit in run.pending()[:count]:
        run.write(unit, values_of(run.plan, unit))


def same(one, other):
    a, b = one.dataset.load(), other.dataset.load()
    assert a.identical(b.assign_attrs(created=a.attrs["created"]))


def test_a_run_is_written_continued_and_read_anywhere(place):
    plan = make_plan(**SMALL)
    images, masks = make_images(plan)
    with Run.resume_or_create(plan, place, images, masks) as run:
        fill(run, 4)
    reader = open_run(place)
    assert len(reader.pending()) == 5 and not reader.complete
    with Run.resume_or_create(plan, place, images, masks) as run:
        assert run.pending() == plan.units()[4:]
        fill(run)
    whole = Run.create(plan, None, images, masks)
    fill(whole)
    assert reader.complete
    same(open_run(place), whole)
    same(Run.resume_or_create(plan, place, images, masks), whole)
    np.testing.assert_array_equal(open_run(place).dataset["image"].values, images)
    with pytest.raises(InfodiscardError, match="different run"):
        Run.resume_or_create(make_plan(**SMALL | {"seed": 1}), place)
    with pytest.raises(InfodiscardError, match="already"):
        Run.create(plan, place)


def test_damage_is_found_and_mended_anywhere(place, quick):
    plan = make_plan(**SMALL)
    images, masks = make_images(plan)
    with Run.create(plan, place, images, masks) as run:
        fill(run)
    assert not verify(place).damaged
    chunk = as_place(place) / "run.zarr" / "sid_map" / "c" / "0" / "1" / "2" / "0" / "0"
    content = bytearray(read_whole(chunk))
    content[-1] ^= 1
    write_whole(chunk, bytes(content))
    picture = as_place(place) / "run.zarr" / "image" / "c" / "0" / "0" / "0" / "0"
    write_whole(picture, read_whole(picture)[:-3])
    unit, pictures = verify(place).damaged
    assert (unit.layer, unit.start, unit.variables) == (RESNET[1], 8, ("sid_map",))
    assert (pictures.start, pictures.stop, pictures.variables) == (0, 10, ("image",))
    with Run.resume_or_create(plan, place, images, masks) as run:
        assert [(u.layer, u.start) for u in run.pending()] == [(RESNET[1], 8)]
        fill(run)
    whole = Run.create(plan, None, images, masks)
    fill(whole)
    same(open_run(place), whole)


def test_two_writers_are_kept_apart_anywhere(place, quick):
    plan = make_plan(**SMALL)
    first = Run.create(plan, place)
    with pytest.raises(InfodiscardError, match="Another process"):
        Run.resume_or_create(plan, place)
    with pytest.raises(InfodiscardError, match="Another process"):
        verify(place)
    assert open_run(place).plan == plan and verify(place, mend=False).units == 0  # reading is free
    fill(first)  # the last unit lets go
    assert Run.resume_or_create(plan, place).complete


def test_a_lease_whose_holder_is_silent_is_taken_over_and_the_holder_finds_out(bucket, tmp_path, quick, monkeypatch):
    where = as_place(f"{bucket}/{tmp_path.name}")
    plan = make_plan(**SMALL)
    monkeypatch.setattr(Lease, "beat", 3600.0)  # as of a process that hangs, or is cut off from the bucket
    silent = Run.create(plan, where)
    monkeypatch.setattr(Lease, "beat", 0.1)
    begin = time.monotonic()
    with Run.resume_or_create(plan, where) as heir:
        assert time.monotonic() - begin >= 0.9
        silent._lock.renew(1)  # it comes back
        with pytest.raises(InfodiscardError, match="Another process has taken over"):
            fill(silent, 1)
        assert not heir._lock.lost
        fill(heir)
    silent.close()
    assert names_in(where) == ["run.zarr"]


def test_a_killed_process_on_a_bucket_is_continued(bucket, tmp_path, quick):
    """Its lock is left behind, and runs out."""
    out = f"{bucket}/{tmp_path.name}/run"
    credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    child = jobs.processes().Process(target=jobs.job_in, args=(credentials, out))
    child.start()
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        marks = as_place(out) / "run.zarr" / "done" / "c"
        if marks.exists() and len(list(marks.rglob("*"))) > 4:
            break
        time.sleep(0.05)
    child.kill()
    child.join()
    assert ".lock" in names_in(as_place(out))
    left = len(open_run(out).pending())
    assert 0 < left < 24
    jobs.same(jobs.job(out), jobs.job(None))
    assert names_in(as_place(out)) == ["run.zarr", "status.json"]


def test_small_files_are_written_whole(place):
    where = as_place(place)
    assert read_whole(where / "note") is None
    if isinstance(where, Path):
        where.mkdir()
    for text in (b"one", b"another"):
        write_whole(where / "note", text)
        assert read_whole(where / "note") == text
    assert names_in(where) == ["note"]
    remove(where)
    assert not names_in(where)


def test_what_is_no_place_is_told(monkeypatch, bucket):
    assert as_place("~/x") == Path.home() / "x" and as_place("file:///tmp/x") == Path("/tmp/x")
    with pytest.raises(InfodiscardError, match="no place that can be reached"):
        as_place("nowhere://x")
    with pytest.raises(InfodiscardError, match="does not exist"):
        open_run("s3://elsewhere/run")
    with pytest.raises(InfodiscardError, match=r"Could not write the run in .*bucket"):
        Run.create(make_plan(**SMALL), "s3://elsewhere/run")  # a bucket is not made in passing
    monkeypatch.setitem(sys.modules, "upath", None)
    with pytest.raises(InfodiscardError, match=r"install it with pip install 'infodiscard\[s3\]'"):
        as_place("s3://runs/x")


def test_a_local_lock_ends_with_its_holder(tmp_path):
    held = lock(tmp_path)
    with pytest.raises(InfodiscardError, match="Another process"):
        lock(tmp_path)
    del held
    lock(tmp_path).release()
