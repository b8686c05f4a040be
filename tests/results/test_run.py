"""The run: written as work completes, reopened, continued after a kill, never overwritten."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from infodiscard.api.run import Run, open_run
from infodiscard.errors import InfodiscardError
from infodiscard.results.plan import Plan, Unit
from synthetic import RESNET, fill, make_plan, make_run, same, values_of

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


# -- write and read --------------------------------------------------------------------------------------------------


def test_values_come_back_under_their_labels():
    plan = make_plan(networks=("a", "b"), **SMALL)
    run = Run.create(plan)
    unit = Unit("b", "layer1.0", 4, 8)
    run.write(unit, values_of(plan, unit))
    expected = values_of(plan, unit)
    data = run.dataset.sel(network="b", layer="layer1.0").isel(sample=slice(4, 8))
    for name, value in expected.items():
        np.testing.assert_array_equal(data[name].values, value.astype(data[name].dtype))
        np.testing.assert_array_equal(run.read("b", "layer1.0", 4, 8, name), data[name].values)
    assert int(run.dataset["done"].sum()) == 4
    assert run.dataset["sid"].notnull().sum() == 4
    assert unit not in run.pending() and len(run.pending()) == 17


def test_dataset_is_never_stale():
    run = Run.create(make_plan(**SMALL))
    before = run.dataset
    assert before["sid"].isnull().all()
    fill(run, 1)
    assert run.dataset["sid"].notnull().sum() == 4


def test_reader_sees_what_another_writes(tmp_path):
    writer = Run.create(make_plan(**SMALL), tmp_path / "run")
    reader = Run.open(tmp_path / "run")
    assert len(reader.pending()) == 9 and not reader.complete
    fill(writer)
    assert reader.complete and reader.dataset["sid"].notnull().all()


def test_values_of_both_metrics_come_back_under_their_labels():
    run = make_run(metrics=["sid", "ru"], masks=True, **SMALL)
    expected = values_of(run.plan, Unit("resnet20", "layer1.0", 4, 8))
    data = run.dataset.sel(network="resnet20", layer="layer1.0").isel(sample=slice(4, 8))
    assert set(expected) >= {"sid", "ru", "ru_floor", "ru_map", "ru_sigma", "reconstruction"}
    for name, value in expected.items():
        np.testing.assert_array_equal(data[name].values, value.astype(data[name].dtype))
    assert run.dataset["reconstruction"].dims == ("network", "layer", "sample", "channel", "y", "x")
    assert run.dataset["ru_sigma"].dims == run.dataset["ru_map"].dims == run.dataset["sigma"].dims
    assert {run.dataset[name].attrs["units"] for name in ("ru", "ru_floor", "ru_map", "ru_gap")} == {"nats/pixel"}
    assert run.dataset["ru_concentration"].notnull().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": Unit("resnet20", "conv1", 0, 3)}, "pending"),
        ({"unit": Unit("resnet20", "fc", 0, 4)}, "pending"),
        ({"values": {"sidd": np.zeros(4)}}, "'sid'"),
        ({"values": {"done": np.ones(4)}}, "done"),
        ({"values": {"sid": np.zeros(3)}}, "shape"),
        ({"values": {"sid_map": np.zeros((4, 4, 5))}}, "shape"),
    ],
)
def test_wrong_writes_are_refused_and_leave_no_trace(change, message):
    run = Run.create(make_plan(**SMALL))
    unit, values = change.get("unit", run.pending()[0]), change.get("values", {})
    with pytest.raises(InfodiscardError, match=message):
        run.write(unit, values)
    assert len(run.pending()) == 9 and run.dataset["sid"].isnull().all()


def test_finished_units_and_readers_cannot_be_overwritten(tmp_path):
    run = Run.create(make_plan(**SMALL), tmp_path / "run")
    unit = run.pending()[0]
    run.write(unit, values_of(run.plan, unit))
    with pytest.raises(InfodiscardError, match="finished"):
        run.write(unit, values_of(run.plan, unit))
    with pytest.raises(InfodiscardError, match="reading"):
        Run.open(tmp_path / "run").write(run.pending()[0], {})


# -- tables ----------------------------------------------------------------------------------------------------------


def test_dataframe_holds_exactly_what_was_measured():
    plan = Plan(("a", "b"), {"a": ("x", "y"), "b": ("y", "z")}, tuple("stuvw"), 4, 4, 3, labels=(3, 1, 4, 1, 5),
                classes=tuple(["zero", "one", "two", "three", "four", "five"]), block=2)  # fmt: skip
    run = Run.create(plan)
    assert len(run.to_dataframe()) == 0 and len(run.summary()) == 0
    for unit in [Unit("a", "y", 2, 4), Unit("b", "z", 4, 5)]:
        run.write(unit, values_of(plan, unit))
    frame = run.to_dataframe()
    assert list(zip(frame["network"], frame["layer"], frame["sample"], strict=True)) == [
        ("a", "y", "u"), ("a", "y", "v"), ("b", "z", "w")]  # fmt: skip
    assert list(frame["class"]) == ["four", "one", "five"]
    assert frame["converged"].dtype == bool and frame["passes"].dtype == np.int32
    assert "sid_map" not in frame and "done" not in frame
    np.testing.assert_array_equal(frame["sid"][:2], values_of(plan, Unit("a", "y", 2, 4))["sid"].astype(np.float32))


def test_repr_in_a_notebook_is_escaped():
    run = make_run(networks=("<script>",), **SMALL)
    assert "<script>" not in run._repr_html_() and "&lt;script&gt;" in run._repr_html_()
    assert "9 of 9 units" in repr(run)


# -- places ----------------------------------------------------------------------------------------------------------


def test_resume_continues_the_same_plan(tmp_path):
    plan = make_plan(**SMALL)
    with Run.resume_or_create(plan, tmp_path / "run") as run:
        fill(run, 4)
    again = Run.resume_or_create(make_plan(**SMALL | {"block": 5}), tmp_path / "run")
    assert again.pending() == plan.units()[4:]  # under its own blocks, whatever was asked for
    fill(again)
    again.close()
    assert Run.resume_or_create(plan, tmp_path / "run").complete
    whole = Run.create(plan)
    fill(whole)
    assert same(again, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"noise_on": "x"}, "noise_on was None, now x"),
        ({"samples": 11}, r"samples was 10 \(test-00000 … test-00009\), now 11"),
        ({"layers": RESNET[:2]}, "layers of resnet20 was conv1, layer1.0, layer1.1, now conv1, layer1.0"),
        ({"size": 5}, "height was 4, now 5"),
    ],
)
def test_a_different_run_is_never_overwritten(tmp_path, change, message):
    make_run(tmp_path / "run", units=2, **SMALL)
    before = Run.open(tmp_path / "run").dataset.load()
    with pytest.raises(InfodiscardError, match=message) as caught:
        Run.resume_or_create(make_plan(**SMALL | change), tmp_path / "run")
    assert "another out" in str(caught.value)
    assert Run.open(tmp_path / "run").dataset.load().identical(before)
    Run.resume_or_create(make_plan(**SMALL), tmp_path / "run").close()  # and the refusal holds no lock


def test_create_refuses_a_run_that_is_there(tmp_path):
    make_run(tmp_path / "run", units=1, **SMALL)
    with pytest.raises(InfodiscardError, match="already"):
        Run.create(make_plan(**SMALL), tmp_path / "run")


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_open_says_when_there_is_no_run(tmp_path, path):
    with pytest.raises(InfodiscardError, match="out"):
        open_run(tmp_path / path)


def test_open_says_when_the_run_is_damaged(tmp_path):
    make_run(tmp_path / "run", units=1, **SMALL)
    (tmp_path / "run/run.zarr/zarr.json").write_text("{")
    with pytest.raises(InfodiscardError, match="damaged"):
        open_run(tmp_path / "run")


def test_a_disk_that_refuses_is_one_sentence_and_the_unit_stays_pending(tmp_path):
    run = Run.create(make_plan(**SMALL), tmp_path / "run")
    (tmp_path / "run/run.zarr/sid_map/c").write_text("in the way of the chunks")
    with pytest.raises(InfodiscardError, match="Could not write"):
        fill(run, 1)
    assert len(run.pending()) == 9 and not run.dataset["done"].any()


def test_two_writers_are_kept_apart(tmp_path):
    plan = make_plan(**SMALL)
    first = Run.create(plan, tmp_path / "run")
    with pytest.raises(InfodiscardError, match="Another process is writing"):
        Run.resume_or_create(plan, tmp_path / "run")
    assert Run.open(tmp_path / "run").plan == plan  # reading is free
    first.close()
    second = Run.resume_or_create(plan, tmp_path / "run")
    fill(second)  # the last unit lets go of the lock
    Run.resume_or_create(plan, tmp_path / "run")


# -- interruption ----------------------------------------------------------------------------------------------------

WORKER = """
import sys
sys.path.insert(0, {tests!r})
from synthetic import make_plan, values_of
from infodiscard.api.run import Run
run = Run.resume_or_create(make_plan(**{small!r}), {path!r})
print("ready", flush=True)
for unit in run.pending():
    run.write(unit, values_of(run.plan, unit))
    print(unit.network, unit.layer, unit.start, flush=True)
print("end", flush=True)
"""


def start_worker(path, small):
    """Starts a process that writes the run's units and prints each when it is done."""
    code = WORKER.format(tests=str(Path(__file__).parents[1]), small=small, path=str(path))
    source = str(Path(__file__).parents[2] / "src")
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": source}
    )


def test_killed_at_random_moments_equals_uninterrupted(tmp_path):
    small = {"layers": RESNET[:6], "samples": 20, "size": 8, "block": 2}
    moments, reported = random.Random(0), []
    for _ in range(3):
        with start_worker(tmp_path / "run", small) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0.05, 0.5))
            process.send_signal(signal.SIGKILL)
            reported += [line for line in process.stdout.read().split("\n") if line.count(" ") == 2]
        finished = {f"{u.network} {u.layer} {u.start}" for u in make_plan(**small).units()}
        finished -= {f"{u.network} {u.layer} {u.start}" for u in Run.open(tmp_path / "run").pending()}
        assert set(reported) <= finished  # nothing that was finished is lost
    assert len(reported) == len(set(reported)) > 0  # nor done twice
    with Run.resume_or_create(make_plan(**small), tmp_path / "run") as run:
        left = len(run.pending())
        fill(run)
    whole = Run.create(make_plan(**small))
    fill(whole)
    assert same(Run.open(tmp_path / "run"), whole)
    assert not list(tmp_path.rglob("*.partial"))
    assert left < len(whole.plan.units())


def test_import_is_quick():
    code = "import torch, sys; import infodiscard.api.compare; print([m for m in %r if m in sys.modules])"
    heavy = ["xarray", "zarr", "pandas", "matplotlib"]
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    command = [sys.executable, "-c", code % heavy]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert out.strip() == "[]"
