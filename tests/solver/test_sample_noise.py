"""Noise depends on a sample's content, the seed and the purpose, on nothing else."""

import pytest
import torch

from infodiscard.solver.sample_noise import SampleNoise


@pytest.fixture
def samples():
    return torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(3))


def draw(samples, rows, count=4, seed=0, purpose="fit"):
    return SampleNoise(samples, seed, purpose).draw(rows, count)


def test_noise_is_standard_normal_and_repeatable(samples):
    noise = draw(samples, [0, 1, 2, 3], 200)
    assert noise.shape == (4, 200, 3, 6, 5) and noise.dtype == samples.dtype
    assert abs(noise.mean()) < 4 / noise.numel() ** 0.5 and abs(noise.var() - 1) < 4 * (2 / noise.numel()) ** 0.5
    assert torch.equal(noise, draw(samples, [0, 1, 2, 3], 200))
    # Independent between samples and between draws.
    flat = noise[:, :2].flatten(0, 1).flatten(1).double()
    assert (torch.corrcoef(flat) - torch.eye(8)).abs().max() < 4.5 / flat.shape[1] ** 0.5


def test_noise_does_not_depend_on_batch_order_or_place(samples):
    noise = draw(samples, [0, 1, 2, 3])
    assert torch.equal(draw(samples[2:3], [0])[0], noise[2])
    assert torch.equal(draw(samples.flip(0), [0, 1, 2, 3]), noise.flip(0))
    assert torch.equal(draw(samples, [3, 1]), noise[[3, 1]])
    assert torch.equal(draw(torch.stack([samples[1], samples[1]]), [0, 1]), noise[[1, 1]])


def test_noise_goes_on_for_each_sample_by_itself(samples):
    stream = SampleNoise(samples, 0, "fit")
    first, second = stream.draw([0, 1], 2), stream.draw([1, 2], 2)
    alone = SampleNoise(samples[1:2], 0, "fit")
    assert torch.equal(first, draw(samples, [0, 1], 2))
    assert torch.equal(first[1:], alone.draw([0], 2)) and torch.equal(second[:1], alone.draw([0], 2))
    assert torch.equal(second[1:], draw(samples, [2], 2))
    assert not torch.equal(second[0], first[1])


def test_noise_depends_on_content_seed_and_purpose(samples):
    noise = draw(samples, [0])
    changed = samples.clone()
    changed[0, 2, 5, 4] += 1e-6
    for other in (draw(changed, [0]), draw(samples, [0], seed=1), draw(samples, [0], purpose="check")):
        correlation = torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1]
        assert abs(correlation) < 4.5 / noise.numel() ** 0.5
    changed[1] = 0
    assert torch.equal(draw(samples, [2]), draw(changed, [2]))


def test_the_global_random_state_is_untouched(samples):
    state = torch.get_rng_state()
    noise = draw(samples, [0, 1])
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(draw(samples, [0, 1]), noise)
    torch.set_rng_state(state)
