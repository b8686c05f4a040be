"""Steps of the ascent: their draws, the bound on outliers and the running estimate of the gap."""

import torch

from closed_forms import linear_problem, random
from infodiscard.solver.ascent import CAUTION, OUTLIER, RECENT, AscentState, advance, without_outliers
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Problem
from infodiscard.solver.sigma_space import SigmaSpace


def ascend(problem, target, start, steps, draws=16):
    """The state after every step."""
    state = AscentState.begin(start, problem.space, target, problem.log_cap)
    stream = problem.stream("solve")
    for _ in range(steps):
        advance(problem, state, stream, problem.all, draws)
        yield state


def test_what_is_left_weighs_every_step_but_the_first():
    """Against sums over all steps: each counts by a power of its number and the inverse of its variance."""
    shape, steps, power, rows = (1, 4, 4), 6, torch.tensor([1.4]), torch.tensor([0])
    space = SigmaSpace.parse("pixel", shape)
    state = AscentState.begin(torch.zeros(1, *shape), space, torch.ones(1), torch.full((1, 1, 1, 1), 5.0))
    state.size += 1
    ratios = 1 + 0.3 * random(steps, 2, *shape, seed=4).float()
    for number, ratio in enumerate(ratios, 1):
        state.steps[:] = number
        state._test_optimum(rows, ratio[None], power)
        assert number > 1 or state.left.isinf().all()
    curvature, numbers = 1 + 1.4 / 2, torch.arange(1.0, steps)
    a, b = (ratios[1:] - ratios[1:].mean((2, 3, 4), keepdim=True)).unbind(1)
    gaps = (a * b).mean((1, 2, 3)) / 2 / curvature
    variances = ((a - b).square().mean((1, 2, 3)) / 4 / curvature) ** 2 / 16
    # An average whose newest of n values has the weight (m + 1) / (n + m).
    rates = (RECENT + 1) / (numbers + RECENT)
    weights = rates * torch.cat([(1 - rates[1:]).flip(0).cumprod(0).flip(0), torch.ones(1)]) / variances
    expected = (weights * gaps).sum() / weights.sum()
    error = (weights.square() * variances).sum().sqrt() / weights.sum()
    torch.testing.assert_close(state.left[0], expected.clamp(min=0) + CAUTION * error)


def test_the_first_two_steps_are_small():
    weight, inputs = linear_problem()
    distance = FeatureDistance(lambda x: x.flatten(1) @ weight.T, inputs)
    problem = Problem(distance, SigmaSpace.parse("pixel", (1, 8, 8)), 1.5, 0.01, 50.0)
    states = ascend(problem, torch.ones(2, dtype=torch.float64), problem.small, 4, draws=6)
    assert [state.passes.tolist() for state in states] == [[3, 3], [6, 6], [12, 12], [18, 18]]


def test_steps_near_the_closed_form():
    """Where h is linear, the mean square error of log σ at equal distance is the entropy that is missing."""
    weight, inputs = linear_problem()
    distance = FeatureDistance(lambda x: x.flatten(1) @ weight.T, inputs)
    problem = Problem(distance, SigmaSpace.parse("pixel", (1, 8, 8)), 1.5, 0.01, 50.0)
    norms = weight.square().sum(0).view(1, 1, 8, 8)
    target = (1.5 * 0.01 * norms.sum()).expand(2)
    gaps = []
    for state in ascend(problem, target, problem.uniform, 100):
        error = state.log_sigma + norms.log() / 2
        gaps.append((error - error.mean((1, 2, 3), keepdim=True)).square().mean())
    assert gaps[-1] < 0.01 < 0.1 < gaps[0]


def test_outliers_are_bounded_by_the_usual_size_and_the_bound_grows():
    slope, level = random(1, 8, 1, 4, 4), torch.ones(1, 8, dtype=torch.float64)
    slope[0, 3, 0, 1, 1], level[0, 3] = 1e6, 1e6
    usual = slope.abs().mean((2, 3, 4)).median()
    for passes, factor in ((0, 1), (16, 1), (64, 2)):
        bounded, distances = without_outliers(slope, level, torch.tensor([passes]))
        torch.testing.assert_close(bounded.max(), factor * OUTLIER * usual)
        assert distances.max() == factor * OUTLIER and (distances[0, :3] == 1).all()
        rest = torch.ones_like(slope, dtype=torch.bool)
        rest[0, 3] = False
        assert torch.equal(bounded[rest], slope[rest])
