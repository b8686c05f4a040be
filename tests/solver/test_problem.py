"""A problem spreads its noise over the samples, and each of its streams begins anew."""

import math

import pytest
import torch

from closed_forms import random
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Problem
from infodiscard.solver.sample_noise import SampleNoise
from infodiscard.solver.sigma_space import SigmaSpace


def make_problem(sigma="grid:2"):
    inputs = random(3, 2, 4, 4)
    return Problem(FeatureDistance(lambda x: x, inputs), SigmaSpace.parse(sigma, (2, 4, 4)), 1.5, 0.01, 50.0, seed=3)


def test_uniform_places():
    problem = make_problem()
    assert problem.rows.tolist() == [0, 1, 2] and problem.log_cap.shape == (3, 1, 1, 1)
    assert problem.log_cap.flatten().tolist() == pytest.approx([math.log(50)] * 3)
    torch.testing.assert_close(problem.small, torch.full((3, 1, 2, 2), math.log(0.1), dtype=torch.float64))
    torch.testing.assert_close(problem.uniform.exp().square(), torch.full_like(problem.small, 1.5 * 0.01))


def test_noise_is_sigma_times_unit_noise():
    problem, rows = make_problem(), torch.tensor([2, 0])
    log_sigma, unit = random(3, 1, 2, 2, seed=1), random(2, 5, 2, 4, 4, seed=2)
    z = problem.noise(log_sigma, rows, unit)
    for i, row in enumerate(rows):
        for y in range(4):
            for x in range(4):
                expected = log_sigma[row, 0, y // 2, x // 2].exp() * unit[i, :, :, y, x]
                torch.testing.assert_close(z[i, :, :, y, x], expected)


def test_streams_are_those_of_the_samples_and_the_seed():
    problem = make_problem()
    expected = SampleNoise(problem.distance.inputs, 3, "check").draw([1], 2)
    assert torch.equal(problem.stream("check").draw([1], 2), expected)
    assert torch.equal(problem.stream("check").draw([1], 2), expected)
