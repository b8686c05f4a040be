"""Plans: the units of a run, the union of its networks' layers, and how two plans differ."""

from dataclasses import replace

import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.results.plan import Plan, Unit
from synthetic import RESNET, make_plan

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


def test_units_cover_every_sample_once_in_order():
    plan = make_plan(networks=("a", "b"), **SMALL)
    units = plan.units()
    assert units[0] == Unit("a", "conv1", 0, 4)
    assert [(u.network, u.layer) for u in units[:6]] == [(name, layer) for name in "ab" for layer in SMALL["layers"]]
    assert [(u.start, u.stop) for u in units[::6]] == [(0, 4), (4, 8), (8, 10)]  # all layers of some samples first
    assert len(units) == 2 * 3 * 3 == len(set(units))


def test_union_of_layers_respects_every_network():
    plan = Plan(("a", "b", "c"), {"a": ["stem", "one", "two", "fc"], "b": ["stem", "one", "more", "two", "fc"],
                                  "c": ["norm", "one", "extra", "fc"]}, ("s",), 2, 2, 1)  # fmt: skip
    union = plan.union()
    assert sorted(union) == sorted(set(["stem", "one", "two", "fc", "more", "norm", "extra"]))
    for layers in plan.layers.values():
        assert sorted(layers, key=union.index) == list(layers)


def test_union_of_contradicting_orders_still_has_every_layer_once():
    plan = Plan(("a", "b"), {"a": ("x", "y"), "b": ("y", "x", "z")}, ("s",), 2, 2, 1)
    assert sorted(plan.union()) == ["x", "y", "z"]


@pytest.mark.parametrize(
    "wrong", [{"samples": ("s", "s")}, {"samples": ()}, {"layers": {"b": ("x",)}}, {"labels": (1, 2)}, {"block": 0}]
)
def test_plan_that_does_not_fit_together_is_refused(wrong):
    fits = {"networks": ("a",), "layers": {"a": ("x",)}, "samples": ("s",), "height": 2, "width": 2, "channels": 1}
    Plan(**fits)
    with pytest.raises(InfodiscardError):
        Plan(**{**fits, **wrong})


def test_settings_that_differ_are_named_as_a_run_stores_them():
    old = make_plan(metrics=("sid", "ru"))
    assert old == make_plan(metrics=("ru", "sid")) and old.differences(replace(old, block=1)) == []
    new = replace(old, settings=replace(old.settings, alpha=2.0, max_passes={"sid": 700, "ru": 300}, noise_on="x"))
    assert old.differences(new) == [
        "alpha was 1.5, now 2.0",
        "max_passes was 5000, now 700",
        "ru_max_passes was 1600, now 300",
        "noise_on was None, now x",
    ]
