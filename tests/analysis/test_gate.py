"""The gate: its p-values against SciPy's, its verdicts, and when it decides nothing."""

import copy
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from typer.testing import CliRunner

from infodiscard import check, data, measure, zoo
from infodiscard.analysis.gate import is_run, judged
from infodiscard.analysis.side import Side
from infodiscard.analysis.statistics import holm, t_bound
from infodiscard.api.run import Run
from infodiscard.cli import app
from infodiscard.core.settings import Settings
from infodiscard.errors import InfodiscardError
from infodiscard.results.plan import Plan
from infodiscard.solver.correction import SYSTEMATIC
from synthetic import RESNET, make_plan, make_run, older, shared_run, values_of

SMALL = {"layers": RESNET[:3], "samples": 8, "size": 4}
FAST = {"max_passes": 256, "tolerance": 0.5, "progress": False}


def run_of(
    values, gap=0.0, samples=None, path=None, networks=("net",), trust=(), corrected=False, missing=0.0, **settings
):
    """A run with these values of SID, layer → one value per image, in every network.

    They are as reached, in an older run; or corrected by what is `missing`.
    """
    n = len(next(iter(values.values())))
    plan = Plan(
        networks=networks,
        layers={name: tuple(values) for name in networks},
        samples=samples or tuple(f"s{i}" for i in range(n)),
        height=2,
        width=2,
        channels=1,
        settings=Settings(**settings),
        block=64,
    )
    good = {"converged": np.ones(n, bool), "feature_distance": np.full(n, 1.5), "gap": np.full(n, gap)} | dict(trust)
    with nullcontext() if corrected else older():
        run = Run.create(plan, path)
    for unit in run.pending():
        added = {"sid_corrected": values[unit.layer]} if corrected else {}
        run.write(unit, good | added | {"sid": np.asarray(values[unit.layer]) - missing})
    return run


def scattered(n=12, layers=("a", "b", "c"), seed=0):
    rng = np.random.default_rng(seed)
    return {layer: rng.normal(-0.4, 0.2, n).astype(np.float32) for layer in layers}


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="infodiscard")


def test_p_and_bound_are_those_of_scipys_paired_test():
    base, rng = scattered(), np.random.default_rng(1)
    shifts = {"a": 0.0, "b": 0.1, "c": 0.3}
    changed = {name: (x + rng.normal(shifts[name], 0.1, 12)).astype(np.float32) for name, x in base.items()}
    gate = check(run_of(base, gap=0.01), run_of(changed, gap=0.02), max_increase=0.05, confidence=0.9)
    table = gate.table.set_index("layer")
    d = {name: changed[name].astype(float) - base[name] for name in base}
    p = [stats.ttest_1samp(d[name], 0.05 + 0.02, alternative="greater").pvalue for name in base]
    np.testing.assert_allclose(table["p"], p, rtol=1e-5)
    np.testing.assert_allclose(table["p_holm"], holm(p), rtol=1e-5)
    assert list(table["gap"]) == pytest.approx([0.02] * 3)
    c = stats.ttest_1samp(d["c"] - 0.02, 0.05, alternative="greater").confidence_interval(1 - 0.1 / 3)
    assert table.loc["c", "bound"] == pytest.approx(c.low, rel=1e-5)
    np.testing.assert_allclose(table["difference"], [x.mean() for x in d.values()], rtol=1e-5)
    np.testing.assert_allclose(table["se"], [x.std(ddof=1) / np.sqrt(12) for x in d.values()], rtol=1e-5)
    assert (table["verdict"] == "more").eq(table["bound"] > 0.05).all()
    assert not gate.passed and gate.worst == "c"


def test_a_candidate_at_the_limit_seldom_fails_in_any_layer():
    rng, failed, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        d = rng.normal(0.05, 0.1, (6, 9))
        rows = [
            {"layer": str(i), "mean_a": 0, "mean_b": 0, "difference": x.mean(), "se": x.std(ddof=1) / 3, "n": 9}
            | {"gap": 0.0, "basis": "corrected", "warning": ""}
            for i, x in enumerate(d)
        ]
        failed += (judged(rows, 0.05, 0.95)["verdict"] == "more").any()
    assert failed / trials < 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert failed / trials > 0.02  # nor never


# -- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "scatter", "gap", "allowed", "verdict"),
    [
        (0.2, 0.02, 0.0, 0.05, "more"),
        (0.2, 0.02, 0.14, 0.05, "more"),
        (0.2, 0.02, 0.16, 0.05, "cannot tell"),  # 0.2 − 0.16 is less than allowed
        (0.2, 0.9, 0.0, 0.05, "cannot tell"),
        (0.2, 0.02, 0.0, 0.3, "within"),
        (0.2, 0.02, 0.2, 0.3, "cannot tell"),
        (0.0, 0.0, 0.0, 0.0, "within"),
        (0.0, 0.0, 0.01, 0.05, "within"),
        (0.0, 0.0, 0.06, 0.05, "cannot tell"),
        (-0.1, 0.02, 0.0, 0.05, "less"),
        (-0.1, 0.02, 0.095, 0.05, "within"),
        (-0.1, 0.02, 0.3, 0.05, "cannot tell"),
    ],
)
def test_verdicts(shift, scatter, gap, allowed, verdict):
    base, noise = np.linspace(-0.5, 0.5, 20), scatter * np.resize([1, -1], 20)
    gate = check(run_of({"x": base}, gap), run_of({"x": base + shift + noise}), max_increase=allowed)
    assert gate.table["verdict"].item() == verdict
    assert gate.passed == (verdict != "more")


def test_more_layers_ask_for_more_evidence():
    base, worse = scattered(10, ("a",)), 0.12 + 0.1 * np.resize([1, -1], 10)
    alone = check(run_of(base), run_of({"a": base["a"] + worse}))
    assert 0.01 < alone.table["p"].item() <= 0.05 and not alone.passed
    many = base | {f"same{i}": np.zeros(10) for i in range(9)}
    among = check(run_of(many), run_of(many | {"a": base["a"] + worse}))
    assert among.passed and among.table["p_holm"][0] == pytest.approx(10 * alone.table["p"].item(), rel=1e-6)


def test_a_run_compared_with_itself_passes():
    run = shared_run(**SMALL)
    gate = check(run, run)
    assert gate.passed and set(gate.table["verdict"]) == {"within"} and (gate.table["difference"] == 0).all()
    assert gate.sentence.startswith("PASS") and gate.left_out == ()
    assert check(run, run, max_increase=0.05, confidence=0.999).passed


def test_the_worst_layer_is_one_that_fails():
    base = {name: np.zeros(12) for name in "abc"}
    wild = np.resize([3.0, -2.0], 12)  # 0.5 in the mean, which says nothing
    gate = check(run_of(base), run_of({"a": np.full(12, 0.2), "b": np.full(12, 0.3), "c": wild}))
    assert (gate.worst, gate.passed) == ("b", False)
    assert list(gate.table["verdict"]) == ["more", "more", "cannot tell"]
    assert "2 of 3 layers, most at b: +0.300 nats/pixel" in gate.sentence
    fine = check(run_of(base), run_of(base | {"c": wild}))
    assert fine.passed and fine.worst == "c" and "in 1 of 3 layers it cannot be told" in fine.sentence


def test_layers_are_paired_as_asked_and_the_rest_is_named():
    a, b = run_of({"a": np.zeros(5), "b": np.zeros(5)}), run_of({"b": np.zeros(5), "c": np.ones(5)})
    gate = check(a, b)
    assert list(gate.table["layer"]) == ["b"] and gate.left_out == ("a", "c") and gate.passed
    gate = check(a, b, by="position")
    assert list(gate.table["layer"]) == ["a ~ b", "b ~ c"] and gate.left_out == () and gate.worst == "b ~ c"
    other = run_of({"d": np.zeros(5), "e": np.ones(5)})
    assert check(a, other, by="auto").worst == "b ~ e"
    with pytest.raises(InfodiscardError, match="position"):
        check(a, other)


def test_what_speaks_against_a_layer_is_said():
    base = {"a": np.zeros(10), "b": np.zeros(10)}
    odd = run_of(base, trust={"converged": np.arange(10) > 2}, gap=0.01)
    gate = check(run_of(base), odd)
    assert list(gate.table["warning"]) == ["'candidate' not converged for 30% of the samples"] * 2
    assert (check(run_of(base, seed=0), run_of(base, seed=1)).table["warning"] == "seed differs (0 and 1)").all()
    # Of the gap the verdict itself takes account, and networks of other names may have one cap.
    named = [run_of(base, networks=(name,), gap=0.01, cap={name: 9.0}) for name in ("old", "new")]
    assert (check(*named).table["warning"] == "").all()


def test_ru_is_checked_by_its_own_values_and_gap():
    # On these depths the solver's gap of RU is 0.01, 0.0225 and 0.06, and that of SID smaller.
    old, new = shared_run(metrics=("ru",), **SMALL), shared_run(metrics=("ru",), shift=0.08, **SMALL)
    gate = check(old, new, metric="ru")
    assert list(gate.table["gap"]) == pytest.approx([0.01, 0.0225, 0.06], rel=1e-5)
    assert list(gate.table["verdict"]) == ["more", "more", "cannot tell"] and "RU of the candidate" in gate.sentence
    with pytest.raises(InfodiscardError, match="'base' has no 'sid'"):
        check(old, new)


def test_corrected_values_carry_their_errors_in_place_of_a_gap():
    """The scatter over images is none here, so that what stands between a difference and the limit is systematic."""
    base, t = np.zeros(20), t_bound(0.05, 19)
    missing = 0.4
    bound = SYSTEMATIC * missing * t
    for shift, verdict in ((0.05 + 1.1 * bound, "more"), (0.05 + 0.9 * bound, "cannot tell"), (-1.1 * bound, "less")):
        old = run_of({"x": base}, gap=9.0, corrected=True)
        gate = check(old, run_of({"x": base + shift}, gap=9.0, corrected=True, missing=missing), max_increase=0.05)
        row = gate.table.iloc[0]
        assert row["difference"] == pytest.approx(shift, abs=1e-6) and row["gap"] == 0
        assert row["se"] == pytest.approx(SYSTEMATIC * missing, rel=1e-5)
        assert (row["verdict"], row["basis"]) == (verdict, "corrected"), shift
    assert check(old, old).table["verdict"].item() == "within"


def test_an_older_base_is_checked_as_reached(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_of({"x": np.zeros(9)}, gap=0.1, path="old")
    run_of({"x": np.full(9, 0.2)}, path="new", corrected=True, missing=0.4)
    gate = check("old", "new")
    assert gate.table["basis"].item() == "reached" and gate.table["difference"].item() == pytest.approx(-0.2)
    assert "'base' has no corrected values" in gate.table["warning"].item()
    said = call("check", "old", "new").stdout
    assert "SID (reached) of the candidate" in said and "less the solver's estimated gap" in " ".join(said.split())
    said = " ".join(call("check", "new", "new").stdout.split())
    assert "SID of the candidate" in said and "estimated gap" not in said and "se contains the systematic error" in said


# -- what decides nothing --------------------------------------------------------------------------------------------


def test_what_decides_nothing_is_refused():
    base = run_of(scattered(6))
    for other, said in (
        (run_of(scattered(6), alpha=2.0), r"alpha differs \(1.5 and 2.0\)"),
        (run_of(scattered(6), tau=1e-4), "tau differs"),
        (run_of(scattered(6), sigma="unit"), "sigma differs"),
        (run_of(scattered(6), networks=("x", "y")), "holds 2 networks; name one"),
        (run_of(scattered(6), samples=tuple("uvwxyz")), "share no samples"),
        (run_of(scattered(6), samples=("s0", *"vwxyz")), "too few images on both sides .* a has 1"),
        (run_of(scattered(6) | {"a": np.full(6, np.nan)}), "1 layers have none"),
        (3, "Cannot check a int"),
    ):
        with pytest.raises(InfodiscardError, match=said):
            check(base, other)
    for options, said in (
        ({"max_increase": -0.1}, "max_increase was -0.1"),
        ({"max_increase": float("nan")}, "max_increase was nan"),
        ({"confidence": 1.0}, "confidence was 1.0"),
        ({"confidence": 0.5}, "between 0.5 and 1"),
        ({"metric": "concentration"}, "sid, ru"),
        ({"metric": "ru"}, "'base' has no 'ru'"),
        ({"by": "depth"}, "position"),
        ({"layers": ["a"]}, "Both are runs"),
        ({"data": torch.zeros(2, 1, 2, 2)}, "Both are runs"),
    ):
        with pytest.raises(InfodiscardError, match=said):
            check(base, base, **options)


def test_one_image_has_no_scatter_and_decides_nothing():
    one = run_of({"a": np.zeros(1)})
    with pytest.raises(InfodiscardError, match="two or more"):
        check(one, one)
    with pytest.raises(InfodiscardError, match="two or more"):
        check(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), data=torch.rand(1, 1, 4, 4))


def test_an_unfinished_run_is_refused_even_where_it_is_finished():
    plan = make_plan(block=4, **SMALL)
    part = Run.create(plan)
    for unit in plan.units()[:-1]:
        part.write(unit, values_of(plan, unit))
    with pytest.raises(InfodiscardError, match="run of the candidate is not finished, 1 units"):
        check(shared_run(**SMALL), part)


def test_other_images_of_the_same_names_are_refused():
    runs = []
    for digest in ("aa", "bb"):
        plan = replace(make_plan(**SMALL), hashes={"images": digest})
        run = Run.create(plan)
        for unit in plan.units():
            run.write(unit, values_of(plan, unit))
        runs.append(run)
    with pytest.raises(InfodiscardError, match="other pixels"):
        check(*runs)


# -- places and networks ---------------------------------------------------------------------------------------------


def test_a_network_of_a_run_is_named_by_its_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run(Path("both"), networks=("old", "new"), **SMALL)
    assert is_run("both") and is_run("both/old") and is_run("both/run.zarr") and not is_run("old")
    gate = check("both/old", Path("both/new"))
    assert (gate.base, gate.candidate) == ("old in both", "new in both")
    assert check(Side("x", run, "old"), "both/new").passed
    with pytest.raises(InfodiscardError, match=r"as in 'both/old'"):
        check("both", "both/new")
    with pytest.raises(InfodiscardError, match="no network 'odl'; the nearest are 'old'"):
        check("both/odl", "both/new")
    with pytest.raises(InfodiscardError, match="does not exist"):
        check("nowhere", "both/new")


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_exit_code_is_the_verdict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = scattered(9, ("stem", "stage1", "stage2"))
    run_of(base, path="base")
    run_of(base | {"stage1": base["stage1"] + 0.2}, path="worse")
    same = call("check", "base", "base")
    assert same.exit_code == 0, same.output
    assert same.stdout.splitlines()[-1].startswith("PASS: SID of the candidate is nowhere significantly more than 0.05")

    worse = call("check", "base", "worse", "--csv", "gate.csv")
    assert worse.exit_code == 1, worse.output
    last = worse.stdout.splitlines()[-1]
    assert last.startswith("FAIL") and "1 of 3 layers, at stage1: +0.200 nats/pixel" in last
    verdicts = {line.split()[0]: line.split()[-1] for line in worse.stdout.splitlines() if line.startswith("st")}
    assert verdicts == {"stem": "within", "stage1": "more", "stage2": "within"}
    said = " ".join(worse.stdout.split())
    assert "Holm's method" in said and "Base: net in base. Candidate: net in worse." in said
    assert Path("gate.csv").read_text().startswith("layer,base,candidate,difference,se,n,basis,gap,bound,p,")
    assert call("check", "base", "worse", "--max-increase", "0.21").exit_code == 0
    assert call("check", "worse", "base").exit_code == 0

    for words, reason in (
        (["base", "nowhere"], "not the directory of a run"),
        (["base", "runs/nowhere"], "does not exist"),
        (["base", "worse", "--max-increase", "-1"], "max_increase"),
        (["base", "worse", "--metric", "ru"], "ru"),
        (["base", "worse", "--data", "demo", "--alpha", "2"], r"\(--alpha, --data\)"),
        (["base", "demo"], "--data"),
        (["base", "zoo:resnet20", "--data", "demo"], "--weights"),
        (["base", "demo", "--data", "demo", "--name", "x"], "--name was given once"),
        (["base", "demo", "--data", "demo", "--name", "x", "--name", "y"], "'-' in its place"),
    ):
        bad = call("check", *words)
        assert bad.exit_code == 2 and bad.stdout == "" and bad.stderr.startswith("Error: "), bad.output
        assert bad.stderr.count("\n") == 1 and re.search(reason, bad.stderr), bad.stderr


def test_doubted_layers_are_marked_and_layers_left_out_are_named(tmp_path):
    base = {"a": np.zeros(4), "b": np.zeros(4)}
    run_of(base, path=tmp_path / "x")
    run_of({"b": np.zeros(4), "c": np.zeros(4)}, path=tmp_path / "y")
    said = call("check", tmp_path / "x", tmp_path / "y").stdout
    assert "b !" in said and "only 4 samples." in said
    assert "Only one of both has a, c, which is not compared." in " ".join(said.split())


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_table_fits_the_terminal(tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    values = scattered(5, ("encoder.layers.encoder_layer_11.ln_2", "features.denseblock1"))
    run_of(values, path=tmp_path / "a", gap=0.9)
    lines = call("check", tmp_path / "a", tmp_path / "a").stdout.splitlines()
    assert all(len(line.rstrip()) <= int(columns) for line in lines[:-1] if str(tmp_path) not in line)
    assert any(line.rstrip().endswith("cannot tell") for line in lines)


def damaged(network, name, how):
    module = copy.deepcopy(network.module)
    with torch.no_grad():
        how(module)
    return replace(network, module=module, name=name)


def prune(module, share=0.9):
    for weight in (each for each in module.layer2.parameters() if each.ndim == 4):
        weight *= weight.abs() > weight.abs().quantile(share)


def blind(module):
    """Makes it see the right half of its images only."""
    seen = (torch.arange(32) >= 16).float()
    module.register_forward_pre_hook(lambda _, inputs: (inputs[0] * seen,))


def test_damaged_networks_pass_or_fail_as_the_numbers_say(tmp_path):
    base, images = zoo.load("demo"), data.load("demo", 4)
    layers = {"base": ["layer1", "layer2"], "pruned": ["layer1", "layer2"], "blind": ["layer1"]}
    networks = {"base": base, "pruned": damaged(base, "pruned", prune), "blind": damaged(base, "blind", blind)}
    run = measure(networks, images, layers, out=tmp_path / "run", **FAST)
    values = run.to_dataframe().set_index(["network", "layer"])

    def expected(name, layer):
        """Scipy's p, of corrected values with both corrections' systematic errors."""
        new, old = (values.loc[[(each, layer)]] for each in (name, "base"))
        d = new["sid_corrected"].to_numpy(float) - old["sid_corrected"].to_numpy(float)
        missing = [(each["sid_corrected"] - each["sid"]).mean() for each in (new, old)]
        error = np.hypot(stats.sem(d), SYSTEMATIC * np.hypot(*missing))
        return stats.t.sf((d.mean() - 0.05) / error, len(d) - 1)

    tables = {}
    for name in ("pruned", "blind"):
        table = tables[name] = check(run.path / "base", run.path / name).table.set_index("layer")
        p = [expected(name, layer) for layer in table.index]
        np.testing.assert_allclose(table["p"], p, rtol=1e-4)
        result = call("check", run.path / "base", run.path / name)
        assert result.exit_code == int(min(p) * len(p) <= 0.05), result.output  # Holm's first step
    untouched, hidden = tables["pruned"].loc["layer1"], tables["blind"].loc["layer1"]
    assert untouched["difference"] == 0 and untouched["verdict"] == "within"  # what comes before the damage
    assert hidden["verdict"] == "more" and "cap" in hidden["warning"]
