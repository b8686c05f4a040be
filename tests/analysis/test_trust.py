"""Warnings: each diagnostic at its threshold, of the metric that is asked about alone."""

import math

import numpy as np
import pandas as pd
import pytest

from infodiscard.analysis.side import sides_of
from infodiscard.analysis.trust import diagnostics, distrust, mean_gap, other_pixels, settings_warnings
from synthetic import RESNET, make_run, shared_run

SMALL = {"layers": RESNET[:2], "samples": 6, "size": 4}


def table(**columns):
    """Rows that nothing speaks against but for what is given."""
    good = {"sid": 1.0, "converged": True, "feature_distance": 1.5, "gap": 0.01, "capped_share": 0.0}
    good |= {"ru": 1.0, "ru_converged": True, "ru_feature_distance": 1.5, "ru_gap": 0.02, "ru_floor": 0.1}
    return pd.DataFrame({name: np.full(40, value) for name, value in good.items()} | columns)


def test_diagnostics_are_those_of_the_metric_under_common_names():
    assert set(diagnostics(table(), "sid")) == {"converged", "feature_distance", "gap", "capped_share"}
    for name in ("sid_reached", "sid_corrected", "concentration", "concentration_reached"):
        assert diagnostics(table(), name).equals(diagnostics(table(), "sid"))
    for name in ("ru", "ru_concentration"):
        assert set(diagnostics(table(), name)) == {"converged", "feature_distance", "gap"}
        assert (diagnostics(table(), name)["gap"] == 0.02).all()
    assert diagnostics(table(), "ru_floor").empty and diagnostics(table(), "label").empty


@pytest.mark.parametrize(
    ("column", "values", "warning"),
    [
        ("converged", np.arange(40) > 0, ""),
        ("converged", np.arange(40) > 3, "not converged for 10% of the samples"),
        ("feature_distance", np.full(40, 1.57), ""),
        ("feature_distance", np.full(40, 1.6), "distance off α = 1.5 by 7%"),
        ("capped_share", np.full(40, 0.01), ""),
        ("capped_share", np.full(40, 0.02), "σ at the cap for 2.0% of the pixels"),
        ("cap_matters", np.arange(40) < 1, "mean depends on the cap for 2.5% of the samples"),
        ("sid_corrected", np.where(np.arange(40) < 4, np.nan, 1.0), "lacks corrected values for 10.0% of the samples"),
        ("sid_corrected", np.full(40, np.nan), "lacks corrected values altogether"),
    ],
)
def test_each_warning_has_its_threshold(column, values, warning):
    rows = table(**{column: values})
    warnings = distrust(rows, 1.5, "sid")
    assert [text.startswith(warning) for text in warnings] == [True] if warning else not warnings
    assert not distrust(rows, 1.5, "ru")


def test_a_gap_that_is_not_known_is_infinite():
    assert mean_gap(table(), "ru") == pytest.approx(0.02) and mean_gap(table()[["sid"]], "sid") == 0
    assert mean_gap(table(gap=np.where(np.arange(40) < 1, np.nan, 0.0)), "sid") == math.inf


def test_runs_that_differ_say_in_what():
    a, b = (*sides_of(shared_run(**SMALL)), *sides_of(make_run(units=1, seed=1, tau=0.02, **SMALL)))
    assert settings_warnings(a, b) == [
        "tau differs (0.01 and 0.02)",
        f"'{b.name}' is not finished, {b.missing} units are missing",
    ]
    assert not settings_warnings(a, a) and not other_pixels(a, a)


def test_unconverged_samples_do_not_matter_where_the_mean_is_known_well_enough():
    """Errors of 0.05 of single samples are nothing beside a spread of 1 between them, and most of one of 0.01."""
    spread = np.random.default_rng(0).normal(0, 1, 40)
    for sd, doubted in ((1.0, False), (0.01, True)):
        table = pd.DataFrame(
            {
                "sid": sd * spread,
                "sid_corrected": sd * spread,
                "sid_corrected_se": np.full(40, 0.05),
                "converged": np.arange(40) > 30,
            }
        )
        assert bool(distrust(table, 1.5, "sid")) == doubted
        assert distrust(table, 1.5, "sid_reached")  # which holds no error of its own
