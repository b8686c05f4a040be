"""Random small networks: the hard promises hold for every one; and the judge finds what is wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.torture import __main__ as program
from benchmarks.torture import promises
from benchmarks.torture.cases import BLOCKS, FAMILIES, SAMPLES, Case, cases
from benchmarks.torture.judge import Feature, at_constraint, entropy, improved, uniform
from benchmarks.torture.promises import PROMISES, Verdict, judged

from closed_forms import linear_sigma

ALPHA, TAU, CAP = 1.5, 0.01, 50.0


@pytest.mark.parametrize("number", range(60))
def test_promises_hold_for_random_networks(number):
    verdict = judged(Case.of(number), thorough=False)
    assert not verdict.broken, f"{verdict.case}: {verdict.words}"


# ---- the networks ---------------------------------------------------------------------------------------------------


def test_a_case_follows_from_its_number_alone():
    state = torch.get_rng_state()
    for number in range(len(FAMILIES)):
        case, same = Case.of(number), Case.of(number)
        assert case == same and "\n" not in str(case) and f"#{number} " in str(case)
        assert torch.equal(case.inputs(), same.inputs())
        first, second = case.network().state_dict(), same.network().state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first | second)
    assert Case.of(1, seed=1) != replace(Case.of(1), seed=1)
    assert torch.equal(state, torch.get_rng_state())


def test_every_block_occurs_in_networks_that_run_and_treat_each_input_by_itself():
    seen = set()
    for case in cases(50 * len(FAMILIES)):
        seen |= set(case.blocks)
        if case.number % 10 == 0:
            network, x = case.network(), case.inputs()
            with torch.no_grad():
                whole, alone = network(x), network(x[1:2])
            assert len(whole) == SAMPLES and whole.isfinite().all(), case
            assert torch.allclose(whole[1:2], alone, rtol=1e-4, atol=1e-5 * whole.abs().max()), case
    assert seen == set(BLOCKS)


def test_one_kind_of_network_keeps_its_numbers():
    assert [case.number for case in cases(3, family="pooling")] == [2, 15, 28]
    assert {case.family for case in cases(3, family="pooling")} == {"pooling"}


# ---- the judge ------------------------------------------------------------------------------------------------------


@pytest.fixture
def weight():
    """The weight of a linear layer whose input columns have very different norms, `features × 6`."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(24, 6, generator=generator) * torch.tensor([0.1, 0.3, 1.0, 1.0, 2.0, 5.0])


def feature_of(weight):
    return Feature(lambda x: x @ weight.T, torch.zeros(weight.shape[1]), TAU)


def test_judge_knows_the_closed_forms(weight):
    feature, parameters = feature_of(weight), torch.arange(6)
    even = uniform(feature, ALPHA, CAP)
    assert even.value == pytest.approx(entropy(torch.tensor([math.sqrt(ALPHA * TAU)])), abs=1e-3)
    optimum = linear_sigma(weight, ALPHA, TAU)
    ratio = feature.ratio(optimum, 8192, 5, wanted=0.01)
    assert ratio.value == pytest.approx(ALPHA, abs=4 * ratio.se)
    found = at_constraint(feature, improved(feature, even.sigma, parameters, ALPHA, CAP, 1), ALPHA, CAP, 8192, 6)
    assert entropy(optimum) - 0.15 < found.value < entropy(optimum) + 4 * found.se
    assert found.value > even.value + 0.5


def test_judge_stops_at_the_cap_where_nothing_is_felt():
    feature = Feature(lambda x: torch.tanh(1e3 * x), torch.zeros(2), TAU)
    assert uniform(feature, 4.0, 7.0).value == pytest.approx(entropy(torch.tensor([7.0])))
    assert Feature(lambda x: 0 * x, torch.zeros(2), TAU).reacts(64, 1) == 0


# ---- the promises ---------------------------------------------------------------------------------------------------

LINEAR = 1  # a case of linear layers alone


def spoiled(monkeypatch, spoil):
    """The verdict on a case whose measured values `spoil` changes before they are judged."""
    measured = promises._measured

    def other(*args, **options):
        measurement = measured(*args, **options)
        spoil(measurement)
        return measurement

    monkeypatch.setattr(promises, "_measured", other)
    return judged(Case.of(LINEAR), thorough=False)


@pytest.mark.parametrize(
    ("promise", "spoil"),
    [
        ("distance", {"converged": True, "sigma": 1.1, "sid": math.log(1.1)}),
        ("uniform", {"gap": 0.0, "sid": -3.0, "sigma": math.exp(-3.0)}),
        ("sound", {"sid": 0.1}),
        ("sound", {"sigma": 1e9}),
        ("sound", {"failure": 1}),
    ],
)
def test_wrong_values_break_a_promise(monkeypatch, promise, spoil):
    def change(measurement):
        for name, by in spoil.items():
            values = measurement.values[name]
            if name == "sigma":
                values *= by
            elif name == "sid":
                values += by
            else:
                values[:] = by

    assert promise in spoiled(monkeypatch, change).broken


def test_values_that_depend_on_company_break_a_promise(monkeypatch):
    def change(measurement):
        measurement.values["sid_corrected"] += 5.0 * len(measurement.x)  # more than any error stated

    assert spoiled(monkeypatch, change).broken == ["company"]


@pytest.mark.parametrize(
    "touch",
    [
        lambda measurement: torch.manual_seed(5),
        lambda measurement: np.random.seed(5),
        lambda measurement: measurement.x.add_(1),
        lambda measurement: setattr(measurement.network, "left", 1),
        lambda measurement: measurement.network.register_forward_hook(lambda *_: None),
        lambda measurement: next(measurement.network.parameters()).data.add_(1),
    ],
)
def test_what_is_left_behind_breaks_a_promise(monkeypatch, touch):
    kept = torch.get_rng_state(), np.random.get_state()
    try:
        assert "untouched" in spoiled(monkeypatch, touch).broken
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])


def test_errors_break_a_promise_and_refusals_do_not(monkeypatch):
    def fail(measurement):
        raise KeyError("sid")

    assert spoiled(monkeypatch, fail).broken == ["error"]
    verdict = judged(next(case for case in cases(50) if case.family == "constant"))
    assert verdict.status in ("refused", "failed") and not verdict.broken and not verdict.values


# ---- the program ----------------------------------------------------------------------------------------------------


def test_program_prints_a_table_keeps_its_results_and_says_by_its_exit_code_whether_all_holds(
    tmp_path, monkeypatch, capsys
):
    made = []

    def judge(case):
        made.append(case.number)
        verdict = Verdict(case, values=3, converged=2)
        verdict.note("unit", 0.5, "fine")
        verdict.note("seed", 2.0 if case.number == 15 else 0.1, "sample 1: too far")
        return verdict

    monkeypatch.setattr(program, "judged", judge)
    threads = torch.get_num_threads()
    arguments = ["--only", "pooling", "--out", str(tmp_path / "kept.jsonl")]
    try:
        assert program.main([*arguments, "--networks", "1"]) == 0
        assert program.main([*arguments, "--networks", "2"]) == 1
    finally:
        torch.set_num_threads(threads)
    assert made == [2, 15]
    printed = capsys.readouterr()
    assert "| pooling | 2 " in printed.out and "seed 2.00 #15" in printed.out and "sample 1: too far" in printed.out
    assert all(f"{name}: {words}" in printed.out for name, words in PROMISES.items())
    assert "2/2 #15 pooling: " in printed.err
