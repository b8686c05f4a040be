"""Scaling σ to the target distance, against closed forms."""

import pytest
import torch

from closed_forms import linear_problem, random
from infodiscard.solver.effort import Effort
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Problem
from infodiscard.solver.rows import Rows
from infodiscard.solver.scaling import scale_to_target, scaled
from infodiscard.solver.sigma_space import SigmaSpace

ALPHA, TAU, CAP = 1.5, 0.01, 50.0


@pytest.fixture
def weight():
    return linear_problem()[0]


@pytest.fixture
def problem(weight):
    distance = FeatureDistance(lambda x: x.flatten(1) @ weight.T, linear_problem()[1])
    return Problem(distance, SigmaSpace.parse("pixel", (1, 8, 8)), ALPHA, TAU, CAP)


@pytest.mark.parametrize("shift", [-1.0, -0.1, 0.02, 0.7])
def test_sigma_is_scaled_to_the_ratio_from_near_and_far(problem, weight, shift):
    """E(σ) / E(√τ) in closed form afterwards, and nothing but a number has moved."""
    start, power = problem.small + 0.3 * random(2, 1, 8, 8, seed=3) + shift, torch.full((2,), 2.0).double()
    end, _ = scale_to_target(problem, start, power, Effort(), 5)
    norms = weight.square().sum(0).view(8, 8)
    ratio = ((2 * (end - problem.small)[:, 0]).exp() * norms).sum((1, 2)) / norms.sum()
    assert ((ratio / ALPHA - 1).abs() < 0.04).all()  # four standard errors
    moved = end - start
    torch.testing.assert_close(moved, moved.mean((1, 2, 3), keepdim=True).expand_as(moved))


def test_samples_that_are_not_chosen_stay(problem):
    start, power = problem.small.clone(), torch.full((2,), 2.0).double()
    end, forwards = scale_to_target(problem, start, power, Effort(), 5, rows=Rows.of([1]))
    assert torch.equal(end[0], start[0]) and (end[1] > start[1]).all()
    assert forwards[0] == 0 < forwards[1]


def test_what_is_at_the_cap_stays_there_and_nothing_passes_it():
    log_sigma = torch.tensor([0.0, 0.9, 1.0]).view(1, 1, 1, 3)
    for shift, expected in ((0.5, [0.5, 1.0, 1.0]), (-0.5, [-0.5, 0.4, 1.0])):
        moved = scaled(log_sigma, torch.tensor([shift]), torch.ones(1, 1, 1, 1))
        torch.testing.assert_close(moved.flatten(), torch.tensor(expected))
