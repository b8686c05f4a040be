"""Expected distances against closed forms, and their standard errors against the textbook."""

import math

import pytest
import torch

from closed_forms import linear_problem, random
from infodiscard.errors import SampleError
from infodiscard.solver.expectation import (
    HEAVY_ERROR,
    Estimate,
    check_variation,
    draw_gradients,
    expected_distance,
    feature_variation,
    moments,
    ratio_of,
)
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Problem
from infodiscard.solver.rows import Rows
from infodiscard.solver.sigma_space import SigmaSpace

TAU = 0.01


@pytest.fixture
def weight():
    return linear_problem()[0]


@pytest.fixture
def problem(weight):
    distance = FeatureDistance(lambda x: x.flatten(1) @ weight.T, linear_problem()[1])
    return Problem(distance, SigmaSpace.parse("pixel", (1, 8, 8)), 1.5, TAU, 50.0, seed=5)


def test_a_ratio_on_common_noise_needs_few_draws(problem, weight):
    """Where σ is a multiple of the small noise, every draw gives E(σ) / E(√τ) exactly; otherwise the error tells."""

    def ratio(log_sigma: torch.Tensor) -> Estimate:
        return expected_distance(problem, log_sigma, problem.stream("test"), 0.01, 4000, relative=True)

    exact = ratio(problem.small + 0.7)
    assert exact.draws.tolist() == [32, 32]  # 16 of each
    torch.testing.assert_close(exact.mean, torch.full_like(exact.mean, math.exp(1.4)))
    assert (exact.se < 1e-6).all()
    shape = 0.2 * random(2, 1, 8, 8, seed=3)
    estimate, norms = ratio(problem.small + shape), weight.square().sum(0).view(8, 8)
    expected = ((2 * shape[:, 0]).exp() * norms).sum((1, 2)) / norms.sum()
    assert ((estimate.mean - expected).abs() < 4 * estimate.se).all()
    assert (estimate.se <= 0.01 * estimate.mean).all()
    alone = expected_distance(problem, problem.small + shape, problem.stream("test"), 0.01, 4000)
    assert (estimate.draws < alone.draws).all()


def test_a_few_draws_that_make_the_error_are_not_trusted():
    """Of f = e^(2x), whose L has the tail of a log-normal variable, larger draws than those seen are likely."""
    inputs = (1e-3 * torch.arange(64.0)).view(64, 1, 1, 1)  # not one noise for all; the ratio is that at 0
    distance = FeatureDistance(lambda x: (2 * x.flatten(1)).exp(), inputs)
    problem = Problem(distance, SigmaSpace.parse("pixel", (1, 1, 1)), 1.5, TAU, 50.0, seed=5)
    estimate = expected_distance(problem, problem.small + 1.5, problem.stream("test"), 0.01, 512, relative=True)
    exact = [math.exp(8 * sigma**2) - 2 * math.exp(2 * sigma**2) + 1 for sigma in (0.1 * math.exp(1.5), 0.1)]
    assert estimate.heavy.double().mean() > 0.8
    off = (estimate.mean - exact[0] / exact[1]).abs()
    assert (off > 3 * estimate.se / HEAVY_ERROR).double().mean() > 0.1  # by the textbook's error, far too many
    assert (off > 3 * estimate.se)[estimate.heavy].double().mean() < 0.05


def test_samples_that_are_not_wanted_have_no_estimate(problem):
    estimate = expected_distance(problem, problem.small, problem.stream("test"), 0.1, 64, Rows.of([1]))
    assert estimate.mean.isnan().tolist() == [True, False] and estimate.draws[0] == 0 < estimate.draws[1]


def test_the_variation_of_a_linear_feature_is_the_closed_form(problem, weight):
    variation = feature_variation(problem, 0.02, 4000)
    assert ((variation.mean - TAU * weight.square().sum()).abs() < 4 * variation.se).all()


@pytest.mark.parametrize(("value", "words"), [(0.0, "δ_f² = 0"), (math.nan, "overflows"), (math.inf, "overflows")])
def test_a_variation_that_nothing_can_be_measured_by(value, words):
    with pytest.raises(SampleError, match=words) as caught:
        check_variation(torch.tensor([1.0, value]))
    assert caught.value.rows == (1,)


def test_a_ratio_and_its_error_are_those_of_the_textbook():
    level = random(2, 1000).exp()
    base = level * (0.3 * random(2, 1000, seed=1)).exp()
    ratio, se = ratio_of(moments(level, base), torch.tensor([1000, 1000]))
    torch.testing.assert_close(ratio, level.mean(1) / base.mean(1))
    residual = level - ratio[:, None] * base
    torch.testing.assert_close(se, residual.std(1) / 1000**0.5 / base.mean(1))


def test_gradients_of_draws_are_those_of_the_distance(problem):
    problem.distance.batch_size = 4  # a sample at a time
    log_sigma = problem.small + 0.3 * random(2, 1, 8, 8)
    groups = list(draw_gradients(problem, log_sigma, problem.stream("test"), problem.all, 4))
    assert [group.numbers for group, *_ in groups] == [(0,), (1,)]
    unit = problem.stream("test").draw([0, 1], 4)
    z = log_sigma.exp()[:, None] * unit
    level, gradient = problem.distance.gradient(problem.rows, z)
    for i, expected in enumerate((unit, z * gradient, gradient, level), 1):
        torch.testing.assert_close(torch.cat([parts[i] for parts in groups]), expected)
