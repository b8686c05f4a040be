"""A run begun by an earlier version, format 3: it is read, continued, and its second sample is measured as recorded."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import infodiscard
from infodiscard import data, zoo

GOLDEN = Path(__file__).parents[1] / "golden"
OPTIONS = {
    "layers": ["layer3"],
    "max_passes": {"sid": 96, "ru": 256},
    "metrics": ["sid", "ru"],
    "block": 1,
    "progress": False,
}


@pytest.fixture
def stored(tmp_path):
    with zipfile.ZipFile(GOLDEN / "run-format3.zip") as archive:
        archive.extractall(tmp_path / "run")
    return tmp_path / "run"


def assert_golden(table):
    """Same columns and names, and values as another processor may round them."""
    expected = pd.DataFrame(json.loads((GOLDEN / "values.json").read_text(encoding="utf-8")))
    assert list(table.columns) == list(expected.columns)
    for name in expected:
        if expected[name].dtype.kind == "f":
            error = expected[f"{name}_se"] if f"{name}_se" in expected else 0.08 + 0.02 * expected[name].abs()
            error = 0.3 if name.endswith("gap") else error
            assert (np.abs(table[name] - expected[name]) <= error).all(), name
        elif not name.endswith("passes"):
            assert table[name].tolist() == expected[name].tolist(), name


def test_it_is_read(stored):
    run = infodiscard.open_run(stored)
    assert len(run.pending()) == 1 and run.metrics == ("sid", "ru")
    assert run.to_dataframe()["sid"].tolist() == pytest.approx([-0.186085432767868], abs=1e-12)
    assert run.summary()["n"].tolist() == [1]


def test_it_is_continued_to_the_same_values(stored):
    before = infodiscard.open_run(stored).to_dataframe()
    run = infodiscard.measure({"demo": zoo.load("demo")}, data.load("demo", 2), out=stored, **OPTIONS)
    assert run.complete
    table = run.to_dataframe()
    pd.testing.assert_frame_equal(table.iloc[:1], before)  # nothing is measured twice
    assert_golden(table)
