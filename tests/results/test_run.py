"""The run: written as work completes, reopened, continued after a kill, never overwritten."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from infodiscard.api.run import Run, open_run
from infodiscard.errors import InfodiscardError
from infodiscard.results.plan import Plan, Unit
from synthetic import RESNET, make_images, make_plan, make_run, values_of

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


def fill(run, count=None):
    for unit in run.pending()[:count]:
        run.write(unit, values_of(run.plan, unit))


def same(a: Run, b: Run) -> bool:
    return a.dataset.load().identical(b.dataset.load().assign_attrs(created=a.dataset.attrs["created"]))


# -- plan ------------------------------------------------------------------------------------------------------------


def test_units_cover_every_sample_once_in_order():
    plan = make_plan(networks=("a", "b"), **SMALL)
    units = plan.units()
    assert units[0] == Unit("a", "conv1", 0, 4)
    assert [(u.start, u.stop) for u in units[:3]] == [(0, 4), (4, 8), (8, 10)]
    assert len(units) == 2 * 3 * 3 == len(set(units))


def test_union_of_layers_respects_every_network():
    plan = Plan(("a", "b", "c"), {"a": ["stem", "one", "two", "fc"], "b": ["stem", "one", "more", "two", "fc"],
                                  "c": ["norm", "one", "extra", "fc"]}, ("s",), 2, 2, 1)  # fmt: skip
    union = plan.union()
    assert sorted(union) == sorted(set(["stem", "one", "two", "fc", "more", "norm", "extra"]))
    for layers in plan.layers.values():
        assert sorted(layers, key=union.index) == list(layers)


def test_union_of_contradicting_orders_still_has_every_layer_once():
    plan = Plan(("a", "b"), {"a": ("x", "y"), "b": ("y", "x", "z")}, ("s",), 2, 2, 1)
    assert sorted(plan.union()) == ["x", "y", "z"]


@pytest.mark.parametrize(
    "wrong", [{"samples": ("s", "s")}, {"samples": ()}, {"layers": {"b": ("x",)}}, {"labels": (1, 2)}, {"block": 0}]
)
def test_plan_that_does_not_fit_together_is_refused(wrong):
    fits = {"networks": ("a",), "layers": {"a": ("x",)}, "samples": ("s",), "height": 2, "width": 2, "channels": 1}
    Plan(**fits)
    with pytest.raises(InfodiscardError):
        Plan(**{**fits, **wrong})


def test_plan_survives_the_store(tmp_path):
    plan = make_plan(size=4, samples=3, cap=np.float64(2.5), grid=(4, 4))
    Run.create(plan, tmp_path / "run").close()
    assert open_run(tmp_path / "run").plan == plan


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


def test_every_variable_says_its_unit_and_name():
    data = make_run(pictures=True, masks=True, **SMALL).dataset
    for name in data.data_vars:
        assert data[name].attrs["units"] and data[name].attrs["long_name"], name
    for name in ("sid", "sid_map", "gap", "concentration"):
        assert data[name].attrs["units"] == "nats/pixel"
    assert data["sid_map"].dims == ("network", "layer", "sample", "y", "x")
    assert set(data.coords) == {"network", "layer", "sample", "channel", "y", "x", "label"}


def test_a_run_holds_what_its_metrics_ask_for():
    def held(metrics, masks=False):
        plan = make_plan(metrics=metrics, **SMALL)
        run = Run.create(plan, masks=make_images(plan)[1] if masks else None)
        return run.metrics, set(run.dataset.data_vars) - {"mask"}

    sid = {"sid", "sid_map", "sigma", "feature_distance", "feature_distance_se", "converged", "passes", "gap"}
    sid |= {"capped_share", "cap_matters", "sid_corrected", "sid_corrected_se", "correction_map", "correction_se_map"}
    ru = {"ru", "ru_map", "ru_sigma", "ru_feature_distance", "ru_feature_distance_se", "ru_converged", "ru_passes"}
    ru |= {"ru_gap", "ru_floor", "ru_floor_map", "reconstruction"}
    always = {"done", "failure"}
    assert held(["sid"]) == (("sid",), sid | always)
    assert held(["ru"]) == (("ru",), ru | always)
    assert held(["ru", "sid"]) == (("sid", "ru"), sid | ru | always)
    concentrated = {"concentration", "concentration_corrected", "concentration_corrected_se"}
    assert held(["sid"], masks=True)[1] == sid | always | concentrated
    assert held(["ru"], masks=True)[1] == ru | always | {"ru_concentration"}


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


def test_sigma_per_unit_has_channels():
    plan = make_plan(sigma="unit", **SMALL)
    run = Run.create(plan)
    unit = run.pending()[0]
    sigma = np.random.default_rng(0).random((4, 3, 4, 4), dtype=np.float32)
    run.write(unit, values_of(plan, unit) | {"sigma": sigma})
    assert run.dataset["sigma"].dims[3:] == ("channel", "y", "x")
    assert run.dataset["sid_map"].dims[3:] == ("y", "x")
    assert Run.create(make_plan(sigma="unit", metrics=["ru"], **SMALL)).dataset["ru_sigma"].dims[3] == "channel"
    np.testing.assert_array_equal(run.read("resnet20", "conv1", 0, 4, "sigma"), sigma)


def test_images_and_masks_are_kept():
    plan = make_plan(**SMALL)
    images, masks = make_images(plan)
    data = Run.create(plan, images=images, masks=masks).dataset
    np.testing.assert_array_equal(data["image"].values, images)
    np.testing.assert_array_equal(data["mask"].values, masks)
    assert "concentration" in data and "concentration" not in Run.create(plan).dataset
    with pytest.raises(InfodiscardError, match="shape"):
        Run.create(plan, images=images[:, :1])


def test_one_file_per_variable_and_unit(tmp_path):
    run = make_run(tmp_path / "run", layers=RESNET[:2], samples=6, size=4, block=4)
    files = [path for path in (tmp_path / "run/run.zarr/sid_map/c").rglob("*") if path.is_file()]
    assert len(files) == len(run.plan.units()) == 4


def test_plain_xarray_opens_the_store(tmp_path):
    run = make_run(tmp_path / "run", **SMALL)
    data = xr.open_zarr(tmp_path / "run/run.zarr")
    assert float(data["sid"].sel(layer="conv1", sample="test-00003").item()) == run.read(
        "resnet20", "conv1", 3, 4, "sid"
    )
    assert json.loads(data.attrs["settings"])["alpha"] == 1.5
    assert data.attrs["seed"] == 0
    assert set(json.loads(data.attrs["versions"])) >= {"infodiscard", "torch", "numpy", "python", "platform"}


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


@pytest.mark.parametrize(("layer", "variable"), [("conv2", "sid"), ("conv1", "sidd")])
def test_read_names_the_nearest(layer, variable):
    with pytest.raises(InfodiscardError, match=r"nearest: .*(conv1|'sid')"):
        Run.create(make_plan(**SMALL)).read("resnet20", layer, 0, 4, variable)


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
        ({"extra": True}, "extra was None, now True"),
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


def test_other_peoples_files_are_left_alone(tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/thesis.tex").write_text("precious")
    for path in (tmp_path / "dir", tmp_path / "dir/thesis.tex", tmp_path / "dir/thesis.tex/run"):
        with pytest.raises(InfodiscardError):
            Run.resume_or_create(make_plan(**SMALL), path)
    assert [p.name for p in tmp_path.rglob("*")] == ["dir", "thesis.tex"]
    assert (tmp_path / "dir/thesis.tex").read_text() == "precious"


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


class Killed(Exception):
    """Stands for the end of the process at one exact moment."""


def test_killed_at_every_step_of_one_write(tmp_path, monkeypatch):
    """A kill between any two files of a unit leaves it pending; after its last file it is finished."""
    import zarr.storage._local as local

    plan = make_plan(**SMALL)
    unit, put = plan.units()[0], local._put
    values = values_of(plan, unit)
    for step in range(len(Run.create(plan).dataset.data_vars) + 1):
        path, calls = tmp_path / str(step), iter(range(99))

        def dying(*args, calls=calls, step=step, **kwargs):
            if next(calls) >= step:
                raise Killed
            return put(*args, **kwargs)

        run = Run.create(plan, path)
        monkeypatch.setattr(local, "_put", dying)
        try:
            run.write(unit, values)
            survived = True
        except Killed:
            survived = False
        monkeypatch.setattr(local, "_put", put)
        run.close()
        with Run.resume_or_create(plan, path) as again:
            assert (unit not in again.pending()) == survived
            if survived:
                for name, value in values.items():
                    np.testing.assert_allclose(again.read(unit.network, unit.layer, 0, 4, name), value, rtol=1e-6)
    assert survived  # the last step lets everything through


@pytest.mark.parametrize("step", [0, 1, 5, 12])
def test_killed_while_being_created_starts_afresh(tmp_path, monkeypatch, step):
    import zarr.storage._local as local

    put, calls = local._put, iter(range(999))

    def dying(*args, **kwargs):
        if next(calls) >= step:
            raise Killed
        return put(*args, **kwargs)

    monkeypatch.setattr(local, "_put", dying)
    with pytest.raises(Killed):
        Run.create(make_plan(**SMALL), tmp_path / "run")
    monkeypatch.setattr(local, "_put", put)
    with pytest.raises(InfodiscardError, match="not a directory that holds a run"):
        Run.open(tmp_path / "run")
    with Run.resume_or_create(make_plan(**SMALL), tmp_path / "run") as run:
        assert len(run.pending()) == 9
        fill(run)
    whole = Run.create(make_plan(**SMALL))
    fill(whole)
    assert same(Run.open(tmp_path / "run"), whole)


def test_import_is_quick():
    code = "import torch, sys; import infodiscard.api.compare; print([m for m in %r if m in sys.modules])"
    heavy = ["xarray", "zarr", "pandas", "matplotlib"]
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    command = [sys.executable, "-c", code % heavy]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert out.strip() == "[]"
