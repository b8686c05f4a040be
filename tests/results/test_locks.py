"""Locks: two writers are kept apart, wherever the run is; and one that is dead does not lock a run for ever."""

import errno
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

import jobs
from infodiscard.api.run import Run, open_run
from infodiscard.errors import InfodiscardError
from infodiscard.results import locks
from infodiscard.results.locks import LOCK, Lease, Lock, lock
from infodiscard.results.places import as_place, is_local, names_in, read_whole
from infodiscard.results.verify import verify_run
from synthetic import RESNET, fill, make_plan

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


@pytest.fixture(params=["memory", "bucket"])
def remote(request, tmp_path):
    """A place that is not on this machine."""
    pytest.importorskip("upath", reason="universal_pathlib is not installed")
    if request.param == "memory":
        return as_place(f"memory://{tmp_path}/run")
    return as_place(f"{request.getfixturevalue('bucket')}/{tmp_path.name}/run")


def test_two_writers_are_kept_apart_anywhere(place, quick):
    plan = make_plan(**SMALL)
    first = Run.create(plan, place)
    with pytest.raises(InfodiscardError, match="Another process"):
        Run.resume_or_create(plan, place)
    with pytest.raises(InfodiscardError, match="Another process"):
        verify_run(place)
    assert open_run(place).plan == plan and verify_run(place, repair=False).units == 0  # reading is free
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


def test_a_local_lock_ends_with_its_holder(tmp_path):
    held = lock(tmp_path)
    with pytest.raises(InfodiscardError, match="Another process"):
        lock(tmp_path)
    del held
    lock(tmp_path).release()


@pytest.mark.parametrize("end", ["sys.exit()", "os._exit(1)", "os.kill(os.getpid(), 9)"])
def test_the_system_lets_go_of_a_local_lock_however_the_process_ends(tmp_path, end):
    code = "import os, sys; from pathlib import Path; from infodiscard.results.locks import lock; "
    code += f"held = lock(Path({str(tmp_path)!r})); print('held', flush=True); sys.stdin.readline(); {end}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InfodiscardError, match="Another process is writing the run"):
            lock(tmp_path)
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait()
        lock(tmp_path).release()


def test_a_local_lock_is_released_by_another_thread(tmp_path):
    held = lock(tmp_path)
    thread = threading.Thread(target=held.release)
    thread.start()
    thread.join()
    lock(tmp_path).release()
    held.release()  # a second time does nothing


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_where_the_file_system_has_no_locks_nothing_is_locked(tmp_path, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = lock(tmp_path), lock(tmp_path)
    one.release()
    other.release()


def test_a_directory_that_refuses_the_lock_file_is_reported(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(OSError):
        lock(tmp_path / "file")


def test_a_release_waits_for_the_beat_under_way(remote, quick, monkeypatch):
    """Else that beat writes the object again that the release has deleted."""
    monkeypatch.setattr(Lease, "beat", 3600.0)
    held = Lease(remote)
    begun, condition = threading.Event(), held._condition

    def slow():
        answer = condition()
        begun.set()
        time.sleep(0.5)
        return answer

    monkeypatch.setattr(held, "_condition", slow)
    beat = threading.Thread(target=held.renew, args=(1,))
    beat.start()
    assert begun.wait(30)
    held.release()
    beat.join()
    held.renew(2)  # nor does one that comes later
    assert not held.lost and names_in(remote) == []


@pytest.mark.parametrize("knows_conditions", [True, False])
def test_of_two_heirs_one_wins(remote, quick, monkeypatch, knows_conditions):
    """Both have decided that the holder is dead before either takes over."""
    monkeypatch.setattr(Lease, "beat", 3600.0)
    monkeypatch.setattr(Lease, "pause", 1.0)
    if not knows_conditions:
        monkeypatch.setattr(Lease, "_condition", lambda self: {})
    silent, decided, take_over = Lease(remote), threading.Barrier(2, timeout=60), Lease._take_over

    def at_once(self, seen):
        decided.wait()
        take_over(self, seen)

    monkeypatch.setattr(Lease, "_take_over", at_once)
    held, refused = [], []

    def inherit():
        try:
            held.append(lock(remote))
        except InfodiscardError as error:
            refused.append(str(error))

    heirs = [threading.Thread(target=inherit) for _ in range(2)]
    for heir in heirs:
        heir.start()
    for heir in heirs:
        heir.join()
    assert len(held) == 1 and len(refused) == 1 and refused[0].startswith("Another process is writing the run in")
    assert read_whole(remote / LOCK) == held[0]._content(0)
    silent.renew(1)
    held[0].renew(1)
    assert silent.lost and not held[0].lost
    silent.release()
    assert names_in(remote) == [LOCK]  # not the late holder's to delete
    held[0].release()
    assert names_in(remote) == []


def test_a_store_that_overwrites_on_a_condition_keeps_what_changed_meanwhile(bucket, tmp_path, quick, monkeypatch):
    """As between an heir's last look and its writing."""
    monkeypatch.setattr(Lease, "beat", 3600.0)
    place = as_place(f"{bucket}/{tmp_path.name}/run")
    silent = Lease(place)
    condition, seen = silent._condition(), read_whole(place / LOCK)
    assert condition
    silent.renew(1)
    assert silent._overwrite(condition)  # it knows such
    assert read_whole(place / LOCK) == silent._content(1) != seen
    silent.release()


def test_a_place_that_its_class_calls_a_path_is_remote_all_the_same(monkeypatch):
    """As in universal_pathlib 0.2, whose places in buckets derive from Path."""

    class OldPlace(type(Path())):
        protocol, storage_options, path = "s3", {}, "bucket/run"

    place = OldPlace("bucket/run")
    monkeypatch.setattr(locks, "Lease", lambda place: ("lease", place))
    assert isinstance(place, Path) and as_place(place) is place and not is_local(place)
    assert lock(place) == ("lease", place)


def test_a_local_place_of_universal_pathlib_takes_the_local_lock(tmp_path):
    upath = pytest.importorskip("upath")
    for url in (str(tmp_path), f"file://{tmp_path}"):
        place = as_place(upath.UPath(url))
        assert place == tmp_path and type(place) is type(tmp_path)
        held = lock(place)
        assert isinstance(held, Lock)
        held.release()
