"""The scalars of the page: every metric has one, and its concentration."""

from dataclasses import replace

import pytest

from infodiscard.report import scalars


def test_metrics_come_first_then_their_concentrations():
    every = scalars.page_scalars()
    assert list(every) == ["sid", "ru", "concentration", "ru_concentration"]
    assert [item.title for item in every.values()] == ["SID", "RU", "Concentration", "Concentration of RU"]
    assert [item.metric.name for item in every.values()] == ["sid", "ru"] * 2
    assert [item.is_metric for item in every.values()] == [True, True, False, False]


def test_maps_say_that_they_show_what_was_reached():
    assert [scalars.of_maps(metric) for metric in ("sid", "ru")] == ["SID reached", "RU"]


def test_a_new_metric_has_its_scalars(monkeypatch):
    concentration = {"toy_concentration": scalars.METRICS["ru"].variables["ru_concentration"]}
    toy = replace(
        scalars.METRICS["ru"], name="toy", title="TOY", prefix="toy_", ends=("lower", "higher"), variables=concentration
    )
    monkeypatch.setitem(scalars.METRICS, "toy", toy)
    every = scalars.page_scalars()
    assert every["toy"].title == "TOY" and every["toy"].ends == ("lower", "higher")
    assert every["toy_concentration"].title == "Concentration of TOY"
    assert scalars.of_maps("toy") == "TOY"


@pytest.mark.parametrize("metric", ["sid", "ru"])
def test_both_ends_of_an_axis_are_named(metric):
    low, high = scalars.page_scalars()[metric].ends
    assert low != high and metric in scalars.LOSES
