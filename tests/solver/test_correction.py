"""Corrections from fresh draws, against closed forms."""

import math

import pytest
import torch

from infodiscard.solver.correction import GROUPS, REGION, SYSTEMATIC, FreshDraws, contrast, region
from infodiscard.solver.feature_distance import FeatureDistance
from infodiscard.solver.sample_noise import SampleNoise
from infodiscard.solver.sigma_space import SigmaSpace

SPACE = SigmaSpace.parse("pixel", (2, 8, 8))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draws_at(error: torch.Tensor, draws: int, seed: int = 0) -> tuple[FreshDraws, FeatureDistance]:
    """Draws for the identity at log σ = log 0.1 + error, one map for every sample; the optimum is flat."""
    inputs = normal(len(error), 2, 8, 8, seed=1)
    distance, log_sigma = FeatureDistance(lambda x: x, inputs), math.log(0.1) + error
    fresh, rows = FreshDraws.none(log_sigma), torch.arange(len(error))
    noise = SampleNoise(inputs, seed, "test")
    for _ in range(draws // 64):
        unit = noise.draw(rows.tolist(), 64)
        z = log_sigma.exp()[:, None] * unit
        level, gradient = distance.gradient(rows, z)
        fresh.add(rows, SPACE.gather(z * gradient), SPACE.gather(gradient.square()), level, distance(rows, 0.1 * unit))
    return fresh, distance


def exact_gap(error: torch.Tensor) -> torch.Tensor:
    """½ (log mean r − mean log r) with r = σ², as h is linear."""
    ratio = (2 * error).exp()
    return 0.5 * (ratio.mean((1, 2, 3)).log() - ratio.log().mean((1, 2, 3)))


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3, 0.6])
def test_the_correction_of_a_linear_layer_is_the_closed_form(spread):
    error = spread * normal(40, 1, 8, 8, seed=2)
    fresh, _ = draws_at(error, 256)
    found = fresh.correction(SPACE, error, torch.ones_like(error))
    miss = found.gap - exact_gap(error)
    assert (miss.abs() <= 3 * (found.gap_se.square() + found.systematic.square()).sqrt()).all()
    # No bias beyond the systematic error and the error of the mean over the samples.
    assert miss.mean().abs() < SYSTEMATIC * exact_gap(error).mean() + 3 * miss.std() / 40**0.5
    assert fresh.power() == pytest.approx(torch.full((40,), 2.0).tolist())


def test_the_square_has_no_noise_in_its_mean():
    """At the optimum a plain square would be half the variance of g over the draws; the product is none."""
    error = torch.zeros(200, 1, 8, 8, dtype=torch.float64)
    fresh, _ = draws_at(error, 64)
    found = fresh.correction(SPACE, error, torch.ones_like(error))
    mean = fresh.slope.sum(1) / 64
    plain = ((mean / mean.mean((1, 2, 3), keepdim=True) - 1).square().mean((1, 2, 3)) / 4).mean()
    assert plain > 0.003
    assert found.gap.mean().abs() < 0.1 * plain
    assert 0.5 < found.gap.std() / found.gap_se.mean() < 2


def test_a_few_parameters_far_off_do_not_stand_for_the_map():
    """σ of one pixel is e² times too large: its r is 55 or so, and (r − 1)² / 4n is 50 times what is missing."""
    error = torch.zeros(10, 1, 8, 8, dtype=torch.float64)
    error[:, 0, 3, 4] = 2.0
    fresh, _ = draws_at(error, 256)
    found, exact = fresh.correction(SPACE, error, torch.ones_like(error)), exact_gap(error)
    ratio = (2 * error).exp() / (2 * error).exp().mean((1, 2, 3), keepdim=True)
    quadratic = (ratio - 1).square().mean((1, 2, 3)) / 4
    assert (quadratic > 10 * exact).all()
    assert (found.gap < 3 * exact).all() and (found.gap > 0.3 * exact).all()
    assert ((found.gap - exact).abs() < 3 * (found.gap_se.square() + found.systematic.square()).sqrt()).all()


def test_what_is_far_off_is_told_from_few_draws():
    """A patch that weighs tenfold, seen by few features, so that r of one pixel is mostly noise: the patch is not."""
    error = torch.zeros(40, 1, 16, 16, dtype=torch.float64)
    error[..., 5:9, 6:10] = 1.2
    space, weight = SigmaSpace.parse("pixel", (1, 16, 16)), normal(32, 256, seed=3)
    weight /= weight.norm(dim=0)
    distance = FeatureDistance(lambda x: x.flatten(1) @ weight.T, normal(40, 1, 16, 16, seed=1))
    draws, log_sigma, rows = FreshDraws.none(error), math.log(0.1) + error, torch.arange(40)
    unit = SampleNoise(distance.inputs, 0, "test").draw(rows.tolist(), 64)
    z = log_sigma.exp()[:, None] * unit
    level, gradient = distance.gradient(rows, z)
    draws.add(rows, space.gather(z * gradient), space.gather(gradient.square()), level, distance(rows, 0.1 * unit))
    found, exact = draws.correction(space, error, torch.ones_like(error)), exact_gap(error)
    ratio = (2 * error).exp() / (2 * error).exp().mean((1, 2, 3), keepdim=True)
    assert ((ratio - 1).square().mean((1, 2, 3)) / 4 > 2 * exact).all()
    assert found.gap.mean() == pytest.approx(exact.mean().item(), rel=0.25)
    error = (found.gap_se.square() + found.systematic.square()).sqrt()
    assert ((found.gap - exact).abs() < 3 * error).all()


def test_draws_that_weigh_much_widen_the_error():
    error = 0.3 * normal(20, 1, 8, 8, seed=2)
    even, _ = draws_at(error, 128)
    heavy, _ = draws_at(error, 128)
    heavy.slope[:, 3] *= 8  # one group met a draw that outweighs all others
    free = torch.ones_like(error)
    assert (heavy.correction(SPACE, error, free).gap_se > 2 * even.correction(SPACE, error, free).gap_se).all()


def test_capped_parameters_have_nothing_to_gain():
    error = 0.3 * normal(20, 1, 8, 8, seed=2)
    free = torch.ones_like(error)
    free[..., :4] = 0
    fresh, _ = draws_at(error, 256)
    found = fresh.correction(SPACE, error, free)
    assert (found.shift[..., :4] == 0).all()
    half = exact_gap(error[..., 4:]) / 2
    assert ((found.gap - half).abs() < 4 * (found.gap_se.square() + found.systematic.square()).sqrt()).all()


def test_regions_are_averages_of_the_shift():
    error = 0.2 * normal(30, 1, 8, 8, seed=2)
    error[..., :4, :] += 0.3
    error -= error.mean((1, 2, 3), keepdim=True)
    fresh, _ = draws_at(error, 512)
    found = fresh.correction(SPACE, error, torch.ones_like(error))
    masks = torch.zeros(30, 8, 8, dtype=torch.bool)
    masks[:, :4] = True
    value, se = contrast(found.shift, found.shift_se, found.gap, SPACE, masks)
    torch.testing.assert_close(
        value, found.shift[:, 0, 4:].mean((1, 2)) - found.shift[:, 0, :4].mean((1, 2)), rtol=1e-6, atol=1e-9
    )
    # The optimum is flat, so that the concentration reached is all error.
    reached = error[:, 0, 4:].mean((1, 2)) - error[:, 0, :4].mean((1, 2))
    assert (reached.abs() > 0.1).all()
    assert ((reached + value).abs() < 3 * se).all() and (reached + value).abs().mean() < 0.4 * reached.abs().mean()
    inside, _ = region(found.shift, found.shift_se, found.gap, SPACE, masks)
    outside, se = region(found.shift, found.shift_se, found.gap, SPACE, ~masks)
    torch.testing.assert_close(outside - inside, value)
    assert (se >= REGION * (2 * found.gap.clamp(min=0)).sqrt()).all()
    nothing, _ = region(found.shift, found.shift_se, found.gap, SPACE, torch.zeros_like(masks))
    assert nothing.isnan().all()


def test_forgetting_concerns_single_samples():
    error = 0.2 * normal(3, 1, 8, 8, seed=2)
    fresh, _ = draws_at(error, 64)
    kept = fresh.slope[[0, 2]].clone()
    fresh.forget(torch.tensor([1]))
    assert fresh.count.tolist() == [64, 0, 64] and (fresh.slope[1] == 0).all()
    assert torch.equal(fresh.slope[[0, 2]], kept) and fresh.slope.shape[1] == GROUPS
