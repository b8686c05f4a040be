"""The benchmark's plumbing on a toy network, against the closed form of a linear layer; seconds, no download."""

import json
import math
from pathlib import Path

import pytest
import torch
from benchmarks.bench import __main__ as program
from benchmarks.bench import bars, figures, optimum, ours, price, references, report
from benchmarks.bench.problem import JUDGE_SEED, SEARCH_DRAWS, Problem
from benchmarks.bench.results import Case
from benchmarks.bench.work import Config, Work
from torch import nn

from infodiscard import InfodiscardError
from infodiscard.noise import SampleNoise
from infodiscard.solver import expected_distance

SIZE = 8
TINY = Config(
    reference_passes=64,
    longest_reference=64,
    max_passes=64,
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
    return Problem(lambda x: x.flatten(1) @ weight.T, inputs, 50.0, judge_draws=256)


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
    from infodiscard.entropy import linear_sigma

    identity = torch.eye(SIZE * SIZE).view(-1, 1, SIZE, SIZE)
    weight = (problem.feature(identity) - problem.feature(torch.zeros_like(identity))).T
    expected = linear_sigma(weight, 1.5, 0.01).log()
    found = optimum.closed_form(problem)[0].flatten()
    assert torch.allclose(found - found.mean(), expected - expected.mean(), atol=1e-4)


def test_linear_layers_are_told_from_others(problem):
    assert optimum.is_linear(problem)
    bent = Problem(lambda x: problem.feature(x).relu(), problem.inputs, 50.0)
    assert not optimum.is_linear(bent)


def test_judge_scales_to_the_target_and_forgets_the_scale(problem):
    space = problem.space("grid:4")
    place = problem.uniform(space) + 0.3 * torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(3))
    once, moved = problem.entropy(place, space), problem.entropy(place + 0.7, space)
    assert torch.allclose(once, moved, atol=1e-3)


def saturating(problem, draws):
    """The same problem behind a nonlinearity, where the power of E is neither two nor constant."""
    return Problem(lambda x: problem.feature(x).mul(0.2).tanh(), problem.inputs, 50.0, judge_draws=draws)


@pytest.mark.parametrize("move", [0.0, 3.5])
def test_judge_reaches_the_target_from_afar_at_the_price_of_one_fine_estimate(problem, move):
    bent, space = saturating(problem, 512), problem.space()
    assert (bent.target > 0).all()
    bent.distance.reset()  # the target is estimated once for all
    shape = 0.5 * torch.randn(2, *space.shape, generator=torch.Generator().manual_seed(3))
    found = bent.calibrated(bent.uniform(space) + shape + move, space)
    assert (bent.distance.forwards <= 512 + (3 + abs(move)) * 2 * SEARCH_DRAWS).all()
    noise = SampleNoise(bent.inputs, JUDGE_SEED, "scale")
    reached = expected_distance(bent.distance, space, found, noise, 0.0, 512).mean
    assert (reached / bent.target - 1).abs().max() < 0.002
    assert torch.allclose(found - shape, (found - shape).mean((1, 2, 3), keepdim=True).expand_as(found), atol=1e-5)


def test_judge_says_what_cannot_be_scaled_and_judges_the_others_alike(problem, exact):
    flat = Problem(lambda x: x.flatten(1).tanh() * 1e-3, problem.inputs, 50.0, alpha=1e9, judge_draws=32)
    assert (flat.entropy(flat.uniform(flat.space()), flat.space()) == -math.inf).all()
    place = optimum.closed_form(problem) + torch.tensor([0.0, 3.0])[:, None, None, None]
    alone = Problem(problem.feature, problem.inputs[:1], 50.0, judge_draws=256)
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
    bent = Problem(lambda x: problem.feature(x) + 0.1 * problem.feature(x).sin(), problem.inputs, 50.0)
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
    part = Problem(bent.feature, problem.inputs[1:], 50.0)
    ((place, passes),) = list(cache.found("layer", part))[:1]
    assert place.shape[0] == 1 and passes.tolist() == [40]
    assert not list(cache.found("layer", Problem(bent.feature, problem.inputs + 1, 50.0)))
    assert not list(cache.found("other", bent))


def test_long_runs_are_brought_in_by_their_names(problem, tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "r20_0.1_layer3.2_20000.safetensors"
    root, layer = optimum.parse_import(file)
    assert (root, layer) == (0.1, "layer3.2")
    save_file({"log_sigma": problem.uniform(problem.space()), "passes": torch.tensor([5, 6])}, file)
    cache = optimum.Cache(tmp_path / "cache", "toy", "weights")
    part = Problem(problem.feature, problem.inputs[:1], 50.0)
    cache.bring_in(file, layer, part)
    assert [passes.tolist() for _, passes in cache.found(layer, part)] == [[5]]
    with pytest.raises(InfodiscardError, match="not named"):
        optimum.parse_import(tmp_path / "something.safetensors")


def work(problem, folder, layer="layer2", before=(), config=TINY):
    case = Case(folder, "toy", layer, problem.tau, {"judge": problem.judge_draws})
    return Work(problem, case, optimum.Cache(folder, "toy", "weights"), config, before)


def test_parts_are_kept_and_the_tables_print(problem, tmp_path):
    pytest.importorskip("captum")
    small = Problem(problem.feature, problem.inputs, 50.0, judge_draws=64)
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
    for procedure in ("uniform σ", "ours", "ours, warm", "Adam on log σ", "bounded σ", "closed form"):
        assert f"| {procedure}" in text
    lines = bars.bars([first.case, second.case], {"64": 0.5, "512": 0.52})
    table = report.bar_table(lines)
    for what in ("0.02, warm, ÷ floor", "IntegratedGradients", "peak memory", "covers the true", "bars met"):
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
    trail = {"passes": [16, 32, 64], "entropy": [[e] for e in entropy], "estimate": [[0.1], [0.1], [0.0]]}
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
    # Reported 0.0 at 64 passes, where the true gap is 0.01.
    assert line(result(), "reported gap covers the true").met is False


def test_bars_say_what_is_not_measured_or_cannot_be_judged():
    assert line(result(), "passes to a gap of 0.02, warm").value == "not measured"
    short = line(result(passes=1000, r=9.0), "passes to a gap of 0.02, cold")
    assert short.met is None and "0.020 short" in short.value
    assert not [bar for bar in bars.bars([result(passes=1000, r=9.0)], None) if "covers" in bar.what]
    exact = line(result(passes=0, r=9.0), "passes to a gap of 0.02, cold")  # a closed form is never short
    assert exact.met is True
    assert "not judged" in report.bar_table([short]) and "not judged" not in report.bar_table([exact])


def test_references_are_as_long_as_the_sampling_noise_asks(problem, tmp_path):
    bent = saturating(problem, 32)
    skip = frozenset({"cold", "warm", "solve", "price", "published", "adam", "bounded"})
    config = Config(reference_passes=32, longest_reference=96, noise_draws=(32,), skip=skip)
    one = work(bent, tmp_path, config=config)
    one.compute({})
    assert min(one.case.parts["optimum"]["passes"]) >= 32
    assert 4 * figures.median(figures.floors(one.case)) > 64  # so that a second, longer one was made
    lengths = sorted(int(passes.min()) for _, passes in one.cache.found("layer2", bent))
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


def test_module_is_left_out_of_the_graph(problem):
    layer = nn.Linear(SIZE * SIZE, 3)
    measured = Problem(lambda x: layer(x.flatten(1)), problem.inputs, 50.0, judge_draws=32)
    references.published(measured, measured.space(), steps=2)
    assert all(parameter.grad is None for parameter in layer.parameters())
