"""The tables of the page: what a cell shows, and by what its row is sorted."""

import math

import pytest

from infodiscard.report import content, html_tables
from pages import SMALL
from synthetic import make_run, shared_run


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (-0.25, html_tables.Cell("−0.250", sort=-0.25)),
        (math.inf, html_tables.Cell("∞", sort=1e300)),
        (math.nan, html_tables.Cell("–")),
        (None, html_tables.Cell("–")),
    ],
)
def test_numbers_are_sorted_by_their_value(value, cell):
    assert html_tables._number(value, ".3f") == cell


def test_values_and_solver_have_a_row_per_network_and_layer():
    run = shared_run(metrics=("sid", "ru"), masks=True, **SMALL)
    read = content.read({"a": run, "b": run})
    heads = {metric: html_tables.values(read, metric).heads for metric in read.metrics}
    assert heads["sid"] == [
        *("network", "layer", "samples", "SID", "± se", "SID reached", "± se"),
        *("concentration", "± se", "concentration reached", "± se", "trust"),
    ]
    assert heads["ru"] == ["network", "layer", "samples", "RU", "± se", "floor", "concentration", "± se", "trust"]
    for table in (html_tables.values(read, "sid"), html_tables.solver(read, "ru")):
        assert [(row[0].text, row[1].text) for row in table.rows] == [(n, e) for n in "ab" for e in SMALL["layers"]]
        assert {len(row) for row in table.rows} == {len(table.heads)}
        assert [row[-1].kind for row in table.rows] == ["text", "text", "warn"] * 2


def test_differences_have_a_gap_only_where_no_error_holds_it():
    for old in (False, True):
        read = content.read({"a": make_run(old=old, **SMALL), "b": make_run(old=old, seed=2, **SMALL)})
        table = html_tables.differences(read)["0|sid"]
        assert ("gap" in table.heads) == ("(reached)" in table.caption) == old
        assert {len(row) for row in table.rows} == {len(table.heads)}


def test_a_pair_without_a_scalar_has_no_table_of_it():
    both, alone = (make_run(metrics=metrics, **SMALL) for metrics in (["sid", "ru"], ["sid"]))
    tables = html_tables.differences(content.read({"a": both, "b": alone}))
    assert list(tables) == ["0|sid", "0|ru"] and tables["0|sid"] and tables["0|ru"] is None
