"""Plans: the units of a run, and the union of its networks' layers."""

import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.results.plan import Plan, Unit
from synthetic import RESNET, make_plan

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


def test_units_cover_every_sample_once_in_order():
    plan = make_plan(networks=("a", "b"), **SMALL)
    units = plan.units()
    assert units[0] == Unit("a", "conv1", 0, 4)
    assert [(u.start, u.stop) for u in units[:3]] == [(0, 4), (4, 8), (8, 10)]
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
