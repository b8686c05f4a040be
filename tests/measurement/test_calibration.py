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


def test_what_does_not_fit_is_told_by_a_first_look(demo):
    """With a clock that ticks a second whenever it is looked at, no sample fits into any share."""
    ticks = count()
    found = infodiscard.forecast(*demo, LAYERS, seconds=5, clock=lambda: float(next(ticks)), **QUICK)
    assert found.guessed and found.range[0] < found.seconds < found.range[1]
    for each in found.layers:
        assert each.measured == 0 and 75 <= each.passes < 256  # the first layers are soon done
        assert 0 < each.low <= each.seconds <= each.high
        assert each.size >= 1024 * 8  # two maps of 32 × 32 in single precision, as they are before compression


def test_a_search_that_is_given_up_tells_how_long_it_would_have_taken(demo):
    """On a clock by which every look takes a second, but for a layer that is far from done after its share."""
    ticks = count()
    found = infodiscard.forecast(
        *demo, ["linear"], seconds=9, clock=lambda: float(next(ticks)), max_passes=3000, block=1
    )
    (layer,) = found.layers
    assert layer.guessed and layer.passes > 128 and layer.low < layer.seconds < layer.high


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
    assert found.seconds == pytest.approx(now[0] - start, rel=0.05)
    assert found.seconds + found.start_up == now[0] - start


def test_a_search_that_begins_at_the_layer_before_is_measured_so(demo):
    found = infodiscard.forecast(*demo, LAYERS, seconds=1000, start="before", **QUICK)
    run = infodiscard.measure(*demo, LAYERS, start="before", progress=False, **QUICK)
    passes = run.summary().set_index("layer")["passes"]
    assert {each.layer: each.passes for each in found.layers} == pytest.approx(dict(passes))
