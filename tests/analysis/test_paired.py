"""Paired comparison: the numbers, the pairing, and when a row says not to trust it."""

import math
from contextlib import nullcontext

import numpy as np
import pytest

from infodiscard.analysis.side import as_run
from infodiscard.analysis.statistics import t_quantile
from infodiscard.api.compare import compare
from infodiscard.api.run import Run
from infodiscard.core.settings import Settings
from infodiscard.errors import InfodiscardError
from infodiscard.results.plan import Plan
from infodiscard.solver.correction import SYSTEMATIC
from synthetic import RESNET, make_plan, older, shared_run, values_of

SMALL = {"layers": RESNET[:3], "samples": 8, "size": 4}


def run_with(values, layers=("x",), samples=None, networks=("net",), path=None, corrected=True, **settings):
    """A run whose every layer has these values; an array is `sid`, a dict any variables.

    Nothing is added by a correction unless they say so; `corrected=False`: in an older run, which has none.
    """
    values = values if isinstance(values, dict) else {"sid": values}
    for name in ("sid", "concentration") if corrected else ():
        values = {f"{name}_corrected": values[name]} | values if name in values else values
    metrics = [name for name in ("sid", "ru") if name in values]
    n = len(next(iter(values.values())))
    plan = Plan(
        networks=networks,
        layers={name: layers for name in networks},
        samples=samples or tuple(f"s{i}" for i in range(n)),
        height=2,
        width=2,
        channels=1,
        settings=Settings(metrics=tuple(metrics), **settings),
        block=64,
    )
    trust = {"converged": np.ones(n, bool), "feature_distance": np.full(n, 1.5), "gap": np.zeros(n)}
    of = {"sid": "", "ru": "ru_"}
    good = {f"{of[metric]}{name}": array for metric in metrics for name, array in trust.items()}
    with nullcontext() if corrected else older():
        run = Run.create(plan, path, masks=np.ones((n, 2, 2), bool))
    for unit in run.pending():
        run.write(unit, good | values)
    return run


def test_difference_and_error_are_those_of_the_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=9), rng.normal(size=9) + 5
    row = compare({"a": run_with(a), "b": run_with(b)}).iloc[0]
    d = b.astype(np.float32) - a.astype(np.float32)
    assert row["difference"] == pytest.approx(d.mean(), rel=1e-5)
    assert row["se"] == pytest.approx(d.std(ddof=1) / 3, rel=1e-5)
    assert row["high"] - row["difference"] == pytest.approx(2.306004 * row["se"], rel=1e-3)
    assert row["low"] + row["high"] == pytest.approx(2 * row["difference"])
    assert (row["mean_a"], row["mean_b"], row["n"]) == (pytest.approx(a.mean()), pytest.approx(b.mean()), 9)
    assert (row["layer"], row["a"], row["b"], row["warning"]) == ("x", "a", "b", "")


def test_samples_are_matched_by_name_not_by_place():
    a = run_with(np.arange(7.0), samples=tuple("abcdefz"))
    b = run_with(np.arange(7.0)[::-1] + 10, samples=tuple("gfedcba"))
    row = compare({"a": a, "b": b}).iloc[0]
    assert row["n"] == 6 and row["difference"] == pytest.approx(10) and row["se"] == pytest.approx(0, abs=1e-6)


def test_one_sample_has_no_error():
    row = compare({"a": run_with(np.zeros(1)), "b": run_with(np.ones(1))}).iloc[0]
    assert math.isnan(row["se"]) and math.isnan(row["low"]) and "only 1 samples" in row["warning"]


def test_networks_of_one_run_and_several_runs():
    both = shared_run(networks=("r20", "r32"), **SMALL)
    table = compare(both)
    assert list(table["layer"]) == list(RESNET[:3])
    assert set(table["a"]) == {"r20"} and set(table["b"]) == {"r32"}
    table = compare({"x": both, "y": shared_run(**SMALL)}, reference="y")
    assert set(table["a"]) == {"y"} and set(table["b"]) == {"x/r20", "x/r32"} and len(table) == 6


def test_paths_are_opened(tmp_path):
    run_with(np.zeros(5), path=tmp_path / "a")
    assert compare({"a": str(tmp_path / "a"), "b": run_with(np.ones(5))})["difference"].item() == 1
    with pytest.raises(InfodiscardError, match="int"):
        as_run(3)


def test_layers_are_paired_by_name_unless_asked():
    a = run_with(np.zeros(5), layers=("c1", "c2"))
    b = run_with(np.ones(5), layers=("c2", "d1"))
    assert list(compare({"a": a, "b": b})["layer"]) == ["c2"]
    assert list(compare({"a": a, "b": b}, by="position")["layer"]) == ["c1 ~ c2", "c2 ~ d1"]
    c = run_with(np.ones(5), layers=("e1", "e2", "e3"))
    with pytest.raises(InfodiscardError, match="position"):
        compare({"a": a, "c": c})
    with pytest.raises(InfodiscardError, match="has 3"):
        compare({"a": a, "c": c}, by="position")
    auto = compare({"a": a, "b": b, "c": run_with(np.ones(5), layers=("e1", "e2"))}, by="auto")
    assert list(auto["layer"]) == ["c2", "c1 ~ e1", "c2 ~ e2"]  # by position where no name is shared
    with pytest.raises(InfodiscardError, match="place"):
        compare({"a": a, "b": b}, by="place")


def test_another_metric_drops_what_was_not_measured():
    a = run_with({"sid": np.zeros(6), "concentration": np.array([0, 1, 2, 3, 4, np.nan])})
    b = run_with({"sid": np.zeros(6), "concentration": np.array([np.nan, 2, 3, 4, 5, 6])})
    row = compare({"a": a, "b": b}, metric="concentration").iloc[0]
    assert row["n"] == 4 and row["difference"] == 1


@pytest.mark.parametrize(
    ("values", "settings", "warning"),
    [
        (
            {"converged": np.arange(20) > 1, "sid_corrected_se": np.full(20, 0.1)},
            {},
            "'b' not converged for 10% of the samples",
        ),
        ({"feature_distance": np.full(20, 1.6)}, {}, "'b' distance off α = 1.5 by 7%"),
        ({"cap_matters": np.arange(20) == 3}, {}, "'b' mean depends on the cap for 5.0%"),
        ({"capped_share": np.full(20, 0.02)}, {}, "'b' σ at the cap for 2.0%"),
        ({}, {"alpha": 2.0}, "alpha differs (1.5 and 2.0)"),
        ({}, {"tau": 0.02}, "tau differs"),
        ({}, {"seed": 1}, "seed differs"),
        ({}, {"cap": 3.0}, "cap differs (range and 3.0)"),
        ({}, {"sigma": "unit"}, "sigma differs"),
    ],
)
def test_a_row_says_when_not_to_trust_it(values, settings, warning):
    good = run_with(np.zeros(20))
    assert compare({"a": good, "b": run_with(np.ones(20))})["warning"].item() == ""
    bad = run_with({"sid": np.ones(20), **values}, **settings)
    text = compare({"a": good, "b": bad})["warning"].item()
    assert warning in text


RU = {"sid": np.zeros(20), "ru": np.ones(20), "ru_concentration": np.ones(20)}


@pytest.mark.parametrize(
    ("values", "metric", "warning"),
    [
        ({"ru_converged": np.arange(20) > 1}, "ru", "'b' not converged for 10% of the samples"),
        ({"ru_converged": np.arange(20) > 1}, "ru_concentration", "'b' not converged for 10% of the samples"),
        ({"ru_converged": np.arange(20) > 1}, "sid", ""),
        ({"ru_converged": np.arange(20) > 1}, "ru_floor", ""),
        ({"ru_feature_distance": np.full(20, 1.6)}, "ru", "'b' distance off α = 1.5 by 7%"),
        ({"ru_gap": np.full(20, 2.5)}, "ru", ""),
        ({"ru_gap": np.full(20, 2.5)}, "sid", ""),
        ({"converged": np.arange(20) > 1}, "ru", ""),
        ({"feature_distance": np.full(20, 1.6)}, "ru", ""),
        ({"gap": np.full(20, 2.5)}, "ru", ""),
        ({"capped_share": np.full(20, 0.02)}, "ru", ""),
    ],
)
def test_warnings_are_about_the_metric_that_is_compared(values, metric, warning):
    base = {name: np.full(20, -1.0) for name in ("sid", "ru", "ru_concentration")}
    runs = {"a": run_with(base | {"ru_floor": base["ru"]}), "b": run_with(RU | {"ru_floor": np.zeros(20)} | values)}
    row = compare(runs, metric=metric).iloc[0]
    assert row["warning"] == warning
    assert row["difference"] == {"sid": 1, "ru": 2, "ru_concentration": 2, "ru_floor": 1}[metric]


def test_the_cap_is_each_networks_own():
    old, new = (run_with(np.zeros(9), networks=(name,), cap={name: 40.0}) for name in ("old", "new"))
    assert compare({"a": old, "b": new})["warning"].item() == ""
    other = run_with(np.zeros(9), networks=("new",), cap={"new": 10.0})
    assert compare({"a": old, "b": other})["warning"].item() == "cap differs (40.0 and 10.0)"


def test_the_gap_is_the_larger_of_both():
    a, b = (run_with({"sid": np.full(6, x), "gap": np.full(6, x)}, corrected=False) for x in (0.25, 0.5))
    row = compare({"a": a, "b": b}).iloc[0]
    assert (row["gap"], row["difference"], row["verdict"]) == (0.5, 0.25, "cannot tell")
    assert compare({"a": run_with(np.zeros(6)), "b": run_with(np.ones(6))})["gap"].item() == 0


def test_few_samples_are_pointed_out():
    assert "only 4 samples" in compare({"a": run_with(np.zeros(4)), "b": run_with(np.ones(4))})["warning"].item()
    assert compare({"a": run_with(np.zeros(5)), "b": run_with(np.ones(5))})["warning"].item() == ""


def test_unfinished_runs_are_compared_as_far_as_they_go():
    whole = shared_run(**SMALL)
    plan = make_plan(block=4, **SMALL)
    part = Run.create(plan)
    for unit in plan.units()[:4]:
        part.write(unit, values_of(plan, unit, shift=0.5))
    table = compare({"whole": whole, "part": part})
    assert list(table["n"]) == [8, 4, 4]
    assert all("'part' is not finished, 2 units are missing" in text for text in table["warning"])
    np.testing.assert_allclose(table["difference"], 0.5, rtol=1e-5)
    with pytest.raises(InfodiscardError, match="6 units are missing"):
        compare({"whole": whole, "none": Run.create(plan)})


def test_what_cannot_be_compared_is_one_sentence():
    a = shared_run(**SMALL)
    b = shared_run(**SMALL | {"size": 5})
    with pytest.raises(InfodiscardError, match=r"3×4×4.*3×5×5"):
        compare({"a": a, "b": b})
    with pytest.raises(InfodiscardError, match="share no samples"):
        compare({"a": run_with(np.zeros(3)), "b": run_with(np.zeros(3), samples=("x", "y", "z"))})
    with pytest.raises(InfodiscardError, match="two networks"):
        compare(a)
    with pytest.raises(InfodiscardError, match="nearest are 'a'"):
        compare({"a": a, "b": a}, reference="aa")
    with pytest.raises(InfodiscardError, match="nearest are 'sid'"):
        compare({"a": a, "b": a}, metric="sidd")


# -- corrected values --------------------------------------------------------------------------------------------------


def corrected_run(reached, missing, **more):
    """A run of these values as reached, to which so much is added."""
    return run_with({"sid": reached, "sid_corrected": reached + missing, "gap": np.full(len(reached), 9.0)} | more)


def test_sid_is_compared_as_corrected_and_its_systematic_errors_are_in_the_interval():
    rng = np.random.default_rng(0)
    reached, missing = rng.normal(size=(2, 9)), rng.uniform([[0.4], [0.1]], 1, (2, 9))
    runs = dict(zip("ab", (corrected_run(*each) for each in zip(reached, missing, strict=True)), strict=True))
    row = compare(runs).iloc[0]
    a, b = reached + missing
    scatter = (b - a).std(ddof=1) / 3
    systematic = SYSTEMATIC * math.sqrt(((missing[1] - missing[0]) ** 2).mean())
    assert row["basis"] == "corrected" and row["gap"] == 0 and row["warning"] == ""
    assert row["difference"] == pytest.approx((b - a).mean(), rel=1e-5) and row["mean_a"] == pytest.approx(a.mean())
    assert row["systematic"] == pytest.approx(systematic, rel=1e-5)
    assert row["se"] == pytest.approx(math.hypot(scatter, systematic), rel=1e-5)
    assert row["high"] - row["low"] == pytest.approx(2 * t_quantile(8) * row["se"], rel=1e-5)
    plain = compare(runs, metric="sid_reached").iloc[0]
    assert plain["difference"] == pytest.approx((reached[1] - reached[0]).mean(), rel=1e-5)
    assert plain["basis"] == "reached" and plain["systematic"] == 0 and plain["gap"] == 9
    assert (plain["verdict"], plain["warning"]) == ("cannot tell", "")  # within the gap
    assert compare(runs, metric="sid_corrected").iloc[0].equals(row)


def test_systematic_errors_that_both_sides_share_cancel():
    rng = np.random.default_rng(0)
    missing = rng.uniform(0.2, 0.6, 9)
    a, b = corrected_run(rng.normal(size=9), missing), corrected_run(rng.normal(size=9), missing + 0.1)
    assert compare({"a": a, "b": a})["se"].item() == 0
    assert compare({"a": a, "b": b})["systematic"].item() == pytest.approx(0.1 * SYSTEMATIC, rel=1e-5)


def test_the_systematic_error_is_of_the_mean_correction_whatever_its_sign():
    a = corrected_run(np.zeros(6), np.full(6, -0.2))
    row = compare({"a": a, "b": run_with(np.zeros(6))}).iloc[0]
    assert row["difference"] == pytest.approx(0.2) and row["se"] == pytest.approx(SYSTEMATIC * 0.2, rel=1e-5)


def test_concentration_is_corrected_likewise():
    runs = {
        name: run_with({"sid": np.zeros(6), "concentration": np.zeros(6), "concentration_corrected": np.full(6, added)})
        for name, added in (("a", 0.1), ("b", 0.4))
    }
    row = compare(runs, metric="concentration").iloc[0]
    assert row["basis"] == "corrected" and row["difference"] == pytest.approx(0.3)
    assert row["se"] == pytest.approx(SYSTEMATIC * 0.3, rel=1e-5)
    reached = compare(runs, metric="concentration_reached").iloc[0]
    assert (reached["difference"], reached["se"], reached["basis"], reached["warning"]) == (0, 0, "reached", "")


def test_what_has_no_correction_has_no_basis():
    a, b = (run_with({"sid": np.zeros(6), "ru": np.full(6, x)}) for x in (0.0, 1.0))
    assert compare({"a": a, "b": b}, metric="ru").iloc[0][["basis", "systematic"]].tolist() == ["", 0]
    for metric in ("ru_reached", "sid_reached_reached"):
        with pytest.raises(InfodiscardError, match=f"has no '{metric}'"):
            compare({"a": a, "b": b}, metric=metric)


def test_an_older_run_is_compared_as_reached():
    new = corrected_run(np.ones(8), 0.5)
    row = compare({"old": run_with(np.zeros(8), corrected=False), "new": new}).iloc[0]
    assert (row["basis"], row["difference"], row["systematic"]) == ("reached", 1, 0)
    assert row["warning"] == "'old' has no corrected values: reached ones are compared"
    both = compare({name: run_with(np.full(8, x), corrected=False) for name, x in (("a", 0.0), ("b", 1.0))}).iloc[0]
    assert (both["basis"], both["difference"], both["warning"]) == ("reached", 1, "")
    with pytest.raises(InfodiscardError, match="'old' has no 'sid_corrected'"):
        compare({"old": run_with(np.zeros(8), corrected=False), "new": new}, metric="sid_corrected")


def test_samples_without_a_corrected_value_are_left_out_and_named():
    holes = np.where(np.arange(10) < 3, np.nan, 1.0)
    a, b = run_with(np.zeros(10)), corrected_run(np.arange(10.0), holes)
    row = compare({"a": a, "b": b}).iloc[0]
    assert row["n"] == 7 and row["difference"] == pytest.approx(np.arange(3, 10).mean() + 1)
    assert row["warning"] == "'b' lacks corrected values for 30.0% of the samples, which are left out of the mean"
    assert compare({"a": a, "b": b}, metric="sid_reached").iloc[0]["n"] == 10
    none = compare({"a": a, "b": corrected_run(np.arange(10.0), np.full(10, np.nan))}).iloc[0]
    assert (none["basis"], none["n"]) == ("reached", 10) and "'b' has no corrected values" in none["warning"]
    apart = compare({"a": corrected_run(np.zeros(10), holes[::-1] * np.where(np.arange(10) < 5, 1, np.nan)),
                     "b": corrected_run(np.zeros(10), np.where(np.arange(10) < 5, np.nan, 1.0))}).iloc[0]  # fmt: skip
    assert apart["n"] == 10 and "no sample has corrected values on both sides" in apart["warning"]


def test_a_gap_that_cannot_be_told_is_no_small_one():
    gap = np.where(np.arange(8) == 2, np.nan, 0.01)
    a, b = (run_with({"sid": np.full(8, x), "gap": gap}, corrected=False) for x in (0.0, 1.0))
    row = compare({"a": a, "b": b}).iloc[0]
    assert (row["gap"], row["verdict"]) == (math.inf, "cannot tell")
