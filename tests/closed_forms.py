"""Closed forms of SID, and the linear layers that have them."""

import math

import torch

from infodiscard.solver.entropy import GAUSSIAN_CONSTANT


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def identity_entropy(alpha, tau):
    """SID of every pixel at the identity layer, ½ log(ατ) + C, in nats."""
    return 0.5 * math.log(alpha * tau) + GAUSSIAN_CONSTANT


def linear_sigma(weight, alpha, tau):
    """The optimum of f = Wx (W: `features × n`): σ_i² = α δ_f² / (n ‖w_i‖²), δ_f² = τ‖W‖²; infinite where w_i = 0."""
    norms = weight.square().sum(0)
    return (alpha * tau * norms.sum() / (weight.shape[1] * norms)).sqrt()


def linear_problem(spread=1.0, channels=1, size=8):
    """The weight of a layer with many features whose input columns have very different norms, and two inputs."""
    n = channels * size * size
    weight = random(2 * n, n) * (spread * random(n, seed=1)).exp()
    return weight, random(2, channels, size, size, seed=2)
