"""Reconstruction uncertainty against closed forms and a convex optimum."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from infodiscard.solver.decoder_error import ReconstructionError
from infodiscard.solver.effort import Effort
from infodiscard.solver.ru import ReconstructionProblem, expected_errors, maximise_reconstruction_error
from infodiscard.solver.sigma_space import SigmaSpace

ALPHA, TAU = 1.5, 0.01
C = 0.5 * math.log(2 * math.pi * math.e)
EFFORT = Effort(max_passes=2000)


def solve(feature, decoder, x, **options):
    space = SigmaSpace.parse("pixel", tuple(x.shape[1:]))
    problem = ReconstructionProblem(ReconstructionError(feature, decoder, x), space, ALPHA, TAU, 50.0)
    return maximise_reconstruction_error(problem, **{"effort": EFFORT} | options)


def inputs(n=2, channels=1, size=6, seed=0):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_identity_with_identity_decoder_gives_sid():
    found = solve(lambda x: x, lambda f: f, inputs(), effort=Effort(max_passes=5000))
    expected = 0.5 * math.log(ALPHA * TAU) + C
    assert found.entropy.mean((1, 2, 3)).tolist() == pytest.approx([expected] * 2, abs=0.03)
    assert found.distance.tolist() == pytest.approx([ALPHA] * 2, rel=0.05)


def linear_problem(size=6, floor=0.1, seed=1):
    """h(x) = W x, g(f) = V f + shift, and the matrices of both."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(size * size)
    far = ((place[:, None] // size - place // size) ** 2 + (place[:, None] % size - place % size) ** 2).double()
    rough = torch.randn(len(place), len(place), generator=generator, dtype=torch.float64)
    w = torch.eye(len(place), dtype=torch.float64) * torch.rand(len(place), generator=generator).double().add(0.5)
    v = torch.exp(-far / 2) * (1 + 0.5 * rough)
    shift = floor * torch.randn(len(place), generator=generator, dtype=torch.float64)
    x = inputs(1, size=size)
    off = shift + x.flatten() - v @ w @ x.flatten()  # so that the clean error is `shift`

    def decoder(f):
        return (f.flatten(1) @ v.T + off).unflatten(1, (1, size, size))

    return x, (lambda z: z.flatten(1) @ w.T), decoder, w, v @ w, shift


def best_of_linear(w, a, shift, tau=TAU):
    """The optimum of the convex problem in q = σ², by SciPy: mean ½ log(shift² + A² q) at ‖W‖² q = α τ ‖W‖²."""
    cost, gains = w.square().sum(0).numpy(), a.square().numpy()
    clean, budget = shift.square().numpy(), ALPHA * tau * cost.sum()

    def negative(p):  # p: the share of the budget that each pixel has
        inside = clean + gains @ (p * budget / cost)
        return -0.5 * np.log(inside).sum(), -0.5 * (gains.T @ (1 / inside)) * budget / cost

    found = minimize(
        negative,
        np.full(len(cost), 1 / len(cost)),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * len(cost),
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 1000, "ftol": 1e-10},
    )
    assert found.success, found.message
    return -found.fun / len(clean) + C


def test_linear_network_and_decoder_reach_the_convex_optimum():
    x, feature, decoder, w, a, shift = linear_problem()
    found = solve(feature, decoder, x)
    best = best_of_linear(w, a, shift)
    uniform = (0.5 * (shift.square() + a.square().sum(1) * ALPHA * TAU).log() + C).mean().item()
    assert uniform < best - 0.1, "the problem is too easy to tell anything"
    assert found.entropy.mean().item() == pytest.approx(best, abs=0.03)
    assert found.gap.item() >= best - found.entropy.mean().item()
    floor = (0.5 * shift.square().log() + C).mean().item()
    assert found.floor.mean().item() == pytest.approx(floor, abs=1e-6)


def test_what_only_a_sum_keeps_cannot_be_reconstructed():
    """The paper's toy: f = Σ x_i with its best linear decoder; every pixel is used, none can be reconstructed."""
    n, x = 16, inputs(1, size=4).float()
    found = solve(lambda z: z.sum((1, 2, 3))[:, None], lambda f: (f / n)[..., None, None].expand(-1, 1, 4, 4), x)
    lost = (x - x.mean()).square()  # what a decoder that knows the sum alone must miss
    assert found.floor.mean().item() == pytest.approx((0.5 * lost.log() + C).mean().item(), abs=1e-4)
    # The mean of 16 pixels is known to √(ατ / 16) of noise; that is all that can be added to what is missing anyway.
    most = (0.5 * (lost + ALPHA * TAU / n).log() + C).mean().item()
    assert found.entropy.mean().item() == pytest.approx(most, abs=0.02)


def test_a_sample_is_solved_by_itself():
    x, feature, decoder, *_ = linear_problem(size=4)
    both = torch.cat([x, x + 0.5])
    alone = solve(feature, decoder, both[1:], effort=Effort(max_passes=400))
    together = solve(feature, decoder, both, effort=Effort(max_passes=400))
    assert torch.allclose(together.log_sigma[1:], alone.log_sigma, atol=1e-9)
    assert torch.allclose(together.entropy[1:], alone.entropy, atol=1e-9)


def test_rescaling_the_feature_changes_nothing():
    """Coherency: the layer a quarter as large, the decoder's first layer four times."""
    x, feature, decoder, *_ = linear_problem(size=4)
    effort = Effort(max_passes=400)
    plain = solve(feature, decoder, x, effort=effort)
    scaled = solve(lambda z: feature(z) / 4, lambda f: decoder(4 * f), x, effort=effort)
    assert torch.allclose(plain.entropy, scaled.entropy, atol=1e-9)
    assert torch.allclose(plain.log_sigma, scaled.log_sigma, atol=1e-9)


def test_the_walk_ends_when_its_gap_is_small_and_never_spends_more_than_allowed():
    x = inputs(3)
    easy = solve(lambda z: z, lambda f: f, x, effort=Effort(max_passes=20_000, tolerance=0.1))
    assert easy.converged.all() and (easy.passes < 3000).all()
    short = solve(lambda z: z, lambda f: f, x, effort=Effort(max_passes=256, tolerance=1e-6))
    assert not short.converged.any() and (short.passes <= 256).all() and short.gap.isfinite().all()


def test_a_pixel_that_the_decoder_needs_alone_is_never_left_out():
    """Of two groups of pixels one is a hundred times as loud; with the identity decoder all have the same entropy."""
    loud = torch.ones(1, 6, 6, dtype=torch.float64)
    loud[:, :3] = 10.0
    found = solve(lambda z: z * loud, lambda f: f / loud, inputs(1))
    sigma = found.log_sigma.exp()[0]
    assert (sigma > 1e-3).all()
    assert (sigma[:, 3:].mean() / sigma[:, :3].mean()).item() == pytest.approx(10, rel=0.3)


def test_expected_errors_of_a_linear_network_are_the_closed_form():
    x, feature, decoder, _, a, shift = linear_problem(size=4)
    space = SigmaSpace.parse("pixel", (1, 4, 4))
    problem = ReconstructionProblem(ReconstructionError(feature, decoder, x), space, ALPHA, TAU, 50.0)
    log_sigma = problem.small + torch.linspace(-1, 1, 16, dtype=torch.float64).view(1, 1, 4, 4)
    squares = expected_errors(problem, log_sigma, problem.stream("test"), 4000)
    expected = shift.square() + a.square() @ (2 * log_sigma.flatten()).exp()
    torch.testing.assert_close(squares.flatten(), expected, rtol=0.15, atol=0)
