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
from infodiscard.analysis.gate import is_run
from infodiscard.analysis.side import Side
from infodiscard.analysis.statistics import t_quantile
from infodiscard.api.run import Run
from infodiscard.cli import app
from infodiscard.core.metrics import METRICS
from infodiscard.core.settings import Settings
from infodiscard.errors import InfodiscardError
from infodiscard.results.plan import Plan
from infodiscard.solver.correction import SYSTEMATIC
from synthetic import RESNET, make_plan, make_run, older, shared_run, values_of

SMALL = {"layers": RESNET[:3], "samples": 8, "size": 4}
FAST = {"max_passes": 256, "tolerance": 0.5, "progress": False}


def run_of(
    values,
    gap=0.0,
    samples=None,
    path=None,
    networks=("net",),
    trust=(),
    corrected=False,
    missing=0.0,
    error=0.01,
    **settings,
):
    """A run with these values of SID, layer → one value per image, in every network.

    They are as reached, in an older run; or corrected by what is `missing`, with this error.
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
        added = {"sid_corrected": values[unit.layer], "sid_corrected_se": np.full(n, error)} if corrected else {}
        run.write(unit, good | added | {"sid": np.asarray(values[unit.layer]) - missing})
    return run


def scattered(n=12, layers=("a", "b", "c"), seed=0):
    rng = np.random.default_rng(seed)
    return {layer: rng.normal(-0.4, 0.2, n).astype(np.float32) for layer in layers}


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="infodiscard")


def table_of(gate):
    return gate.table.set_index("layer")


def test_the_table_is_that_of_scipys_paired_test():
    base, rng = scattered(), np.random.default_rng(1)
    shifts = {"a": 0.0, "b": 0.1, "c": 0.3}
    changed = {name: (x + rng.normal(shifts[name], 0.1, 12)).astype(np.float32) for name, x in base.items()}
    gate = check(run_of(base, gap=0.01), run_of(changed, gap=0.02), max_change=0.1, confidence=0.9)
    table = table_of(gate)
    d = {name: changed[name].astype(float) - base[name] for name in base}
    np.testing.assert_allclose(table["difference"], [x.mean() for x in d.values()], rtol=1e-5)
    np.testing.assert_allclose(table["se"], [x.std(ddof=1) / np.sqrt(12) for x in d.values()], rtol=1e-5)
    assert list(table["gap"]) == pytest.approx([0.02] * 3)
    intervals = [stats.ttest_1samp(x, 0).confidence_interval(0.9) for x in d.values()]
    np.testing.assert_allclose(table[["low", "high"]], [(each.low, each.high) for each in intervals], rtol=1e-5)
    assert (table["allowed_low"] == -0.1).all() and (table["allowed_high"] == 0.1).all()
    assert table.loc["c", "verdict"] == "more" and (gate.verdict, gate.worst) == ("DIFFERS", "c")


# -- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "scatter", "allowed", "verdict"),
    [
        (0.2, 0.02, {}, "DIFFERS"),
        (-0.2, 0.02, {}, "DIFFERS"),  # less is a change too
        (0.0, 0.0, {}, "PASS"),
        (0.02, 0.02, {}, "PASS"),
        (-0.02, 0.02, {}, "PASS"),
        (0.0, 0.9, {}, "UNDECIDED"),
        (0.2, 0.9, {}, "UNDECIDED"),
        (0.2, 0.02, {"max_change": 0.3}, "PASS"),
        (-0.2, 0.02, {"max_change": 0.3}, "PASS"),
        (-0.2, 0.02, {"max_increase": 0.3}, "DIFFERS"),
        (-0.2, 0.02, {"max_decrease": 0.3}, "PASS"),
        (-0.2, 0.02, {"max_decrease": np.inf}, "PASS"),
        (0.2, 0.02, {"max_decrease": np.inf}, "DIFFERS"),
        (0.2, 0.02, {"max_change": 0.1, "max_increase": np.inf}, "PASS"),
    ],
)
def test_verdicts(shift, scatter, allowed, verdict):
    base, noise = np.linspace(-0.1, 0.1, 20) - 0.5, scatter * np.resize([1, -1], 20)
    gate = check(run_of({"x": base}), run_of({"x": base + shift + noise}), **allowed)
    assert gate.verdict == verdict and gate.passed == (verdict == "PASS")
    assert gate.sentence.startswith(f"{verdict}: ") and gate.sentence.count("x: ") == 1 and gate.worst == "x"


def test_by_default_a_tenth_of_what_the_base_discards_is_allowed_and_no_less_than_0_05():
    level = METRICS["sid"].at_identity(1.5, 0.01)
    values = {"little": np.full(9, level + 0.1), "much": np.full(9, level + 2.0)}
    table = table_of(check(run_of(values), run_of(values)))
    assert list(table["allowed_high"]) == pytest.approx([0.05, 0.2], rel=1e-4)
    assert list(table["allowed_low"]) == pytest.approx([-0.05, -0.2], rel=1e-4)
    given = table_of(check(run_of(values), run_of(values), max_change=0.01, max_decrease=0.02))
    assert list(given["allowed_high"]) == [0.01] * 2 and list(given["allowed_low"]) == [-0.02] * 2


def test_a_mean_that_hides_changes_of_single_images_does_not_pass():
    base, signs = np.full(12, -0.5), np.resize([1, -1], 12)
    runs = [run_of({"x": values}, corrected=True, error=0.02) for values in (base, base + 0.3 * signs)]
    gate = check(*runs)
    assert (gate.verdict, gate.table["verdict"].item()) == ("DIFFERS", "mixed")
    assert "single images change, by 0.300 in the root mean square at x: +0.000 nats/pixel" in gate.sentence
    assert check(*runs, max_change=np.inf).passed


def test_more_layers_ask_for_more_evidence():
    base, worse = scattered(10, ("a",)), 0.08 + 0.09 * np.resize([1, -1], 10)
    alone = check(run_of(base), run_of({"a": base["a"] + worse}))
    assert alone.verdict == "DIFFERS"
    many = base | {f"same{i}": np.zeros(10) for i in range(9)}
    among = check(run_of(many), run_of(many | {"a": base["a"] + worse}), max_change=0.05)
    assert among.verdict == "UNDECIDED" and among.worst == "a"
    assert among.table["p_holm"][0] == pytest.approx(10 * alone.table["p_holm"][0], rel=1e-6)


def test_a_run_compared_with_itself_passes():
    run = shared_run(**SMALL)
    gate = check(run, run)
    assert gate.passed and set(gate.table["verdict"]) == {"same"} and (gate.table["difference"] == 0).all()
    assert gate.sentence.startswith("PASS: SID is the same in 3 layers") and gate.left_out == ()
    assert check(run, run, max_change=0, confidence=0.999).passed


def test_the_layer_that_decides_is_the_one_furthest_outside():
    base = {name: np.zeros(12) for name in "abc"}
    wild = np.resize([3.0, -2.0], 12)  # 0.5 in the mean, which says nothing
    gate = check(run_of(base), run_of({"a": np.full(12, 0.2), "b": np.full(12, -0.3), "c": wild}))
    assert (gate.worst, gate.verdict) == ("b", "DIFFERS")
    assert list(gate.table["verdict"]) == ["more", "less", "cannot tell"]
    assert "SID changes in 2 of 3 layers; it is less at b: -0.300 nats/pixel" in gate.sentence
    open_ = check(run_of(base), run_of(base | {"c": wild}))
    assert (open_.verdict, open_.worst) == (
        "UNDECIDED",
        "c",
    ) and "SID in 1 of 3 layers, as at c: +0.500" in open_.sentence


def test_advice_says_what_would_decide():
    base = np.full(12, -0.5)

    def advice(shift, scatter, **more):
        gate = check(
            run_of({"x": base}, **more), run_of({"x": base + shift + scatter * np.resize([1, -1], 12)}, **more)
        )
        assert gate.verdict == "UNDECIDED" and gate.sentence.endswith(gate.advice)
        return gate.advice

    # 1.96 × 0.2 × √(12/11) = 0.409, which 0.05 squared goes 67 times into
    assert advice(0.0, 0.2) == "To decide, measure about 68 images."
    assert "which no number of images decides" in advice(0.0499, 0.01)
    more = advice(0.0, 0.01, gap=0.06)
    assert re.fullmatch(r"To decide, measure .* with a tolerance of 0\.009 and the passes that it takes\.", more)


def labelled(right, values=None, path=None):
    """A run of one layer, and which of its images are classified as labelled."""
    n = len(right)
    plan = Plan(
        networks=("net",),
        layers={"net": ("x",)},
        samples=tuple(f"s{i}" for i in range(n)),
        height=2,
        width=2,
        channels=1,
        labels=(1,) * n,
        predictions={"net": tuple(int(each) for each in right)},
    )
    run = Run.create(plan, path)
    values = np.full(n, -0.5) if values is None else values
    for unit in run.pending():
        part = values[unit.start : unit.stop]
        run.write(unit, {"sid": part, "sid_corrected": part, "sid_corrected_se": 0 * part + 0.01})
    return run


@pytest.mark.parametrize(
    ("lost", "verdict", "said"),
    [
        (0, "PASS", "Correct of 12 images: 12 by the base, 12 by the candidate."),
        (1, "PASS", "11 by the candidate."),
        (3, "UNDECIDED", "9 by the candidate, fewer, but not significantly."),  # p = 1/8
        (5, "DIFFERS", "7 by the candidate, significantly fewer."),  # p = 1/32
    ],
)
def test_accuracy_counts_where_labels_are_known(lost, verdict, said):
    base, candidate = labelled([True] * 12), labelled(np.arange(12) >= lost)
    gate = check(base, candidate)
    assert (gate.verdict, gate.table["verdict"].item()) == (verdict, "same")
    assert gate.accuracy.p == pytest.approx(0.5**lost) and gate.accuracy.sentence.endswith(said)
    better = check(candidate, base)
    assert better.passed and better.accuracy.p == 1
    if verdict == "DIFFERS":
        assert gate.sentence.startswith("DIFFERS: significantly fewer images are right; SID changes most at x: +0.000")
    assert check(run_of({"x": np.zeros(5)}), run_of({"x": np.zeros(5)})).accuracy is None


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
    assert list(gate.table["verdict"]) == ["more"] * 3 and "RU changes in 3 of 3" in gate.sentence
    with pytest.raises(InfodiscardError, match="'base' has no 'sid'"):
        check(old, new)


def test_corrected_values_carry_their_errors_in_place_of_a_gap():
    """The scatter over images is none here, so that what stands between a difference and the limit is systematic."""
    base, missing = np.full(20, -0.5), 0.4
    half = SYSTEMATIC * missing * t_quantile(19)
    old = run_of({"x": base}, gap=9.0, corrected=True)
    for shift, allowed, verdict in (
        (1.2 * half, 0.01, "more"),  # Holm's correction of two tests is a factor of 1.16
        (-1.2 * half, 0.01, "less"),
        (0.9 * half, 0.01, "cannot tell"),
        (0.05, 0.06 + half, "same"),
        (0.05, 0.04 + half, "cannot tell"),
    ):
        new = run_of({"x": base + shift}, gap=9.0, corrected=True, missing=missing, error=1.0)
        row = check(old, new, max_change=allowed).table.iloc[0]
        assert row["difference"] == pytest.approx(shift, abs=1e-6) and row["gap"] == 0
        assert row["se"] == pytest.approx(SYSTEMATIC * missing, rel=1e-5)
        assert (row["verdict"], row["basis"]) == (verdict, "corrected"), shift
    assert check(old, old).table["verdict"].item() == "same"


def test_an_older_base_is_checked_as_reached(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_of({"x": np.zeros(9)}, gap=0.1, path="old")
    run_of({"x": np.full(9, 0.2)}, path="new", corrected=True, missing=0.4)
    gate = check("old", "new")
    assert gate.table["basis"].item() == "reached" and gate.table["difference"].item() == pytest.approx(-0.2)
    assert "'base' has no corrected values" in gate.table["warning"].item()
    said = call("check", "old", "new").stdout
    assert "SID (reached) of the candidate" in said and "gap counts against every verdict" in " ".join(said.split())
    said = " ".join(call("check", "new", "new").stdout.split())
    assert "SID of the candidate" in said and "estimated gap" not in said and "contains the systematic error" in said


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
        ({"max_change": -0.1}, "max_change was -0.1"),
        ({"max_increase": "much"}, "max_increase was much"),
        ({"max_decrease": float("nan")}, "max_decrease was nan"),
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
    assert same.stdout.splitlines()[-1].startswith("PASS: SID is the same in 3 layers; largest change at ")

    for candidate, against, change in (("worse", "base", "more at stage1: +0.200"), ("base", "worse", "less")):
        differs = call("check", against, candidate, "--csv", "gate.csv")
        assert differs.exit_code == 1, differs.output
        last = differs.stdout.splitlines()[-1]
        assert last.startswith("DIFFERS: SID changes in 1 of 3 layers; it is ") and change in last
        verdicts = {line.split()[0]: line.split()[-1] for line in differs.stdout.splitlines() if line.startswith("st")}
        assert verdicts == {"stem": "same", "stage1": change.split()[0], "stage2": "same"}
    said = " ".join(differs.stdout.split())
    assert "Holm's method" in said and "Base: net in worse. Candidate: net in base." in said and "-0.000" not in said
    assert Path("gate.csv").read_text().startswith("layer,base,candidate,difference,se,low,high,allowed_low,")
    assert call("check", "base", "worse", "--max-increase", "0.21").exit_code == 0
    assert call("check", "worse", "base", "--max-decrease", "inf").exit_code == 0
    assert call("check", "worse", "base", "--max-increase", "0.21").exit_code == 1
    run_of(base | {"stage1": base["stage1"] + np.resize([0.3, -0.3], 9).astype(np.float32)}, path="wild")
    unknown = call("check", "base", "wild")
    assert unknown.exit_code == 3 and unknown.stdout.splitlines()[-1].startswith("UNDECIDED: "), unknown.output

    for words, reason in (
        (["base", "nowhere"], "not the directory of a run"),
        (["base", "runs/nowhere"], "does not exist"),
        (["base", "worse", "--max-change", "-1"], "max_change"),
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


def test_no_name_heading_or_word_of_the_table_is_broken(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    name = "encoder.layers.encoder_layer_11.self_attention.out_proj"
    run_of(scattered(5, (name, "features.denseblock1")), path=tmp_path / "a", gap=0.9)
    lines = call("check", tmp_path / "a", tmp_path / "a").stdout.splitlines()
    heads = "layer base candidate change 95 % interval allowed p (Holm) verdict"
    assert any(" ".join(line.split()) == heads for line in lines)
    assert any(line.startswith(f"{name} ") and line.rstrip().endswith("cannot tell") for line in lines)


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


def test_damaged_networks_differ_as_the_numbers_say(tmp_path):
    base, images = zoo.load("demo"), data.load("demo", 6)
    networks = {"base": base, "pruned": damaged(base, "pruned", prune), "blind": damaged(base, "blind", blind)}
    layers = {"base": ["layer1", "layer2"], "pruned": ["layer1", "layer2"], "blind": ["layer1"]}
    run = measure(networks, images, layers, out=tmp_path / "run", **FAST)
    values = run.to_dataframe().set_index(["network", "layer"])
    tables = {}
    for name in ("pruned", "blind"):
        gate = check(run.path / "base", run.path / name)
        tables[name] = table_of(gate)
        for layer, row in tables[name].iterrows():
            new, old = (values.loc[[(each, layer)]] for each in (name, "base"))
            d, more = (
                (new[column] - old[column].to_numpy()).to_numpy(float)
                if column == "sid_corrected"
                else ((new["sid_corrected"] - new["sid"]).to_numpy() - (old["sid_corrected"] - old["sid"]).to_numpy())
                for column in ("sid_corrected", "")
            )
            half = t_quantile(5) * np.hypot(stats.sem(d), SYSTEMATIC * np.sqrt((more**2).mean()))
            np.testing.assert_allclose(
                (row["low"], row["high"]), (d.mean() - half, d.mean() + half), rtol=1e-4, atol=1e-6
            )
        result = call("check", run.path / "base", run.path / name)
        assert result.exit_code == {"PASS": 0, "DIFFERS": 1, "UNDECIDED": 3}[gate.verdict], result.output
    untouched, hidden = tables["pruned"].loc["layer1"], tables["blind"].loc["layer1"]
    assert untouched["difference"] == 0 and untouched["verdict"] == "same"  # what comes before the damage
    assert tables["pruned"].loc["layer2", "verdict"] == "less" and gate.accuracy.base == 1
    assert hidden["verdict"] == "more" and "cap" in hidden["warning"]
