"""On a device with a memory of its own: everything is there, values are the same, and no step waits for it twice."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

import pretend_device
from infodiscard.solver.decoder_error import ReconstructionError
from infodiscard.solver.effort import Effort
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.problem import Problem
from infodiscard.solver.ru import ReconstructionProblem, maximise_reconstruction_error
from infodiscard.solver.sid import maximise_entropy
from infodiscard.solver.sigma_space import SigmaSpace
from pretend_device import There, accelerator
from probing import seeded

SHAPE = (3, 10, 10)


@pytest.fixture(scope="module")
def net():
    layers = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2), nn.Tanh()
    return seeded(nn.Sequential, *layers).requires_grad_(False)


@pytest.fixture(scope="module")
def decoder():
    return seeded(nn.Sequential, nn.Flatten(), nn.Linear(36, 300), nn.Unflatten(1, SHAPE)).requires_grad_(False)


@pytest.fixture(scope="module")
def inputs():
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))


def sid(net, _decoder, inputs, watch=None):
    """Of cells; at an α at which noise saturates the feature, so that some of σ goes to the cap."""
    problem = Problem(FeatureDistance(net, inputs, 32), SigmaSpace.parse("grid:5", SHAPE), 60.0, 0.01, 10.0)
    return maximise_entropy(problem, Effort(0.002, 200), watch=watch)


def ru(net, decoder, inputs, watch=None):
    error = ReconstructionError(net, decoder, inputs, 32)
    problem = ReconstructionProblem(error, SigmaSpace.parse("pixel", SHAPE), 1.5, 0.01, 10.0)
    return maximise_reconstruction_error(problem, Effort(0.002, 160), watch)


@pytest.mark.parametrize("solve", [sid, ru])
def test_no_step_waits_for_the_device_more_than_once_and_values_are_the_same(solve, net, decoder, inputs, monkeypatch):
    monkeypatch.setattr("infodiscard.solver.feature_distance._channels_last", lambda inputs: False)
    waits, uploads = [], []
    with accelerator() as device:

        def watch(_stage):
            waits.append(device.waits.total())
            uploads.append(device.uploads)

        there = [pretend_device.move(copy.deepcopy(each)) for each in (net, decoder)]
        found = solve(*there, There(inputs), watch)
        whole = device.waits.total()
    steps = [after - before for before, after in pairwise(waits)]
    assert len(steps) > 3
    # Between two ascents, it is waited for at every look at the distance, and for every batch of fresh draws.
    assert sorted(steps)[len(steps) // 2] <= 1 and whole <= len(steps) + 40, device.waits
    assert uploads[-1] == uploads[0], "something is copied to the device in every step"
    expected = solve(net, decoder, inputs)
    for name, value in vars(expected).items():
        assert torch.equal(value, getattr(found, name).here), name


def test_the_pretended_device_fails_as_a_real_one_would_and_counts():
    with accelerator() as device:
        x = There(torch.ones(3))
        with pytest.raises(RuntimeError, match="same device"):
            x + torch.ones(3)
        assert device.waits.total() == 0 and (x + torch.tensor(1.0)).here.tolist() == [2.0] * 3
        bool(x.sum() > 0), x.cpu(), x.nonzero(), x[x > 0], x.tolist(), x[0].item()
        assert device.waits.total() == 6
        y = torch.zeros(3, device=x.device)
        y[torch.tensor([0])] = 1.0
        assert isinstance(y, There) and device.uploads == 1 and device.waits.total() == 6
