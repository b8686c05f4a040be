"""The summary of a run: its means against the formulas, and its columns."""

import math

import numpy as np
import pytest

from infodiscard.api.run import Run
from infodiscard.solver.correction import SYSTEMATIC
from synthetic import RESNET, make_plan, make_run, values_of


def test_summary_agrees_with_the_formulas():
    run = make_run(masks=True, layers=RESNET[:3], samples=7, size=8)
    table = run.summary().set_index("layer")
    assert list(table.index) == list(RESNET[:3])
    for layer in table.index:
        sid = run.read("resnet20", layer, 0, 7, "sid").astype(float)
        assert table.loc[layer, "sid"] == pytest.approx(sid.mean(), rel=1e-5)
        assert table.loc[layer, "sid_se"] == pytest.approx(sid.std(ddof=1) / 7**0.5, rel=1e-4)
        assert table.loc[layer, "converged"] == run.read("resnet20", layer, 0, 7, "converged").mean()
    assert {"n", "concentration", "concentration_se", "feature_distance", "passes", "gap", "capped_share"} <= set(table)


def test_summary_has_the_columns_of_what_was_measured():
    small = {"layers": RESNET[:2], "samples": 7, "size": 4}
    sid = ["sid", "sid_se", "sid_corrected", "sid_corrected_se"]
    sid += ["concentration", "concentration_se", "concentration_corrected", "concentration_corrected_se"]
    trust = ["converged", "feature_distance", "passes", "gap", "capped_share", "cap_matters"]
    ru = ["ru", "ru_se", "ru_concentration", "ru_concentration_se", "ru_floor"]
    ru_trust = ["ru_converged", "ru_feature_distance", "ru_passes", "ru_gap"]
    assert list(make_run(masks=True, **small).summary()) == [
        *("network", "layer", "n", *sid, "uncorrected_share", *trust, "trust")
    ]
    assert list(make_run(masks=True, metrics=["ru"], **small).summary()) == [
        "network",
        "layer",
        "n",
        *ru,
        *ru_trust,
        "trust",
    ]
    run = make_run(masks=True, metrics=["sid", "ru"], **small)
    table, frame = run.summary(), run.to_dataframe()
    assert list(table) == [
        "network",
        "layer",
        "n",
        *sid,
        *ru[:4],
        "uncorrected_share",
        *trust,
        "ru_floor",
        *ru_trust,
        "trust",
    ]
    old = make_run(masks=True, old=True, **small).summary()
    assert list(old) == ["network", "layer", "n", *(name for name in sid if "corrected" not in name), *trust, "trust"]
    first = frame[frame["layer"] == "conv1"]
    assert table["ru"][0] == pytest.approx(first["ru"].mean(), rel=1e-5)
    assert table["ru_se"][0] == pytest.approx(first["ru"].std() / 7**0.5, rel=1e-4)
    assert table["ru_floor"][0] == pytest.approx(first["ru_floor"].mean(), rel=1e-5)


def test_the_summary_has_both_and_says_how_many_are_left_out():
    plan = make_plan(layers=RESNET[:3], samples=6, size=6)
    run = Run.create(plan)
    for unit in run.pending():
        values = values_of(plan, unit)
        values["sid_corrected"][:2] = np.nan if unit.layer == RESNET[1] else values["sid_corrected"][:2]
        run.write(unit, values)
    table, rows = run.summary(), run.to_dataframe().groupby("layer", sort=False)
    assert list(table["uncorrected_share"]) == pytest.approx([0, 1 / 3, 0]) and list(table["n"]) == [6, 6, 6]
    for i, (_, each) in enumerate(rows):
        missing = (each["sid_corrected"] - each["sid"]).mean()
        error = math.hypot(each["sid_corrected"].sem(), SYSTEMATIC * missing)
        assert table["sid_corrected_se"][i] == pytest.approx(error, rel=1e-4)
        assert table["sid_corrected"][i] == pytest.approx(each["sid_corrected"].mean(), rel=1e-5)
        assert table["sid_se"][i] == pytest.approx(each["sid"].sem(), rel=1e-4)
