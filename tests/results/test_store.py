"""Stores: what is in one, who may write where, and one whose creation was cut off."""

import json

import numpy as np
import pytest
import xarray as xr

from infodiscard.api.run import Run, open_run
from infodiscard.errors import InfodiscardError
from synthetic import RESNET, fill, make_images, make_plan, make_run, same

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


class Killed(Exception):
    """Stands for the end of the process at one exact moment."""


def test_plan_survives_the_store(tmp_path):
    plan = make_plan(size=4, samples=3, cap=np.float64(2.5), noise_on="x")
    Run.create(plan, tmp_path / "run").close()
    assert open_run(tmp_path / "run").plan == plan


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


def test_other_peoples_files_are_left_alone(tmp_path):
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/thesis.tex").write_text("precious")
    for path in (tmp_path / "dir", tmp_path / "dir/thesis.tex", tmp_path / "dir/thesis.tex/run"):
        with pytest.raises(InfodiscardError):
            Run.resume_or_create(make_plan(**SMALL), path)
    assert [p.name for p in tmp_path.rglob("*")] == ["dir", "thesis.tex"]
    assert (tmp_path / "dir/thesis.tex").read_text() == "precious"


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
