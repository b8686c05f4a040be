"""The benchmark's plumbing on a toy network, against the closed form of a linear layer; seconds, no download."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks import ablation
from benchmarks.bench import __main__ as program
from benchmarks.bench import bars, corrected, figures, optimum, ours, price, references, report
from benchmarks.bench.judge import SEARCH_DRAWS, JudgedProblem
from benchmarks.bench.results import Case
from benchmarks.bench.work import Config, Work
from torch import nn

from closed_forms import linear_sigma
from infodiscard import InfodiscardError
from infodiscard.solver.entropy import concentration, gaussian_entropy

SIZE = 8
TINY = Config(
    reference_passes=64,
    longest_reference=64,
    truth_draws=64,
    max_passes=64,
    budgets=(96, 128),
    adam_passes=(64, 128),
    grid=((1.5, 4.0),),
    adam=((1.5, 0.1),),
    bounded_seconds=0.2,
    noise_draws=(32, 64),
    repeats=1,
)


@pytest.fixture
def problem():
    """A linear layer whose input columns have very different norms, and two inputs of one channel."""
    generator = torch.Generator().manual_seed(0)
    n = SIZE * SIZE
    weight = torch.randn(4 * n, n, generator=generator) * torch.randn(n, generator=generator).mul(0.8).exp()
    inputs = torch.randn(2, 1, SIZE, SIZE, generator=generator)
    return JudgedProblem(lambda x: x.flatten(1) @ weight.T, inputs, 50.0, judge_draws=256)


@pytest.fixture
def exact(problem):
    """The entropy of the closed form, at equal constraint."""
    return problem.entropy(optimum.closed_form(problem), problem.space())


def snapshots(problem):
    """Where every procedure comes to on a toy: name → log σ per pixel."""
    space = problem.space()
    published = references.published(problem, space, 2.0, 0.5)  # fewer cells than 16×16: a larger step
    bounded = references.bounded(problem, space, 5.0, [100], steps=800)
    return {
        "uniform": problem.uniform(space),
        "ours": next(ours.climb(problem, space, [128])).log_sigma,
        "whole": ours.solve(problem, 0.02, 600).solution.log_sigma,
        "published": published.last.log_sigma,
        "chosen": published.chosen,
        "adam": references.adam(problem, space, 1.5, 0.1, [1024])[-1].log_sigma,
        "bounded": bounded.trail[-1].log_sigma,
        "kept": bounded.kept,
    }


def test_no_procedure_beats_the_closed_form_and_ours_reaches_it(problem, exact):
    gap = {name: exact - problem.entropy(place, problem.space()) for name, place in snapshots(problem).items()}
    for name, value in gap.items():
        assert (value > -0.004).all(), name  # the judge's own noise
    assert (gap["uniform"] > 0.1).all()
    assert (gap["ours"] < 0.02).all()
    assert (gap["whole"] < 0.03).all()
    for name in ("published", "adam"):
        assert (gap[name] < gap["uniform"]).all(), name


def test_closed_form_is_that_of_the_package(problem):
    identity = torch.eye(SIZE * SIZE).view(-1, 1, SIZE, SIZE)
    weight = (problem.feature(identity) - problem.feature(torch.zeros_like(identity))).T
    expected = linear_sigma(weight, 1.5, 0.01).log()
    found = optimum.closed_form(problem)[0].flatten()
    assert torch.allclose(found - found.mean(), expected - expected.mean(), atol=1e-4)


def test_linear_layers_are_told_from_others(problem):
    assert optimum.is_linear(problem)
    bent = JudgedProblem(lambda x: problem.feature(x).relu(), problem.inputs, 50.0)
    assert not optimum.is_linear(bent)


def test_judge_scales_to_the_target_and_forgets_the_scale(problem):
    space = problem.space("grid:4")
    place = problem.uniform(space) + 0.3 * torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(3))
    once, moved = problem.entropy(place, space), problem.entropy(place + 0.7, space)
    assert torch.allclose(once, moved, atol=1e-3)


def saturating(problem, draws):
    """The same problem behind a nonlinearity, where the power of E is neither two nor constant."""
    return JudgedProblem(lambda x: problem.feature(x).mul(0.2).tanh(), problem.inputs, 50.0, judge_draws=draws)


@pytest.mark.parametrize("move", [0.0, 3.5])
def test_judge_reaches_the_target_from_afar_at_the_price_of_one_fine_estimate(problem, move):
    bent, space = saturating(problem, 512), problem.space()
    assert (bent.target > 0).all()
    bent.distance.reset()  # the target is estimated once for all
    shape = 0.5 * torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(3))
    found = bent.calibrated(bent.uniform(space) + shape + move, space)
    assert (bent.distance.forwards <= 512 + (3 + abs(move)) * 2 * SEARCH_DRAWS).all()
    reached = bent.levels(found, "scale", 512).mean(1)
    assert (reached / bent.target - 1).abs().max() < 0.002
    assert torch.allclose(found - shape, (found - shape).mean((1, 2, 3), keepdim=True).expand_as(found), atol=1e-5)


def test_judge_says_what_cannot_be_scaled_and_judges_the_others_alike(problem, exact):
    flat = JudgedProblem(lambda x: x.flatten(1).tanh() * 1e-3, problem.inputs, 50.0, alpha=1e9, judge_draws=32)
    assert (flat.entropy(flat.uniform(flat.space()), flat.space()) == -math.inf).all()
    place = optimum.closed_form(problem) + torch.tensor([0.0, 3.0])[:, None, None, None]
    alone = JudgedProblem(problem.feature, problem.inputs[:1], 50.0, judge_draws=256)
    both = problem.entropy(place, problem.space())
    assert torch.allclose(alone.entropy(place[:1], alone.space()), both[:1], atol=1e-5)
    assert torch.allclose(both, exact, atol=1e-3)


def test_sampling_noise_is_that_of_independent_draws(problem):
    at = problem.calibrated(optimum.closed_form(problem), problem.space())
    found = ours.sampling_noise(problem, at, (32, 256))
    for count, plain in zip(found["counts"], found["plain"], strict=True):
        for r, error in zip(found["r"], plain, strict=True):
            assert error == pytest.approx(r**2 / (4 * count), rel=0.35)
    assert all(r > 0.5 for r in found["r"])
    assert all(0 < error < 1 for row in found["filtered"] for error in row)


def test_passes_to_a_gap_are_those_after_which_it_stays():
    assert figures.passes_to([16, 32, 64], [0.01, 0.01, 0.01], 0.02) == 16
    assert figures.passes_to([16, 32, 64], [0.01, 0.03, 0.01], 0.02) == pytest.approx(math.sqrt(32 * 64))
    assert figures.passes_to([16, 32], [0.03, 0.03], 0.02) == math.inf
    assert figures.passes_to([16, 32], [math.inf, 0.01], 0.02) == 32
    assert ours.ladder(200) == [16, 32, 48, 64, 96, 128, 192]


def test_stages():
    names = ("bn1", "layer1", "layer2.0", "layer3.2.relu2", "linear")
    assert [figures.stage(name) for name in names] == [0, 1, 2, 3, None]
    assert [figures.is_logits(name) for name in names] == [False] * 4 + [True]


def test_distance_counts_per_sample(problem):
    problem.distance.reset()
    noise = torch.zeros(1, 3, 1, SIZE, SIZE)
    problem.distance(torch.tensor([1]), noise)
    problem.distance.gradient(torch.tensor([0]), noise)
    assert (problem.distance.passes.tolist(), problem.distance.forwards.tolist()) == ([3, 0], [0, 3])


def test_published_keeps_the_step_nearest_to_the_target(problem):
    found = references.published(problem, problem.space(), 5.0, 1.0)
    assert found.last.passes == 800
    assert (found.chosen_steps > 1).all() and (found.chosen_steps < 100).all()  # λ = 5 drives E past α
    assert (found.chosen.mean((1, 2, 3)) < found.last.log_sigma.mean((1, 2, 3))).all()


def test_cache_takes_the_best_run_of_each_image(problem, exact, tmp_path):
    bent = JudgedProblem(lambda x: problem.feature(x) + 0.1 * problem.feature(x).sin(), problem.inputs, 50.0)
    cache, space = optimum.Cache(tmp_path, "toy", "weights"), problem.space()
    good, bad = optimum.closed_form(problem), problem.uniform(space)
    first, second = good.clone(), bad.clone()
    first[1], second[1] = bad[1], good[1]
    for seed, place in enumerate((first, second)):
        cache.store("layer", bent, place, torch.tensor([30, 40]), seed)
    best = optimum.best_known(cache, "layer", bent)
    shape = best.log_sigma - best.log_sigma.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(shape, good - good.mean((1, 2, 3), keepdim=True), atol=1e-4)
    assert best.passes.tolist() == [30, 40]
    # A run of more images serves one of fewer, in their own order; one of other images does not.
    part = JudgedProblem(bent.feature, problem.inputs[1:], 50.0)
    ((place, passes),) = list(cache.runs("layer", part))[:1]
    assert place.shape[0] == 1 and passes.tolist() == [40]
    assert not list(cache.runs("layer", JudgedProblem(bent.feature, problem.inputs + 1, 50.0)))
    assert not list(cache.runs("other", bent))


def test_long_runs_are_brought_in_by_their_names(problem, tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "r20_0.1_layer3.2_20000.safetensors"
    root, layer = optimum.parse_import(file)
    assert (root, layer) == (0.1, "layer3.2")
    save_file({"log_sigma": problem.uniform(problem.space()), "passes": torch.tensor([5, 6])}, file)
    cache = optimum.Cache(tmp_path / "cache", "toy", "weights")
    part = JudgedProblem(problem.feature, problem.inputs[:1], 50.0)
    cache.bring_in(file, layer, part)
    assert [passes.tolist() for _, passes in cache.runs(layer, part)] == [[5]]
    with pytest.raises(InfodiscardError, match="not named"):
        optimum.parse_import(tmp_path / "something.safetensors")


def work(problem, folder, layer="layer2", before=(), config=TINY):
    case = Case(folder, "toy", layer, problem.tau, {"judge": problem.judge_draws})
    return Work(problem, case, optimum.Cache(folder, "toy", "weights"), config, before)


def test_parts_are_kept_and_the_tables_print(problem, tmp_path):
    pytest.importorskip("captum")
    small = JudgedProblem(problem.feature, problem.inputs, 50.0, judge_draws=64)
    # The published procedure's grid is finer than this toy's pixels; a coarser one is not an option.
    config = Config(**{**vars(TINY), "skip": frozenset({"published", "grid"})})
    first, starts = work(small, tmp_path, "layer1", config=config), {}
    starts = first.compute(starts)
    assert list(starts) == [16, 32, 48, 64, 96, 128, 256, 512]
    between = work(small, tmp_path, "layer1.0", ("layer1",), config)
    starts = between.warm(starts, judged=False)
    second = work(small, tmp_path, "layer2", ("layer1", "layer1.0"), config)
    places = second.compute(starts)
    text = report.side_by_side(second.case)
    rows = "uniform σ", "ours", "ours, warm", "Adam on log σ", "bounded σ", "closed form", "≤ 96 passes", "≤ 128 passes"
    for procedure in rows:
        assert f"| {procedure}" in text
    lines = bars.bars([first.case, second.case], {"64": 0.5, "512": 0.52})
    table = report.bar_table(lines)
    for what in ("0.02, warm, ÷ floor", "IntegratedGradients", "peak memory", "corrected SID holds", "bars met"):
        assert what in table
    # Read again, nothing is computed anew.
    again = work(small, tmp_path, "layer2", ("layer1", "layer1.0"), config)
    before = again.case.path.read_text()
    small.distance.reset()
    assert again.compute(starts).keys() == places.keys()
    assert again.case.path.read_text() == before
    assert small.distance.passes.sum() == 0
    assert json.loads(before)["parts"].keys() == again.case.parts.keys()


def result(passes=20_000, r=1.0, entropy=(-0.5, -0.48, -0.46), **parts):
    """A made-up case of one image; ours has these entropies after 16, 32 and 64 passes, and the best known is −0.45."""
    case = Case(Path(), "toy", "layer2", 0.01, {})
    trail = {"passes": [16, 32, 64], "entropy": [[e] for e in entropy]}
    noise = {"r": [r], "counts": [64], "plain": [[0.04]], "filtered": [[0.01]]}
    case.parts = {"optimum": {"entropy": [-0.45], "passes": [passes]}, "noise": noise, "cold": trail} | parts
    return case


def line(case, what):
    (found,) = [bar for bar in bars.bars([case], None) if bar.what.startswith(what)]
    return found


def test_bars_compare_ours_with_theirs():
    # The gap falls from 0.03 to 0.01 between 32 and 64 passes: at 0.02 after 32 √2, with a floor of 12.5 passes.
    cold = line(result(), "passes to a gap of 0.02, cold")
    assert (cold.ours, cold.theirs, cold.value, cold.met) == ("45", "floor 12", "3.62", False)
    assert line(result(r=1.5), "passes to a gap of 0.02, cold").met is True
    assert line(result(entropy=(-0.5, -0.5, -0.5)), "passes to a gap of 0.02, cold").value == "not reached"
    warm = line(result(warm=result().parts["cold"]), "passes to a gap of 0.02, warm")
    assert (warm.value, warm.bar, warm.met) == ("3.62", "≤ 2", False)
    noise = line(result(), "r with ÷ without")
    assert (noise.ours, noise.value, noise.met) == ("effective r (draws) 1.6 (64)", "0.50", True)


def test_bars_say_what_is_not_measured_or_cannot_be_judged():
    assert line(result(), "passes to a gap of 0.02, warm").value == "not measured"
    short = line(result(passes=1000, r=9.0), "passes to a gap of 0.02, cold")
    assert short.met is None and "0.020 off" in short.value
    exact = line(result(passes=0, r=9.0), "passes to a gap of 0.02, cold")  # a closed form is never short
    assert exact.met is True
    assert "not judged" in report.bar_table([short]) and "not judged" not in report.bar_table([exact])


def solved(corrected=(-0.46,), se=0.02, **parts):
    """Made-up whole solves of as many images as there are corrected values; −0.45 is right."""
    ones = [1.0] * len(corrected)
    solve = {
        "passes": [480] * len(ones),
        "forwards": [60] * len(ones),
        "converged": [True] * len(ones),
        "entropy": [-0.55] * len(ones),
        "stated": [-0.55] * len(ones),
        "corrected": list(corrected),
        "se": [se] * len(ones),
        "concentration": [0.1] * len(ones),
        "concentration_corrected": [0.25] * len(ones),
        "concentration_se": [0.1] * len(ones),
        "distance": [0.98] * len(ones),
        "distance_se": [0.005] * len(ones),
        "least": [-4.0] * len(ones),
    } | parts
    true = {"value": -0.45, "noise": 0.003, "systematic": 0.002, "gap": 0.01, "concentration": 0.3,
            "concentration_se": 0.02, "least": -3.0}  # fmt: skip
    truth = {name: [value] * len(ones) for name, value in true.items()}
    best = {"entropy": [-0.46] * len(ones), "passes": [20_000] * len(ones), "uniform": [-0.6] * len(ones)}
    noise = {"r": [1.0] * len(ones), "counts": [64], "plain": [[0.04]], "filtered": [[0.01]]}
    case = result(optimum=best, noise=noise, truth=truth, corrected={"500": solve}, solve=solve)
    del case.parts["cold"]
    return case


def test_bars_of_corrected_values():
    case = solved((-0.44, -0.48, math.nan))
    mean = line(case, "|mean error| of the corrected SID")
    assert (mean.ours, mean.value, mean.met) == ("-0.010 (reached -0.100, 1 without a value)", "0.010", True)
    assert line(solved((-0.48,)), "|mean error| of the corrected SID").met is False
    assert line(case, "error of an image's corrected SID").ours == "0.020 (stated 0.020)"
    assert line(case, "error of a corrected concentration").theirs == "reached 0.200"
    assert line(case, "passes to converged").value == "500"
    assert line(solved(converged=[False]), "passes to converged").value == "not reached"
    vague = solved()
    vague.parts["truth"]["noise"] = [0.02]
    assert line(vague, "|mean error| of the corrected SID").met is None
    vague.parts["corrected"] = {"2000": vague.parts["corrected"]["500"]}
    assert line(vague, "passes to converged").met is True
    assert line(vague, "error of an image's corrected SID").met is None


def test_bars_of_sound_solutions():
    assert line(solved(), "|distance ÷ target").value == "0.010"  # 0.02 off, of which the judge's noise may be half
    assert line(solved(distance=[1.2]), "|distance ÷ target").met is False
    assert line(solved(), "images below the uniform σ").met is True
    assert line(solved(entropy=[-0.7]), "images below the uniform σ").met is False
    assert line(solved(stated=[-0.9]), "images below the uniform σ").met is False  # ½ log τ + C = −0.884
    assert line(solved(least=[-9.0]), "−log σ").met is False
    deep = solved(least=[-9.0])
    deep.parts["truth"]["least"] = [-10.0]
    assert line(deep, "−log σ").met is True


def test_coverage_is_judged_from_enough_solves():
    what = "95 % interval of the corrected SID"
    assert line(solved(), what).met is None
    # Every image twice: in the solve of 500 passes, and in that to the tolerance.
    assert line(solved([-0.45] * 38 + [-0.5] * 2), what).met is True
    assert line(solved([-0.45] * 40), what).met is False  # intervals that always hold are too wide
    assert line(solved([-0.45] * 30 + [-0.5] * 10), what).value == "75% of 80"
    vague = solved([-0.45] * 30 + [-0.5] * 10)
    vague.parts["truth"]["noise"][:4] = [0.1] * 4
    assert line(vague, what).value == "72% of 72"
    assert line(solved([-0.45] * 32 + [-0.5] * 8, se=0.04), what).value == "100% of 80"


def closed_value(problem):
    """SID of the closed form without any draw."""
    identity = torch.eye(SIZE * SIZE).view(-1, 1, SIZE, SIZE)
    weight = (problem.feature(identity) - problem.feature(torch.zeros_like(identity))).T
    return float(gaussian_entropy(linear_sigma(weight, problem.alpha, problem.tau)).mean())


def test_value_at_the_optimum_is_found_from_afar(problem):
    space, exact = problem.space(), closed_value(problem)
    best = optimum.closed_form(problem)
    # Short of the optimum, and of the constraint.
    place = best + 0.2 * torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(5)) - 0.1
    found = corrected.truth(problem, place, 1024)
    assert (gaussian_entropy(place.exp()).mean((1, 2, 3)) < exact - 0.08).all()
    assert all(0.02 < gap < 0.06 for gap in found["gap"])  # about the mean of (Δ log σ)²
    for value, noise, systematic in zip(found["value"], found["noise"], found["systematic"], strict=True):
        assert noise < 0.015
        assert abs(value - exact) < 2.5 * math.hypot(noise, systematic)
    true, before = (concentration(log_sigma[:, 0], corrected.centre(problem)) for log_sigma in (best, place))
    assert (torch.tensor(found["concentration"]) - true).norm() < 0.7 * (before - true).norm()


def test_whole_solves_say_how_far_they_may_be_off(problem):
    exact, even = closed_value(problem), problem.entropy(problem.uniform(problem.space()), problem.space())
    held = []
    for seed in range(8):
        solve = ours.solve(problem, 0.02, 600, seed)
        found = corrected.whole(problem, solve)
        both = zip(found["corrected"], found["se"], strict=True)
        held += [abs(value - exact) < 1.96 * se for value, se in both if not math.isnan(value)]
        assert all(value > uniform for value, uniform in zip(found["entropy"], even, strict=True))
        assert found["least"] == pytest.approx(solve.solution.log_sigma.amin((1, 2, 3)).tolist())
        assert (solve.total <= 1.1 * solve.solution.passes + 16).all()  # it counts what it does itself
    assert len(held) >= 12 and sum(held) >= 0.75 * len(held)
    # A solve takes units of its own; the judge's stay as they are.
    assert torch.equal(problem.entropy(problem.uniform(problem.space()), problem.space()), even)


def test_distance_is_judged_on_common_noise(problem):
    space = problem.space()
    ratio, se = problem.reached(problem.uniform(space, 2 * problem.alpha))
    assert torch.allclose(ratio, torch.full_like(ratio, 2), atol=1e-5)
    assert (se < 1e-5).all()
    ratio, se = problem.reached(optimum.closed_form(problem))
    precise, _ = replace(problem, judge_draws=4096).reached(optimum.closed_form(problem))
    assert ((ratio - precise).abs() < 3 * se).all()


def test_judge_is_the_same_in_other_units_and_batches(problem):
    space = problem.space()
    place = problem.uniform(space) + 0.3 * torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(3))
    other = replace(problem, feature=lambda x: 1e-3 * problem.feature(x))
    other.distance.batch_size = 5
    assert torch.allclose(other.entropy(place, space), problem.entropy(place, space), atol=1e-4)


def test_ablation_takes_parts_out_and_puts_them_back(problem, capsys):
    options = ablation.arguments(["--passes", "32", "96"])
    place = ablation.compare(problem, "toy", options, None)
    text = capsys.readouterr().out
    rows = {name: row.split() for name in ablation.VARIANTS for row in text.splitlines() if row.startswith(f"{name}  ")}
    assert rows.keys() == ablation.VARIANTS.keys() - {ablation.WARM}
    values = {name: float(row[-2]) for name, row in rows.items()}
    assert values[ablation.SOLVER] > values["plain average"]
    for name in ("without the exact step", "without the prediction"):
        assert rows[name][-3:] != rows[ablation.SOLVER][-3:]
    ablation.compare(problem, "toy", options, place)
    again = capsys.readouterr().out
    assert again.startswith(text[: text.index("scale (fine")])  # nothing has stayed changed
    assert ablation.WARM in again


def test_references_are_as_long_as_the_sampling_noise_asks(problem, tmp_path):
    bent = saturating(problem, 32)
    skip = frozenset({"truth", "cold", "warm", "solve", "corrected", "price", "published", "adam", "bounded"})
    config = Config(reference_passes=32, longest_reference=96, noise_draws=(32,), skip=skip)
    one = work(bent, tmp_path, config=config)
    one.compute({})
    assert min(one.case.parts["optimum"]["passes"]) >= 32
    assert 4 * figures.median(figures.floors(one.case)) > 64  # so that a second, longer one was made
    lengths = sorted(int(passes.min()) for _, passes in one.cache.runs("layer2", bent))
    assert lengths == [32, 96]  # as wanted, and no more than the longest


def test_integrated_gradients_and_plain_passes_run(problem):
    pytest.importorskip("captum")
    price.integrated_gradients(problem)
    price.plain_passes(problem, 1)


def test_program_says_what_is_wrong(capsys, tmp_path):
    options = ["--cache", str(tmp_path), "--import", "nobody=*.safetensors"]
    assert program.main(options) == 2
    assert "--import was" in capsys.readouterr().err


def test_profiles_fill_what_is_not_given():
    options = program.arguments(["--profile", "full", "--samples", "3", "--skip", "adam", "memory"])
    config = program.configure(options)
    assert (config.samples, config.tau, config.reference_passes) == (3, (0.01, 1e-4), 20_000)
    assert config.skip == {"adam", "memory"}
    assert program.configure(program.arguments(["--tau", "0.5"])).tau == (0.5,)
    assert program.configure(program.arguments(["--budgets", "96", "200"])).budgets == (96, 200)


def test_module_is_left_out_of_the_graph(problem):
    layer = nn.Linear(SIZE * SIZE, 3)
    measured = JudgedProblem(lambda x: layer(x.flatten(1)), problem.inputs, 50.0, judge_draws=32)
    references.published(measured, measured.space(), steps=2)
    assert all(parameter.grad is None for parameter in layer.parameters())
