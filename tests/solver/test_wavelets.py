"""The split into scales is exact, and filtering gains what it says it gains."""

import pytest
import torch

from infodiscard.solver.wavelets import Scales, _powers, filtered, live_mean, mean


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SHAPES = [(1, 16, 16), (3, 8, 12), (1, 32, 20), (2, 1, 1), (1, 2, 3), (1, 7, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_sum_to_the_map_minus_its_mean(shape):
    maps = normal(2, 2, *shape) + 3
    parts = Scales(maps).split(maps)
    torch.testing.assert_close(sum(parts), maps - mean(maps), rtol=0, atol=1e-12)
    assert all(part.shape == maps.shape for part in parts)


@pytest.mark.parametrize("shape", SHAPES)
def test_constants_vanish_and_shift_nothing(shape):
    maps = normal(1, *shape)
    scales = Scales(maps)
    assert max(part.abs().max() for part in scales.split(torch.full_like(maps, 5.0))) < 1e-12
    for part, shifted in zip(scales.split(maps), scales.split(maps + 5), strict=True):
        torch.testing.assert_close(part, shifted, rtol=0, atol=1e-12)


def test_the_split_is_linear_and_respects_mirror_images():
    first, second = normal(1, 16, 16), normal(1, 16, 16, seed=1)
    scales = Scales(first)
    for a, b, both in zip(*map(scales.split, (first, second, 2 * first - second)), strict=True):
        torch.testing.assert_close(both, 2 * a - b, rtol=0, atol=1e-12)
    for axis in (-1, -2):
        for part, mirrored in zip(scales.split(first), scales.split(first.flip(axis)), strict=True):
            torch.testing.assert_close(mirrored, part.flip(axis), rtol=0, atol=1e-12)


def test_the_split_moves_with_the_map():
    maps = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    maps[..., 30, 29] = 1
    scales = Scales(maps)
    moved = maps.roll((3, 2), (-2, -1))
    for level, (part, other) in enumerate(zip(scales.split(maps)[:3], scales.split(moved)[:3], strict=True)):
        torch.testing.assert_close(other, part.roll((3, 2), (-2, -1)), rtol=0, atol=1e-12)
        reach = 2 * (2 ** (level + 1) - 1)
        assert part[..., 30, 29 + reach].abs() > 0 and part[..., 30, 29 + reach + 1 :].abs().max() == 0


def test_scales_are_ordered_from_fine_to_coarse():
    x = torch.arange(32, dtype=torch.float64)
    powers = []
    for period in (2.5, 32):
        wave = torch.sin(2 * torch.pi * x / period)[None, :, None] * torch.ones(1, 1, 32, dtype=torch.float64)
        powers.append(torch.stack([part.square().mean() for part in Scales(wave).split(wave)]))
    assert powers[0].argmax() == 0 and powers[1].argmax() >= 2


def test_planes_have_a_part_of_their_own():
    maps = normal(2, 3, 8, 8)
    parts = Scales(maps).split(maps)
    torch.testing.assert_close(parts[0], maps - maps.mean(-3, keepdim=True))
    for part in parts[1:]:
        torch.testing.assert_close(part, part[:, :1].expand_as(part), rtol=0, atol=1e-12)


def test_means_over_the_live_parameters():
    values, live = normal(3, 1, 4, 4), (normal(3, 1, 4, 4, seed=1) > 0).double()
    live[2] = 0
    found = live_mean(values, live)
    assert found.shape == (3, 1, 1, 1) and found[2] == 0
    torch.testing.assert_close(found[0, 0, 0, 0], values[0][live[0] == 1].mean())
    torch.testing.assert_close(live_mean(values, torch.ones_like(values)), mean(values))


def smooth(count, size, seed):
    """Maps of a few low frequencies, mean zero and variance one."""
    t = torch.arange(size, dtype=torch.float64) / size
    waves = torch.stack([torch.cos(torch.pi * k * (t + 0.5 / size)) for k in range(4)])
    maps = torch.einsum("rpkl,ky,lx->rpyx", normal(count, 1, 4, 4, seed=seed), waves, waves)
    maps = maps - mean(maps)
    return maps / mean(maps.square()).sqrt()


def estimate_of(targets, predictions, scales):
    """What is made of noisy targets, with steps of their own length."""
    zero = torch.zeros_like(targets)
    return filtered(zero[:, 0], targets, predictions, scales, zero.flatten(1)[:, 0])


@pytest.mark.parametrize("noise", [0.2, 0.6])
@pytest.mark.parametrize("planes", [1, 3])
def test_filtering_beats_the_mean(noise, planes):
    count, size = 40, 32
    truth = smooth(count, size, seed=0).expand(-1, planes, -1, -1)
    targets = truth[:, None] + noise * normal(count, 2, planes, size, size, seed=1)
    useless = 0.5 * normal(count, 2, planes, size, size, seed=2)
    estimate = estimate_of(targets, useless, Scales(truth))
    assert estimate.shape == truth.shape
    actual = (estimate - truth).square().mean((1, 2, 3))
    plain = (targets.mean(1) - mean(targets.mean(1)) - truth).square().mean((1, 2, 3))
    assert actual.mean() < 0.5 * plain.mean() and (actual < plain).all()
    assert mean(estimate).abs().max() < 1e-12


def rough(count=40, size=32, noise=1.0):
    """Maps as rough as the noise, so that smoothness cannot help, and two noisy copies of each."""
    truth = 0.6 * normal(count, 1, size, size)
    truth -= mean(truth)
    return truth, truth[:, None] + noise * normal(count, 2, 1, size, size, seed=1)


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.6])
def test_a_good_prediction_helps_even_with_a_wrong_factor(factor):
    truth, targets = rough()
    scales = Scales(truth)
    alone = estimate_of(targets, torch.zeros_like(targets), scales)
    prediction = factor * truth[:, None] + 0.05 * normal(*targets.shape, seed=2)
    helped = estimate_of(targets, prediction, scales)
    assert (helped - truth).square().mean() < 0.1 * (alone - truth).square().mean()


@pytest.mark.parametrize("blur", [0.3, 0.8])
def test_a_noisy_prediction_is_kept_as_far_as_it_is_known(blur):
    truth, targets = rough()
    predictions = truth[:, None] + blur * normal(*targets.shape, seed=2)
    helped = estimate_of(targets, predictions, Scales(truth))
    actual = (helped - truth).square().mean()
    # What is lost when targets and predictions are weighted as is best for independent noise and a known signal.
    best = 1 / (1 / 0.6**2 + 2 / 1.0**2 + 2 / blur**2)
    assert best * 0.95 < actual < 1.5 * best


def test_powers_of_signal_and_noise():
    truth, targets = rough(noise=0.5)
    signal, noise = _powers(targets)
    assert signal.shape == noise.shape == (40, 1, 1, 1)
    assert signal.mean() == pytest.approx(0.6**2, rel=0.02)
    assert noise.mean() == pytest.approx(0.5**2 / 2, rel=0.02)
    assert torch.equal(_powers(truth[:, None].expand_as(targets))[1], torch.zeros_like(noise))


def test_a_wrong_prediction_does_little_harm():
    count, size, noise = 40, 32, 0.4
    truth, other = smooth(count, size, seed=0), smooth(count, size, seed=9)
    targets = truth[:, None] + noise * normal(count, 2, 1, size, size, seed=1)
    scales = Scales(truth)
    alone = estimate_of(targets, torch.zeros_like(targets), scales)
    misled = estimate_of(targets, other[:, None].expand_as(targets), scales)
    assert (misled - truth).square().mean() < 1.5 * (alone - truth).square().mean()


def test_each_map_is_filtered_by_itself():
    truth = smooth(4, 16, seed=0)
    targets = truth[:, None] + 0.5 * normal(4, 2, 1, 16, 16, seed=1)
    predictions = truth[:, None] + 0.1 * normal(4, 2, 1, 16, 16, seed=2)
    shape = estimate_of(targets, predictions, Scales(truth))
    for i in range(4):
        one = estimate_of(targets[i : i + 1], predictions[i : i + 1], Scales(truth))
        torch.testing.assert_close(one[0], shape[i])


def test_noise_that_targets_and_predictions_share_does_not_hide_the_signal():
    """Both come from the same draws: a heavy one moves either, and must not pass for an absence of signal."""
    known, own = rough()[0], 0.4 * normal(40, 1, 32, 32, seed=4)
    noise = 0.5 * normal(40, 2, 1, 32, 32, seed=5)
    estimate = estimate_of((known + own)[:, None] + noise, known[:, None] + noise, Scales(known))
    # The prediction alone leaves the whole of `own` besides its noise.
    prediction = (known + noise.mean(1) - known - own).square().mean()
    assert (estimate - (known + own - mean(known + own))).square().mean() < 0.6 * prediction


def test_steps_without_noise_are_made_longer():
    place, way = smooth(40, 32, seed=0), 0.2 * smooth(40, 32, seed=1)
    steps = way[:, None] + 0.001 * normal(40, 2, 1, 32, 32, seed=2)
    none, scales, farther = torch.zeros_like(steps), Scales(place), torch.ones(40).to(place)
    for more in (0.5, 2):
        found = filtered(place, steps, none, scales, more * farther)
        torch.testing.assert_close(found, place + (1 + more) * way, atol=0.05, rtol=0)


def test_noisy_steps_are_not_made_longer():
    place, noise = smooth(40, 32, seed=0), normal(40, 2, 1, 32, 32, seed=2)
    none, scales, farther = torch.zeros_like(noise), Scales(place), torch.ones(40).to(place)
    near, far = (filtered(0.3 * place, noise, none, scales, more * farther) for more in (0, 2))
    assert (far - near).square().mean() < 0.05 * near.square().mean()
