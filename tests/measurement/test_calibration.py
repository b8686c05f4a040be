"""Calibration: what is measured in the time given, and what is extrapolated from it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
import torch
from torch import nn

import infodiscard
from infodiscard import data, zoo

LAYERS = ["bn1", "layer1"]
QUICK = {"max_passes": 256, "block": 2}


@pytest.fixture(scope="module")
def demo():
    return zoo.load("demo"), data.load("demo").take(5)


def test_a_short_calibration_measures_little_and_extrapolates(demo):
    """With a clock that ticks a second whenever it is looked at, no sample fits into any share."""
    ticks = count()
    found = infodiscard.forecast(*demo, LAYERS, seconds=5, clock=lambda: float(next(ticks)), **QUICK)
    assert found.at_most
    for each in found.layers:
        assert each.measured == 0 and each.passes == 256
        # One tick for the two draws of the first timing, which is stopped at once.
        assert each.seconds == 256 * 0.5
        assert each.size >= 1024 * 8  # two maps of 32 × 32 in single precision, as they are before compression


def test_a_sample_that_fits_is_measured_and_the_rest_reckoned_from_it(demo, monkeypatch):
    """A clock on which only forward passes take time: the forecast counts them, whatever the machine does."""
    network, images = demo
    now = [0.0]

    class Ticking(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            now[0] += len(x)
            return self.module(x)

    ticking = replace(network, module=Ticking(network.module).eval())
    found = infodiscard.forecast(ticking, images, ["module.bn1"], seconds=1e9, clock=lambda: now[0], **QUICK)
    start = now[0]
    infodiscard.measure(ticking, images, ["module.bn1"], progress=False, **QUICK)
    # All five samples; checking the layer takes passes, too, which are no part of the work.
    assert found.seconds == pytest.approx(now[0] - start, rel=0.02)
    assert found.seconds + found.start_up == now[0] - start


def test_a_search_that_begins_at_the_layer_before_is_measured_so(demo):
    found = infodiscard.forecast(*demo, LAYERS, seconds=1000, start="before", **QUICK)
    run = infodiscard.measure(*demo, LAYERS, start="before", progress=False, **QUICK)
    passes = run.summary().set_index("layer")["passes"]
    assert {each.layer: each.passes for each in found.layers} == pytest.approx(dict(passes))
