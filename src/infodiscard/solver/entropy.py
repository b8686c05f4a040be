"""Pure formulas: the entropy of the noise and what is read off it. All entropies are in nats."""

from __future__ import annotations

import math

import torch

GAUSSIAN_CONSTANT = 0.5 * math.log(2 * math.pi * math.e)
"""C = ½ log 2πe, the entropy of a standard normal variable."""


def gaussian_entropy(sigma: torch.Tensor) -> torch.Tensor:
    """Entropy of independent normal noise, element by element: H_i = log σ_i + ½ log 2πe (paper, Eq. 3).

    Args:
        sigma: standard deviations, any shape.

    Returns:
        Nats per element, in the shape of `sigma`.
    """
    return sigma.log() + GAUSSIAN_CONSTANT


def identity_entropy(alpha: float, tau: float) -> float:
    """SID of every pixel at the identity layer, ½ log(ατ) + C: what a layer that ignores nothing has."""
    return 0.5 * math.log(alpha * tau) + GAUSSIAN_CONSTANT


def linear_sigma(weight: torch.Tensor, alpha: float, tau: float) -> torch.Tensor:
    """The exact solution for a linear layer f = Wx with one σ per input unit: σ_i² = α δ_f² / (n ‖w_i‖²), δ_f² = τ‖W‖².

    Args:
        weight: W, `features × n`.
        alpha, tau: as everywhere.

    Returns:
        σ, of length n; infinite where the layer does not look at all.
    """
    norms = weight.square().sum(0)
    return (alpha * tau * norms.sum() / (weight.shape[1] * norms)).sqrt()


def concentration(entropy: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How much more of the background than of the object is discarded (paper, Eq. 7).

    Args:
        entropy: pixel-level entropy, `… × height × width`.
        mask: true on the object, broadcastable to `entropy`.

    Returns:
        Mean over the background minus mean over the object, of shape `…`; NaN where either of them is empty.
    """
    inside = mask.expand_as(entropy)
    size, pixels = inside.sum((-2, -1)), entropy.shape[-2] * entropy.shape[-1]
    zero = torch.zeros((), dtype=entropy.dtype, device=entropy.device)
    total_in = torch.where(inside, entropy, zero).sum((-2, -1))
    total_out = torch.where(inside, zero, entropy).sum((-2, -1))
    return total_out / (pixels - size) - total_in / size
