"""Arrays of a run: unit by unit, and a write that is cut off."""

import numpy as np
import pytest

from infodiscard.api.run import Run
from infodiscard.errors import InfodiscardError
from synthetic import RESNET, make_images, make_plan, values_of

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


class Killed(Exception):
    """Stands for the end of the process at one exact moment."""


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


@pytest.mark.parametrize(("layer", "variable"), [("conv2", "sid"), ("conv1", "sidd")])
def test_read_names_the_nearest(layer, variable):
    with pytest.raises(InfodiscardError, match=r"nearest: .*(conv1|'sid')"):
        Run.create(make_plan(**SMALL)).read("resnet20", layer, 0, 4, variable)


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
