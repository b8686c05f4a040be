"""Pruning of small weights, and training that keeps pruned weights at zero or shared ones equal."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from ..errors import InfodiscardError


def weight_tensors(module: nn.Module) -> dict[str, tuple[nn.Parameter, str]]:
    """Returns the weight tensors of conv and linear layers and their kind, "conv" or "linear", by parameter name.

    Raises:
        InfodiscardError: there is no such layer, or a weight is not finite.
    """
    kinds = {}
    for prefix, layer in module.named_modules():
        if isinstance(layer, _ConvNd | nn.Linear):
            kinds[f"{prefix}.weight" if prefix else "weight"] = "linear" if isinstance(layer, nn.Linear) else "conv"
    tensors = {name: (weight, kinds[name]) for name, weight in module.named_parameters() if name in kinds}
    if not tensors:
        raise InfodiscardError(f"{type(module).__name__} has no conv or linear layer; give a module that has one.")
    for name, (weight, _) in tensors.items():
        if not weight.isfinite().all():
            raise InfodiscardError(
                f"'{name}' has weights that are not finite; give a network whose training went well."
            )
    return tensors


@torch.no_grad()
def prune(module: nn.Module, threshold: float) -> dict[str, float]:
    """Sets small weights to exactly 0, in place.

    A weight w of a tensor W is pruned if |w| < threshold × std(W): "a quality parameter multiplied by the standard
    deviation of a layer's weights" (Han, Pool, Tran & Dally, "Learning both Weights and Connections", NIPS 2015,
    section 4).

    Args:
        module: any module with conv or linear layers.
        threshold: in standard deviations, 0 or more.

    Returns:
        The share of weights that are left, 0 … 1, by parameter name.

    Raises:
        InfodiscardError: the threshold is negative or not finite, or would leave nothing of a layer; the module is then
            as it was.
    """
    if not (math.isfinite(threshold) and threshold >= 0):
        raise InfodiscardError(f"The threshold is {threshold}; give a number of standard deviations, 0 or more.")
    tensors = weight_tensors(module)
    small = {name: weight.abs() < threshold * weight.std(correction=0) for name, (weight, _) in tensors.items()}
    for name, (weight, _) in tensors.items():
        if weight.any() and not (weight * ~small[name]).any():
            raise InfodiscardError(
                f"A threshold of {threshold:g} standard deviations leaves no weight of '{name}'; give a smaller one."
            )
    # Not by torch.nn.utils.prune: it multiplies, which leaves -0.0, and moves the weights behind the biases.
    for name, (weight, _) in tensors.items():
        weight.masked_fill_(small[name], 0)
    return {name: float((weight != 0).double().mean()) for name, (weight, _) in tensors.items()}


def hold(module: nn.Module, what: str) -> Callable[[], None]:
    """Returns a function that edits gradients so that SGD preserves pruning or sharing.

    Call it after each `backward()` and before the optimiser's step. SGD with fresh momentum, also Nesterov's, and with
    weight decay, then gives equal updates to equal weights, to the last bit.

    Args:
        module: as pruned or shared; its parameters may move to another device later.
        what: "zeros": the weights that are 0 now stay 0. "shared": those of a tensor that are equal now stay equal,
            moved by the sum of their gradients (Han et al. 2016, section 3.3), and zeros stay 0.

    Raises:
        InfodiscardError: `what` is neither.
    """
    if what not in ("zeros", "shared"):
        raise InfodiscardError(f"Weights can be held as 'zeros' or 'shared', not as '{what}'.")
    held = [weight for weight, _ in weight_tensors(module).values()]
    marks = [weight.detach() == 0 if what == "zeros" else _groups(weight.detach()) for weight in held]

    @torch.no_grad()
    def keep() -> None:
        for index, weight in enumerate(held):
            if weight.grad is None:
                continue
            mark = marks[index] = marks[index].to(weight.grad.device)
            if what == "zeros":
                weight.grad.masked_fill_(mark, 0)
            else:
                sums = torch.bincount(mark.flatten(), weight.grad.flatten())
                sums[0] = 0
                weight.grad.copy_(sums[mark])

    return keep


def _groups(weight: torch.Tensor) -> torch.Tensor:
    """Numbers the different values of a tensor from 1 (int64, of the same shape); zeros are 0."""
    return (weight.unique(return_inverse=True)[1] + 1).masked_fill_(weight == 0, 0)
