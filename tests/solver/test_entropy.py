"""Formulas against numerical integrals, optimality conditions and slow twins."""

import math

import pytest
import torch

from infodiscard.solver.entropy import concentration, gaussian_entropy, identity_entropy, linear_sigma


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


@pytest.mark.parametrize(("alpha", "tau"), [(1.5, 0.01), (0.7, 1e-4)])
def test_linear_sigma_meets_the_constraint_and_the_optimality_condition(alpha, tau):
    weight = normal(7, 5) * torch.tensor([0.1, 1, 2, 5, 0.7], dtype=torch.float64)
    sigma = linear_sigma(weight, alpha, tau)
    norms = weight.square().sum(0)
    scale = tau * weight.square().sum()
    torch.testing.assert_close((sigma.square() * norms).sum(), alpha * scale)
    # KKT: ∂(Σ log σ)/∂σ_i = λ ∂E/∂σ_i with one λ for all units.
    free = sigma.clone().requires_grad_()
    (left,) = torch.autograd.grad(gaussian_entropy(free).sum(), free)
    (right,) = torch.autograd.grad((free.square() * norms).sum(), free)
    ratio = left / right
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    # No other σ that meets the constraint has more entropy.
    others = sigma * (0.3 * normal(200, 5, seed=1)).exp()
    others *= (alpha * scale / (others.square() * norms).sum(1, keepdim=True)).sqrt()
    assert (gaussian_entropy(others).sum(1) < gaussian_entropy(sigma).sum()).all()


def test_linear_sigma_of_the_identity_is_what_a_layer_has_that_ignores_nothing():
    sigma = linear_sigma(torch.eye(6, dtype=torch.float64) * 3, 1.5, 0.01)
    torch.testing.assert_close(
        gaussian_entropy(sigma), torch.full((6,), identity_entropy(1.5, 0.01), dtype=torch.float64)
    )


def test_linear_sigma_does_not_depend_on_units_of_the_feature():
    weight = normal(4, 3)
    torch.testing.assert_close(linear_sigma(weight * 100, 1.5, 0.01), linear_sigma(weight, 1.5, 0.01))
    rotation = torch.linalg.qr(normal(4, 4, seed=2)).Q
    torch.testing.assert_close(linear_sigma(rotation @ weight, 1.5, 0.01), linear_sigma(weight, 1.5, 0.01))


def test_linear_sigma_is_infinite_where_the_layer_does_not_look():
    sigma = linear_sigma(torch.tensor([[1.0, 0.0, 2.0]]), 1.5, 0.01)
    assert sigma.isinf().tolist() == [False, True, False]


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
