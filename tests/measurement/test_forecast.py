"""What a forecast says: that it adds up, counts what a run stores, and is printed."""

from __future__ import annotations

import numpy as np
import pytest

from infodiscard.core.settings import Settings
from infodiscard.measurement.calibration import Timing
from infodiscard.measurement.forecast import Forecast, LayerForecast, seconds_error
from infodiscard.results.plan import Plan


def made(seconds: tuple[float, ...], errors: tuple[float, ...], samples: int = 100, **settings) -> Forecast:
    """A forecast of layers that take so many seconds a sample."""
    names = [f"l{i}" for i in range(len(seconds))]
    plan = Plan(
        ("net",), {"net": tuple(names)}, tuple(map(str, range(samples))), 8, 8, 3, Settings(**settings), block=10
    )
    layers = tuple(
        LayerForecast("net", name, 20, each, error, 300, 1000.0, 10 * each, 0.5 * each, 2 * each, False)
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
    assert found.range == (200, 800)
    assert table.loc[4, "seconds_high"] - table.loc[4, "seconds"] == pytest.approx(400 / 4 / 0.8)
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
