"""Preparation: what is filled in, and what a run cannot be made of."""

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, Network, measure
from infodiscard.api.run import Run
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.engines import LocalEngine
from infodiscard.measurement.execution import Execution
from infodiscard.measurement.prepare import prepare

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def ready(networks, inputs=IMAGES, settings=Settings(), **execution):
    return prepare(networks, coerce_inputs(inputs), ["0"], settings, Execution(**execution))


def test_the_plan_holds_the_caps_and_the_hashes():
    networks = {
        "bare": nn.Sequential(nn.Conv2d(3, 2, 3)),
        "own": Network(nn.Sequential(nn.ReLU()), "x", (0,) * 3, (0.5,) * 3),
    }
    measurement = ready(networks, block=2)
    plan, span = measurement.plan, float(IMAGES.max() - IMAGES.min())
    assert plan.settings.cap == {"bare": "range", "own": 20.0}
    assert measurement.former.settings.cap == {"bare": pytest.approx(10 * span), "own": 20.0}
    assert plan.layers == {"bare": ("0",), "own": ("0",)} and plan.block == 2
    assert {"weights/bare", "weights/own", "images"} <= set(plan.hashes)
    assert isinstance(measurement.engine, LocalEngine) and measurement.work.settings == plan.settings


def test_the_block_suits_the_device():
    assert ready(nn.Sequential(nn.ReLU())).plan.block == 4


def test_what_fits_no_space_of_sigma_or_no_decoder_is_refused():
    with pytest.raises(InfodiscardError, match="grid:9"):
        ready(nn.Sequential(nn.ReLU()), settings=Settings(sigma="grid:9"))
    with pytest.raises(InfodiscardError, match="RU is for images"):
        ready(nn.Sequential(nn.ReLU()), torch.rand(3, 5), Settings(metrics=("ru",)))
    with pytest.raises(InfodiscardError, match="engine was 'spark'"):
        ready(nn.Sequential(nn.ReLU()), engine="spark")


class Left(nn.Module):
    """Does not look at the right half."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x[..., :4])


def left():
    torch.manual_seed(0)
    return Left().eval()


BRIGHT = IMAGES * torch.tensor([1.0, 30.0, 0.0])[:, None, None, None]
FAST = {"max_passes": 256, "progress": False}


@pytest.mark.parametrize("cap", ["range", "data"])
@pytest.mark.parametrize("rows", [[0], [1, 0], [2, 0, 1], [0, 0, 2]])
def test_the_cap_of_a_sample_depends_on_no_other(cap, rows):
    whole = measure(left(), BRIGHT, ["output"], cap=cap, **FAST).dataset
    part = measure(left(), BRIGHT[rows], ["output"], cap=cap, **FAST).dataset
    for name in ("sid", "sigma", "capped_share"):
        np.testing.assert_allclose(part[name].values[0, 0], whole[name].values[0, 0, rows], rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_a_run_of_an_earlier_version_is_continued_under_its_cap(tmp_path, finished):
    """It has one cap for all samples, from all of them."""
    work = prepare(
        {"net": left()}, coerce_inputs(BRIGHT), ["output"], Settings(max_passes={"sid": 256}), Execution(block=1)
    )
    cap = work.former.settings.cap["net"]
    expected = measure({"net": left()}, BRIGHT, ["output"], cap=cap, block=1, **FAST).dataset
    with Run.create(work.former, tmp_path, **work.inputs.pictures()) as run:
        for unit, _ in zip(run.pending(), range(finished), strict=False):
            run.write(unit, work.work.under(work.former.settings).measured(unit, *work.work.sources(run, unit))[0])
    resumed = measure({"net": left()}, BRIGHT, ["output"], out=tmp_path, block=1, **FAST)
    assert resumed.plan == work.former and resumed.complete
    np.testing.assert_array_equal(resumed.dataset["sid"].values, expected["sid"].values)
    with pytest.raises(InfodiscardError, match="holds a different run: cap"):
        measure({"net": left()}, BRIGHT, ["output"], out=tmp_path, cap=cap + 1, block=1, **FAST)
