"""What a forecast says: that it adds up, counts what a run stores, and is printed."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import infodiscard
from infodiscard import InfodiscardError, data, zoo
from infodiscard.cli import app
from infodiscard.core.settings import Settings
from infodiscard.measurement.calibration import Timing
from infodiscard.measurement.forecast import Forecast, LayerForecast, seconds_error
from infodiscard.results.plan import Plan
from infodiscard.results.store import STORE

LAYERS = ["bn1", "layer1"]
QUICK = {"max_passes": 256, "block": 2}


@pytest.fixture(scope="module")
def demo():
    return zoo.load("demo"), data.load("demo").take(5)


@pytest.fixture(scope="module")
def whole(demo):
    """A calibration that is given time for everything."""
    return infodiscard.forecast(*demo, LAYERS, seconds=1000, workers=(1, 2), **QUICK)


def made(seconds: tuple[float, ...], errors: tuple[float, ...], samples: int = 100, **settings) -> Forecast:
    """A forecast of layers that take so many seconds a sample."""
    names = [f"l{i}" for i in range(len(seconds))]
    plan = Plan(
        ("net",), {"net": tuple(names)}, tuple(map(str, range(samples))), 8, 8, 3, Settings(**settings), block=10
    )
    layers = tuple(
        LayerForecast("net", name, 20, each, error, 300, 1000.0, 10 * each, False)
        for name, each, error in zip(names, seconds, errors, strict=True)
    )
    return Forecast(plan, layers, "cpu", 2, 1.0, 7.0, None, None, 500.0, 99, (1, 4, 64), 0.8)


def test_it_adds_up():
    found = made((1.0, 3.0), (0.03, 0.04))
    assert found.seconds == 400 and found.seconds_se == pytest.approx(100 * 0.05)
    assert found.problems == 200 and found.units == 20 and found.size == 500 + 200 * 1000
    assert found.time(1) == 7 + 400
    assert found.time(4) == pytest.approx(7 + 400 / 4 / 0.8 + 30 / 2)  # half of the longest unit, 10 × 3 s
    assert found.time(64) == pytest.approx(7 + 400 / 20 / 0.8 + 30 / 2)  # there is work for twenty
    table = found.table().set_index("workers")
    assert table.loc[1, "core_hours"] == pytest.approx(400 / 3600 * 2)
    assert table.loc[4, "core_hours"] == pytest.approx(400 / 0.8 / 3600 * 2)
    assert table.loc[4, "seconds_se"] == pytest.approx(5 / 4 / 0.8)
    assert found.layer_table()["share"].tolist() == [0.25, 0.75]


def test_layers_that_begin_at_the_one_before_share_their_errors_and_their_tail():
    found = made((1.0, 3.0), (0.03, 0.04), start="before")
    assert found.seconds_se == pytest.approx(100 * 0.07) and found.tail == 20


def test_what_is_not_known_of_one_layer_is_taken_from_the_others():
    assert made((1.0, 3.0), (0.1, float("nan"))).seconds_se == pytest.approx(100 * np.hypot(0.1, 0.3))
    assert np.isnan(made((1.0,), (float("nan"),)).seconds_se)


def test_the_error_is_that_of_the_mean_of_blocks():
    units = [Timing(seconds, np.full(4, 100), 1) for seconds in (4.0, 6.0, 8.0)]
    # Between blocks 2 s, of three out of ten; four samples each.
    assert seconds_error(units, 40) == pytest.approx(2 / 3**0.5 * 0.7**0.5 / 4)
    assert seconds_error(units, 12) == 0
    # Of a single one, between its samples: 100 and 300 passes for 1 s and 3 s.
    assert seconds_error([Timing(4.0, np.array([100, 300]), 1)], 1000) == pytest.approx(1.0, rel=0.01)
    assert np.isnan(seconds_error([Timing(4.0, np.array([100]), None)], 1000))


def test_all_that_was_measured_is_known_exactly(whole, demo, tmp_path):
    run = infodiscard.measure(*demo, LAYERS, out=tmp_path / "run", progress=False, **QUICK)
    files = [path for path in (tmp_path / "run" / STORE).rglob("*") if path.is_file()]
    assert whole.objects == len(files)
    assert whole.size == sum(path.stat().st_size for path in files)
    assert whole.seconds_se == 0 and not whole.at_most
    assert [each.measured for each in whole.layers] == [5, 5]
    assert whole.units == len(run.plan.units())
    passes = run.summary().set_index("layer")["passes"]
    assert {each.layer: each.passes for each in whole.layers} == pytest.approx(dict(passes))


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


def test_nothing_changes(demo):
    """Neither the network nor the number of threads."""
    network, images = demo
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    infodiscard.forecast(network, images.take(1), ["bn1"], seconds=0.1, cores=2, **QUICK)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seconds": 0}, "seconds was 0; give numbers above 0"),
        ({"workers": ()}, r"workers was \(\)"),
        ({"workers": (1, 0)}, r"workers was \(1, 0\)"),
        ({"cores": 0}, "cores was 0"),
        ({"efficiency": 1.5}, "efficiency was 1.5; give numbers above 0 and at most 1"),
        ({"out": "runs/x"}, "out is for measuring; a forecast stores nothing: leave it out"),
        ({"tau": -1}, "tau was -1"),
    ],
)
def test_bad_input_gets_a_sentence(demo, given, says):
    with pytest.raises(InfodiscardError, match=says):
        infodiscard.forecast(*demo, LAYERS, **given)


def call(*arguments: str | Path):
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_the_command_prints_what_it_is_made_of():
    found = call("demo", "--data", "demo", "--samples", 2, "--layers", "bn1", "--max-passes", 256,
                 "--calibrate", 30, "--workers", "1,16", "--cores", 1, "--efficiency", 0.5)  # fmt: skip
    assert found.exit_code == 0, found.output
    text = " ".join(found.output.split())
    parts = ["1 layers × 2 samples of 3×32×32: 2 problems in 1 units of 4", "bn1", "100.0%", "core-hours", "Memory: "]
    for part in [*parts, "Storage: ", "From 2 of 2 problems (100.0%)", "each worker has 1 core", "reach 50%"]:
        assert part in text, text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((), "--data SPEC for images, or --text FILE"),
        (("--data", "demo", "--workers", "1,x"), "--workers was '1,x'; give whole numbers"),
        (("--data", "demo", "--workers", "0"), "workers was (0,)"),
        (("--data", "demo", "--layers", "nothing"), "nothing"),
    ],
)
def test_the_command_says_what_is_wrong(given, says):
    found = call("demo", *given)
    assert found.exit_code == 2 and says in found.output and "Traceback" not in found.output
