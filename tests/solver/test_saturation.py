"""Parameters that are tried at the cap, against what E says there."""

import math

import torch

from closed_forms import random
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Problem
from infodiscard.solver.saturation import at_cap
from infodiscard.solver.sigma_space import SigmaSpace


def tried(feature, width: int):
    """What is found for three samples of a feature at the uniform σ."""
    inputs = 0.1 * random(3, 1, 1, width)
    space = SigmaSpace.parse("pixel", (1, 1, width))
    problem = Problem(FeatureDistance(feature, inputs), space, alpha=1.5, tau=0.01, cap=50.0)
    small = problem.distance(problem.rows, 0.1 * problem.stream("test").draw([0, 1, 2], 4000)).mean(1)
    place = problem.uniform.clone()
    place[..., 0] += 0.1  # the largest
    return place, *at_cap(problem, place, 1.5 * small, torch.full_like(small, 2.0), problem.all)


def test_an_input_whose_effect_is_bounded_goes_to_the_cap():
    def feature(x):
        flat = x.flatten(1)
        return torch.cat([0.05 * torch.tanh(3 * flat[:, :1]), flat[:, 1:]], 1)

    place, moved, gain, forwards = tried(feature, 4)
    assert (moved[..., 0] == math.log(50)).all() and (moved[..., 1:] < place[..., 1:]).all()
    torch.testing.assert_close(gain, (moved - place).mean((1, 2, 3)))
    assert (gain > 1).all() and (forwards == 16).all()  # one of four, and then two, which is less


def test_of_a_linear_layer_nothing_is_moved():
    place, moved, gain, forwards = tried(lambda x: x.flatten(1), 256)
    assert torch.equal(moved, place) and (gain == 0).all() and (forwards == 8).all()
