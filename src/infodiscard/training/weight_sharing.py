"""Weight sharing: k-means of a tensor's weights, each of which is replaced by its cluster's centre.

After Han, Mao & Dally, "Deep Compression" (ICLR 2016), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InfodiscardError, nearest
from .pruning import weight_tensors

BITS: Mapping[str, int] = {"conv": 8, "linear": 5}
"""Bits per index of a shared value, by kind of layer (Han et al. 2016, section 3)."""

MOST_BITS = 16


@torch.no_grad()
def share(module: nn.Module, bits: int | Mapping[str, int] = BITS, iterations: int = 1000) -> None:
    """Lets the weights of each tensor share a few values, in place; weights that are 0 stay 0.

    Args:
        module: any module with conv or linear layers.
        bits: per index of a shared value, 1 … 16, so that a tensor has at most 2**bits values, counting 0 if it occurs;
            for all, or by "conv", "linear" or parameter name, where a name goes before its kind, and what is not named
            is as in `BITS`.
        iterations: of k-means at most; it ends once nothing changes.

    Raises:
        InfodiscardError: bits or iterations are out of range, or for an unknown name.
    """
    tensors, tensor_bits = weight_tensors(module), bits_by_tensor(module, bits)
    if iterations < 0:
        raise InfodiscardError(f"iterations is {iterations}; give 0 or more.")
    for name, (weight, _) in tensors.items():
        flat = weight.double().cpu().flatten()
        left = flat != 0
        values = flat[left]
        count = 2 ** tensor_bits[name] - int(len(values) < len(flat))
        if len(values.unique()) > count:
            centroids = k_means(values, count, iterations)
            flat[left] = centroids[torch.bucketize(values, _borders(centroids))]
            weight.copy_(flat.view_as(weight))


def bits_by_tensor(module: nn.Module, bits: int | Mapping[str, int]) -> dict[str, int]:
    """Returns the bits per index of each weight tensor, by parameter name.

    Args:
        module: any module with conv or linear layers.
        bits: as `share` takes them.

    Raises:
        InfodiscardError: bits are out of range, or for an unknown name.
    """
    tensors = weight_tensors(module)
    wanted = dict.fromkeys(BITS, bits) if isinstance(bits, int) else {**BITS, **bits}
    unknown = [name for name in wanted if name not in tensors and name not in BITS]
    if unknown:
        raise InfodiscardError(
            f"There are no weights '{unknown[0]}' to share; near it are {nearest(unknown[0], [*tensors])}."
        )
    for name, count in wanted.items():
        if not (isinstance(count, int) and 1 <= count <= MOST_BITS):
            raise InfodiscardError(f"The bits of '{name}' are {count}; give a whole number from 1 to {MOST_BITS}.")
    return {name: wanted.get(name, wanted[kind]) for name, (_, kind) in tensors.items()}


def k_means(values: torch.Tensor, count: int, iterations: int = 1000) -> torch.Tensor:
    """Returns the cluster centres of numbers, ascending, by Lloyd's algorithm.

    It starts from centres spread evenly over the range, which keeps the few large weights best (Han et al. 2016,
    section 3.2). A centre that loses all its numbers stays where it is. On sorted numbers a cluster is a range, whose
    sum is a difference of cumulative sums, so that an iteration costs count × log(numbers). Not
    `scipy.cluster.vq.kmeans2`: it compares every number with every centre (400 times as long for 262,144 weights and
    256 centres) and does not stop when nothing changes any more.

    Args:
        values: float64, `N`, at least one.
        count: of centres.
        iterations: at most; it ends once no number changes its cluster.

    Returns:
        float64, `count`.
    """
    values = values.sort().values
    centroids = torch.linspace(float(values[0]), float(values[-1]), count, dtype=values.dtype)
    sums = F.pad(values.cumsum(0), (1, 0))
    edges = torch.empty(0, dtype=torch.int64)
    for _ in range(iterations):
        inner = torch.searchsorted(values, _borders(centroids), right=True)
        before, edges = edges, F.pad(F.pad(inner, (1, 0)), (0, 1), value=len(values))
        if torch.equal(before, edges):
            break
        size = edges.diff()
        centroids = torch.where(size > 0, sums[edges].diff() / size.clamp(min=1), centroids)
    return centroids


def _borders(centroids: torch.Tensor) -> torch.Tensor:
    """Returns the midpoints of ascending centres, one fewer; a number on one belongs to the lower centre."""
    return (centroids[1:] + centroids[:-1]) / 2
