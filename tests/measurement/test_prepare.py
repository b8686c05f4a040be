"""Preparation: what is filled in, and what a run cannot be made of."""

import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, Network
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
    assert plan.settings.cap == {"bare": pytest.approx(10 * span), "own": 20.0}
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
