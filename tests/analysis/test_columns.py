"""Columns of printed tables: which stand for a metric, and how numbers are printed."""

import math

import pandas as pd
import pytest

from infodiscard.analysis.columns import columns_of, printed, share, with_error
from synthetic import RESNET, shared_run

SMALL = {"layers": RESNET[:2], "samples": 5, "size": 4}


def test_numbers_shares_and_errors():
    assert [printed(value, ".2f") for value in (1.234, math.nan, math.inf)] == ["1.23", "–", "∞"]
    assert [share(value) for value in (0.0, 0.0004, 0.25, math.nan)] == ["0%", "<0.1%", "25.0%", "–"]
    assert with_error({"x": 1.0, "x_se": 0.25}, "x", ".1f") == "1.0 ± 0.2"
    assert with_error({"x": 1.0, "x_se": math.nan}, "x", ".1f") == "1.0"


def test_corrected_columns_hide_the_gap():
    run = shared_run(masks=True, metrics=("sid", "ru"), **SMALL)
    summary = run.summary()
    sid, ru = columns_of("sid", summary), columns_of("ru", summary)
    assert list(sid)[:3] == ["sid_corrected", "sid", "concentration_corrected"] and "gap" not in sid
    assert list(ru)[:3] == ["ru", "ru_floor", "ru_concentration"] and "ru_gap" in ru
    row = summary.to_dict("records")[0]
    heading, form = sid["sid_corrected"]
    assert heading.startswith("SID ± se") and form(row) == f"{row['sid_corrected']:.3f} ± {row['sid_corrected_se']:.3f}"
    assert ru["n"][1](row) == "5" and sid["capped_share"][1](row) == "0%" and sid["converged"][1](row) == "100%"


@pytest.mark.parametrize("corrected", [None, math.nan])
def test_values_as_reached_stand_in_and_show_the_gap(corrected):
    summary = shared_run(old=True, masks=True, **SMALL).summary()
    summary = summary if corrected is None else summary.assign(sid_corrected=corrected, sid_corrected_se=corrected)
    columns = columns_of("sid", summary)
    assert columns["sid"][0] == "SID ± se\nreached" and columns["concentration"][0] == "concentr.\nreached"
    assert "gap" in columns and next(iter(columns)) == "sid"


def test_columns_that_a_summary_lacks_are_omitted():
    assert list(columns_of("sid", pd.DataFrame({"sid": [1.0], "sid_se": [0.1]}))) == ["sid"]
