"""Sizes of compressed weights, in the storage formats of Han, Mao & Dally, "Deep Compression" (ICLR 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from .huffman import coded_bits
from .pruning import weight_tensors

POSITION_BITS: Mapping[str, int] = {"conv": 8, "linear": 5}
"""Bits per relative position of a weight that is left, by kind of layer (section 2)."""


def size_report(module: nn.Module) -> pd.DataFrame:
    """Returns the storage that the weights take as they are now.

    Returns:
        A row for each weight tensor of a conv or linear layer, one for all `others` (biases and norm layers, stored as
        they are) and the `total`, with the columns `name`; `parameters`; `left`, those that are not 0; `share_left`, 0
        … 1; `shared_values`, how many different ones are left; `index_bits`, per index into the codebook; and in bytes
        `dense` (float32), `pruned` (float32 and relative positions), `shared` (codebook, indices and relative
        positions) and `huffman` (indices and positions as Huffman codes, with the tables of code lengths); `ratio`,
        dense / huffman.
    """
    rows: list[dict[str, Any]] = [
        {"name": name, **_sizes(weight.detach(), POSITION_BITS[kind])}
        for name, (weight, kind) in weight_tensors(module).items()
    ]
    others = sum(parameter.numel() for parameter in module.parameters()) - sum(row["parameters"] for row in rows)
    if others:
        plain = dict.fromkeys(("dense", "pruned", "shared", "huffman"), 4 * others)
        rows.append({"name": "others", "parameters": others, "left": others, **plain})
    added = ("parameters", "left", "dense", "pruned", "shared", "huffman")
    rows.append({"name": "total", **{key: sum(row[key] for row in rows) for key in added}})
    table = pd.DataFrame(rows).astype({"shared_values": "Int64", "index_bits": "Int64"})
    table.insert(3, "share_left", table["left"] / table["parameters"])
    return table.assign(ratio=table["dense"] / table["huffman"])


def relative_indices(weights: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns a sparse vector as Han et al. (2016, figure 2) store it.

    An entry's position is the step from the one before it, 1 … 2**bits; where a gap is wider, fillers of value 0 come
    every 2**bits.

    Args:
        weights: `N`.
        bits: per step.

    Returns:
        The entries' steps (int64, `entries`; the first is from just before the vector) and their values (`entries`).
    """
    positions = weights.nonzero().flatten()
    gaps = positions.diff(prepend=positions.new_tensor([-1]))
    fillers = (gaps - 1) // 2**bits
    entries = (fillers + 1).cumsum(0) - 1
    total = len(positions) + int(fillers.sum())
    steps = positions.new_full((total,), 2**bits)
    steps[entries] = gaps - fillers * 2**bits
    values = weights.new_zeros(total)
    values[entries] = weights[positions]
    return steps, values


def _sizes(weight: torch.Tensor, position_bits: int) -> dict[str, int]:
    """Returns a weight tensor's row of `size_report`; positions count in row-major order."""
    flat = weight.cpu().flatten()
    left = int(flat.count_nonzero())
    steps, entries = relative_indices(flat, position_bits)
    # NumPy's `unique` takes a sixth of the time of PyTorch's.
    values, counts = np.unique(entries.double().numpy(), return_counts=True)
    if left == len(flat):
        position_bits = 0  # as no weight is missing
    index_bits = max(len(counts) - 1, 0).bit_length()
    codebook = 32 * len(counts)
    bits = {
        "dense": 32 * len(flat),
        "pruned": len(steps) * (32 + position_bits),
        "shared": codebook + len(steps) * (index_bits + position_bits),
        "huffman": codebook + _huffman_bits(counts) + _huffman_bits(np.bincount(steps.numpy())),
    }
    shared_values = int(np.count_nonzero(values))
    row = {"parameters": len(flat), "left": left, "shared_values": shared_values, "index_bits": index_bits}
    return row | {key: -(-count // 8) for key, count in bits.items()}


def _huffman_bits(counts: np.ndarray) -> int:
    """Returns the bits of all symbols' codes, and of the table of their lengths, a byte each, that decoding takes.

    Args:
        counts: how often each symbol occurs, int64, `symbols`.
    """
    return 8 * len(counts) + coded_bits(counts)
