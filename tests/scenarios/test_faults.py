"""What breaks at night: each fault is made to happen, and nothing may be lost, wrong or untold."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import jobs
from infodiscard import InfodiscardError, data, measure, open_run
from infodiscard.cli import app
from infodiscard.core.metrics.variable import FAILURES
from infodiscard.data.sources.stack import Stack
from infodiscard.results.store import holds_run
from infodiscard.results.verify import verify_run

pytestmark = pytest.mark.slow
SOURCE = str(Path(__file__).parents[2] / "src")


@pytest.fixture(scope="module")
def whole():
    """The job's result, undisturbed and in memory."""
    return jobs.job(None)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same on disk."""
    path = tmp_path_factory.mktemp("stored") / "run"
    jobs.job(path)
    return path


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of half a mebibyte; returns where, and what mounts it anew under other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True).returncode

    if os.geteuid() or mount("size=512k"):
        pytest.skip("file systems can be mounted by root only, and not in every container")
    yield place, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", "-l", place], check=True)


# -- kills -----------------------------------------------------------------------------------------------------------


def test_killed_twenty_times_in_a_row_equals_uninterrupted(tmp_path, whole):
    """kill -9 at random moments; at most the unit in flight is lost each time, and none is done twice."""
    out, moments, context = tmp_path / "run", random.Random(0), jobs.processes()
    kills, before = 0, 0
    while kills < 20 or before == 0:
        child = context.Process(target=jobs.job, args=(out,))
        child.start()
        # Sometimes while it starts, sometimes in the middle; never so late that it might finish.
        end = time.monotonic() + moments.uniform(0.0, 3.0)
        while time.monotonic() < end and _finished(out) < before + 1:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.02))
        child.kill()
        child.join()
        if child.exitcode == 0:  # on a busy machine it may end before it is killed; the next kills are of another run
            jobs.same(open_run(out), whole)
            shutil.rmtree(out)
            before = 0
            continue
        assert child.exitcode == -signal.SIGKILL
        kills += 1
        now = _finished(out)
        assert before <= now <= 2 * jobs.SAMPLES, (kills, before, now)
        before = now
    jobs.same(jobs.job(out), whole)
    assert not list(out.rglob("*.partial"))
    assert not verify_run(out).damaged


def _finished(out):
    return 0 if not holds_run(out) else len(open_run(out).plan.units()) - len(open_run(out).pending())


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGTERM, 143, "Interrupted"), (signal.SIGINT, 130, "Inter")]
)
def test_asked_to_stop_keeps_what_is_finished(tmp_path, sent, code, word):
    out = tmp_path / "run"
    words = ["measure", "demo", "--data", "demo", "--layers", "layer3", "--block", "1", "--max-passes", "600"]
    command = [sys.executable, "-m", "infodiscard.cli", *words, "--no-progress", "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    patience = time.monotonic() + 300
    while _finished(out) < 2 and time.monotonic() < patience:
        time.sleep(0.02)
    child.send_signal(sent)
    _, told = child.communicate(timeout=60)
    assert (child.returncode, "Traceback" in told) == (code, False) and word in told and "continues" in told
    assert 2 <= _finished(out) < 12
    assert '"event": "interrupted"' in (out / "log.jsonl").read_text()


# -- disks -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_room(disk, whole):
    place, mount = disk
    with pytest.raises(
        InfodiscardError, match=r"Could not write the run in .*No space left.*what was finished is kept"
    ):
        jobs.job(place / "run")
    assert mount("size=16m") == 0
    jobs.same(jobs.job(place / "run"), whole)


def test_a_read_only_directory_is_told_before_anything_is_measured(disk):
    place, mount = disk
    assert mount("ro") == 0
    with pytest.raises(InfodiscardError, match=r"Could not write the run in .*Read-only file system"):
        jobs.job(place / "run")


@pytest.mark.parametrize("harm", ["truncated", "flipped", "deleted", "emptied"])
@pytest.mark.parametrize("name", ["sid", "sid_map", "converged", "failure", "done"])
def test_a_damaged_chunk_is_found_and_measured_again(tmp_path, stored, whole, name, harm):
    out = tmp_path / "run"
    shutil.copytree(stored, out)
    chunk = random.Random(f"{name} {harm}").choice(
        sorted(p for p in (out / "run.zarr" / name / "c").rglob("*") if p.is_file())
    )
    _harm(chunk, harm)
    lost = not (name == "done" and harm == "deleted")  # without its mark, a unit was never finished
    assert [each.variables for each in verify_run(out, repair=False).damaged] == [(name,)] * lost
    found = verify_run(out)
    assert len(found.damaged) == lost and len(open_run(out).pending()) == 1
    assert not verify_run(out).damaged
    jobs.same(jobs.job(out), whole)


@pytest.mark.parametrize("name", ["image", "mask"])
def test_damaged_pictures_are_found_and_written_again(tmp_path, stored, whole, name):
    out = tmp_path / "run"
    shutil.copytree(stored, out)
    _harm(out / "run.zarr" / name / "c" / "0" / "/".join("0" * (3 if name == "image" else 2)), "flipped")
    (found,) = verify_run(out).damaged
    assert (found.network, found.start, found.stop, found.variables) == (None, 0, 12, (name,))
    jobs.same(jobs.job(out), whole)
    assert not verify_run(out).damaged


def _harm(chunk, how):
    content = bytearray(chunk.read_bytes())
    if how == "deleted":
        chunk.unlink()
    elif how == "flipped":
        content[len(content) // 2] ^= 0b1000
        chunk.write_bytes(content)
    else:
        chunk.write_bytes(content[: len(content) // 2] if how == "truncated" else b"")


def test_verify_exits_with_1_and_says_what_is_damaged(tmp_path, stored):
    from typer.testing import CliRunner

    out = tmp_path / "run"
    shutil.copytree(stored, out)
    run = CliRunner().invoke
    assert run(app, ["verify", str(out)]).exit_code == 0
    _harm(next(p for p in (out / "run.zarr/sid/c").rglob("*") if p.is_file()), "flipped")
    kept = run(app, ["verify", str(out), "--keep"])
    assert kept.exit_code == 1 and "sid" in kept.output and "left as they are" in kept.output
    assert run(app, ["verify", str(out)]).exit_code == 1
    assert run(app, ["verify", str(out)]).exit_code == 0
    assert "23 of 24 samples × layers (96%)" in run(app, ["status", str(out)]).output


# -- samples ---------------------------------------------------------------------------------------------------------


def test_a_picture_that_cannot_be_decoded_is_named_and_the_others_are_unharmed(tmp_path):
    from typer.testing import CliRunner

    images = data.load("demo", 5)
    for i, image in enumerate(images.images):
        (tmp_path / "set" / f"class{i % 2}").mkdir(parents=True, exist_ok=True)
        pixels = (image * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / "set" / f"class{i % 2}" / f"{i}.png")
    words = ["measure", "demo", "--data", f"folder:{tmp_path / 'set'}", "--layers", "layer1", "--max-passes", "256"]
    good = CliRunner().invoke(app, [*words, "--no-progress", "--out", str(tmp_path / "good")])
    assert good.exit_code == 0
    broken = tmp_path / "set/class0/2.png"
    broken.write_bytes(broken.read_bytes()[:100])
    result = CliRunner().invoke(app, [*words, "--no-progress", "--out", str(tmp_path / "bad")])
    assert result.exit_code == 0
    assert "class0/2.png: input unreadable" in result.output
    bad, whole = open_run(tmp_path / "bad"), open_run(tmp_path / "good")
    assert list(bad.failures()["sample"]) == ["class0/2.png"] and list(bad.failures()["why"]) == ["input unreadable"]
    assert list(bad.summary()["n"]) == [4]
    rest = [name for name in whole.plan.samples if name != "class0/2.png"]
    np.testing.assert_allclose(
        bad.dataset["sid"].sel(sample=rest).values, whole.dataset["sid"].sel(sample=rest).values, atol=0.02
    )
    assert bad.dataset["sid"].sel(sample="class0/2.png").isnull().all()
    assert not (bad.dataset["failure"].sel(sample="class0/2.png") != FAILURES.index("input_unreadable")).any()
    for name in ("class0/0.png", "class0/4.png", "class1/1.png", "class1/3.png"):
        (tmp_path / "set" / name).write_bytes(b"nothing")
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "none")])
    assert result.exit_code == 2 and "None of the 5 pictures can be read" in result.output
    assert not (tmp_path / "none").exists()


class Fragile(torch.nn.Module):
    """A layer whose feature is not a number, overflows, or is constant, for inputs of certain means."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)

    def forward(self, x):
        mean = x.detach().mean((1, 2, 3), keepdim=True)
        noisy = (x != x.round()).flatten(1).any(1)[:, None, None, None]
        scale = torch.where((mean < -90) & noisy, 1e38, torch.where((mean > 40) & (mean < 60), 0.0, 1.0))
        return self.conv(x) * scale + torch.where(mean > 90, float("nan"), 0.0)


def test_samples_that_cannot_be_measured_leave_the_others_as_they_would_be_alone():
    torch.manual_seed(3)
    network, images = Fragile(), torch.rand(6, 1, 8, 8)
    images[1] += 100
    images[3] += 50
    images[4] = -100
    run = measure(network, images, layers=["output"], block=6, max_passes=400, progress=False)
    why = dict(zip(run.failures()["sample"], run.failures()["why"], strict=True))
    assert why == {"1": "feature not finite", "3": "feature constant", "4": "feature not finite"}
    good = [0, 2, 5]
    alone = measure(network, images[good], layers=["output"], block=3, max_passes=400, progress=False)
    np.testing.assert_allclose(run.dataset["sid"].values[..., good], alone.dataset["sid"].values, atol=1e-3)
    assert run.dataset["done"].all() and len(run.to_dataframe()) == 3 and list(run.summary()["n"]) == [3]
    assert np.isfinite(run.to_dataframe()["sid"]).all()
    assert run.dataset["sid_map"].isel(sample=[1, 3, 4]).isnull().all()


def test_a_layer_that_no_sample_can_be_measured_at_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InfodiscardError, match="not finite"):
        measure(Fragile(), torch.rand(3, 1, 8, 8) + 100, layers=["output"], out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


# -- memory ----------------------------------------------------------------------------------------------------------


def test_where_memory_is_short_smaller_passes_find_the_same():
    """The process may take a third of what its first passes ask for."""
    assert jobs.said(jobs.limited, None, 1 << 30, batch_size=16) == ""


def test_what_does_not_fit_is_one_sentence(tmp_path):
    answer = jobs.said(jobs.limited, tmp_path / "run", 200 << 20)
    assert "does not fit into the memory of cpu" in answer and "Traceback" not in answer


def test_a_set_larger_than_memory_lies_in_a_file():
    rows = [torch.rand(3, 4, 4) for _ in range(20)]
    spilt, held = Stack(torch.float32, in_memory=500), Stack(torch.float32)
    for row in (None, *rows[:7], None, *rows[7:]):
        spilt.append(row)
        held.append(row)
    assert torch.equal(spilt.tensor(), held.tensor())
    assert torch.equal(held.tensor()[0], torch.zeros(3, 4, 4)) and torch.equal(held.tensor()[9], rows[7])


# -- others, and clocks ----------------------------------------------------------------------------------------------


def test_two_processes_on_one_run_are_kept_apart(tmp_path, whole):
    out, context = tmp_path / "run", jobs.processes()
    first = context.Process(target=jobs.job, args=(out,))
    first.start()
    patience = time.monotonic() + 60
    while not holds_run(out) and time.monotonic() < patience:
        time.sleep(0.01)
    answer = jobs.said(jobs.job, out)
    first.join()
    assert "Another process is writing the run" in answer
    jobs.same(open_run(out), whole)


BACKWARDS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static int (*real)(clockid_t, struct timespec *);
int clock_gettime(clockid_t id, struct timespec *t) {
  static time_t first = 0;
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int r = real(id, t);
  if (id == CLOCK_REALTIME) { if (!first) first = t->tv_sec; t->tv_sec -= 3600 * (1 + t->tv_sec - first); }
  return r;
}
"""


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, whole):
    """An hour for every second that passes."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler, which the clock is set back with")
    (tmp_path / "clock.c").write_text(BACKWARDS)
    shim = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, tmp_path / "clock.c", "-ldl"], check=True)
    code = (
        f"import time; begin = time.time(); import jobs; jobs.job({str(tmp_path / 'run')!r}); "
        "assert time.time() < begin - 3600, 'the clock went on'"
    )
    paths = os.pathsep.join([SOURCE, str(Path(__file__).parents[1])])
    environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    jobs.same(open_run(tmp_path / "run"), whole)
    from typer.testing import CliRunner

    assert "finished" in CliRunner().invoke(app, ["status", str(tmp_path / "run")]).output
