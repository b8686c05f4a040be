"""Parameters that are tried at the cap, against what E says there."""

import math

import torch

from closed_forms import random
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Problem
from infodiscard.solver.saturation import at_cap, hides
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


def test_what_is_dead_but_for_one_noise_in_a_thousand_hides_something():
    def feature(x):
        flat = x.flatten(1)
        return torch.cat([torch.relu(flat[:, :1] - 150), flat[:, 1:]], 1)

    distance = FeatureDistance(feature, torch.zeros(2, 1, 1, 4))
    problem = Problem(distance, SigmaSpace.parse("pixel", (1, 1, 4)), alpha=1.5, tau=0.01, cap=50.0)
    place = problem.uniform.clone()
    found, forwards = hides(problem, place)
    assert not found.any() and (forwards == 0).all()  # nothing is at the cap
    place[0, ..., 0] = math.log(50)
    found, forwards = hides(problem, place)
    assert found.tolist() == [True, False] and forwards.tolist() == [64, 0]


def test_what_never_reacts_or_is_bounded_hides_nothing():
    def feature(x):
        flat = x.flatten(1)
        return torch.cat([0.05 * torch.tanh(3 * flat[:, :1]), flat[:, 1:2], 0.02 * flat[:, 2:3]], 1)

    distance = FeatureDistance(feature, torch.zeros(1, 1, 1, 4))
    problem = Problem(distance, SigmaSpace.parse("pixel", (1, 1, 4)), alpha=1.5, tau=0.01, cap=50.0)
    place = problem.uniform.clone()
    place[..., [0, 2, 3]] = math.log(50)
    assert not hides(problem, place)[0].any()
