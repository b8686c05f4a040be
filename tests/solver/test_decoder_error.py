"""The decoder's error and its gradients against plain autograd and finite differences."""

import math

import pytest
import torch

from closed_forms import random
from infodiscard.solver.decoder_error import ReconstructionError
from infodiscard.solver.sample_noise import SampleNoise


def make_error(n=1, **options):
    """h(x) = tanh(W x), and a decoder that is nonlinear, too."""
    first, second = random(12, 16, seed=1) / 4, random(16, 12, seed=2) / 4

    def decoder(f):
        return (f @ second.T).sin().unflatten(1, (1, 4, 4))

    return ReconstructionError(lambda x: (x.flatten(1) @ first.T).tanh(), decoder, random(n, 1, 4, 4), **options)


def test_errors_gradient_is_the_derivative_of_the_entropy():
    """Against finite differences of ½ Σ log E e² on the same draws."""
    error, rows = make_error(), torch.tensor([0])
    noise = SampleNoise(error.inputs, 0, "test").draw([0], 64)
    log_sigma = torch.full((1, 1, 4, 4), math.log(0.1), dtype=torch.float64)

    def entropy(log_sigma):
        return 0.5 * error.errors(rows, log_sigma.exp()[:, None] * noise).mean(1).log().sum()

    z = log_sigma.exp()[:, None] * noise
    squares = error.errors(rows, z).mean(1)
    level, errors, constraint, gain, _ = error.slopes(rows, z, 1 / squares, torch.ones_like(z))
    assert torch.allclose(errors.mean(1), squares)
    assert torch.allclose(level, error(rows, z))
    assert torch.allclose(constraint, error.gradient(rows, z)[1])
    for unit in ((0, 0, 0, 0), (0, 0, 2, 3)):
        step = torch.zeros_like(log_sigma)
        step[unit] = 1e-5
        numeric = (entropy(log_sigma + step) - entropy(log_sigma - step)) / 2e-5
        assert (z * gain).mean(1)[unit].item() == pytest.approx(numeric.item(), rel=1e-5)


def test_errors_are_those_of_a_loop_whatever_the_batch_size():
    for size in (None, 1, 5, 64):
        error = make_error(3, batch_size=size)
        rows, noise = torch.tensor([2, 0]), 0.3 * random(2, 4, 1, 4, 4, seed=3)
        clean = error.restored()
        torch.testing.assert_close(error.errors(rows, 0 * noise)[:, 0], (clean - error.inputs)[rows].square())
        squares = error.errors(rows, noise)
        for i, row in enumerate(rows):
            for j in range(4):
                x = error.inputs[row : row + 1]
                noisy = ReconstructionError(error._function, error._decoder, x + noise[i, j]).restored()
                torch.testing.assert_close(squares[i, j], (noisy - x)[0].square())


def test_products_with_the_jacobian():
    """Jᵀ (v ∘ √w), with J from autograd."""
    error, rows = make_error(), torch.tensor([0])
    noise, weights = 0.3 * random(1, 1, 1, 4, 4, seed=3), random(1, 1, 4, 4, seed=4).exp()
    signs = random(1, 1, 1, 4, 4, seed=5).sign()
    *_, size = error.slopes(rows, noise, weights, signs)
    jacobian = torch.autograd.functional.jacobian(lambda x: error._decoder(error._function(x)), error.inputs + noise[0])
    expected = (signs * weights.sqrt()).flatten() @ jacobian.reshape(16, 16)
    torch.testing.assert_close(size.flatten(), expected)
