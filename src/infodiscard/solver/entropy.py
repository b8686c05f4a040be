"""Entropy of Gaussian noise, and its concentration; all entropies are in nats."""

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


def concentration(entropy: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Concentration: how much more of the background than of the object is discarded (paper, Eq. 7).

    Args:
        entropy: pixel-level entropy, nats, `… × height × width`.
        mask: true on the object, broadcastable to `entropy`.

    Returns:
        In nats, mean over the background minus mean over the object, of shape `…`; NaN where either of them is empty.
    """
    inside = mask.expand_as(entropy)
    size, pixels = inside.sum((-2, -1)), entropy.shape[-2] * entropy.shape[-1]
    zero = torch.zeros((), dtype=entropy.dtype, device=entropy.device)
    total_in = torch.where(inside, entropy, zero).sum((-2, -1))
    total_out = torch.where(inside, zero, entropy).sum((-2, -1))
    return total_out / (pixels - size) - total_in / size
