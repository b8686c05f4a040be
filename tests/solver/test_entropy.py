"""Formulas against numerical integrals and slow twins."""

import math

import pytest
import torch

from infodiscard.solver.entropy import concentration, gaussian_entropy


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 7.5])
def test_gaussian_entropy_is_the_integral(sigma):
    x = torch.linspace(-10, 10, 4001, dtype=torch.float64) * sigma
    log_p = -0.5 * (x / sigma) ** 2 - math.log(sigma * math.sqrt(2 * math.pi))
    expected = -torch.trapezoid(log_p.exp() * log_p, x)
    torch.testing.assert_close(gaussian_entropy(torch.tensor(sigma, dtype=torch.float64)), expected, rtol=0, atol=1e-7)


def test_gaussian_entropy_keeps_the_shape():
    sigma = normal(2, 3, 4).exp()
    entropy = gaussian_entropy(sigma)
    assert entropy.shape == sigma.shape
    torch.testing.assert_close(gaussian_entropy(sigma * math.e), entropy + 1)


def test_concentration_against_a_loop():
    entropy = normal(2, 3, 4, 5)
    mask = normal(3, 4, 5, seed=1) > 0.2
    expected = torch.empty(2, 3, dtype=torch.float64)
    for i in range(2):
        for j in range(3):
            inside = [float(entropy[i, j, y, x]) for y in range(4) for x in range(5) if mask[j, y, x]]
            outside = [float(entropy[i, j, y, x]) for y in range(4) for x in range(5) if not mask[j, y, x]]
            expected[i, j] = sum(outside) / len(outside) - sum(inside) / len(inside)
    torch.testing.assert_close(concentration(entropy, mask), expected)
    torch.testing.assert_close(concentration(entropy + 5, mask), expected)
    torch.testing.assert_close(concentration(entropy, ~mask), -expected)


def test_concentration_is_nan_where_object_or_background_is_empty():
    mask = torch.zeros(3, 2, 2, dtype=torch.bool)
    mask[1], mask[2, 0, 0] = True, True
    found = concentration(normal(3, 2, 2), mask)
    assert found.isnan().tolist() == [True, True, False]
    assert not concentration(torch.full((2, 2), 4.0), mask[2]).any()
