"""Random numbers at the edge of what can be drawn."""

import pytest
import torch

from infodiscard.networks.draws import Extreme


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(()),
        lambda: torch.empty(3).uniform_(),
        lambda: torch.rand_like(torch.ones(2, 2)),
        lambda: (torch.randint(0, 100, (2,)) / 99).float(),
        lambda: torch.bernoulli(torch.full((4,), 0.01)),
        lambda: torch.distributions.Normal(0.5, 0.2).sample((2,)),
    ],
)
def test_draws_are_the_least_or_the_greatest_of_many(draw):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with Extreme(least=True):
            low = draw()
        with Extreme(least=False):
            high = draw()
        assert (low < 0.02).all() and (high > 0.98).all() and low.shape == high.shape == draw().shape


def test_what_is_not_random_is_left_alone():
    x = torch.arange(3.0)
    with Extreme(least=True):
        assert torch.equal(x.exp() + 1, x.exp() + 1) and torch.equal(torch.zeros(2), torch.zeros(2))
