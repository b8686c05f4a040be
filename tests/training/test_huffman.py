"""Huffman coding against known distributions and a slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from infodiscard.training.huffman import coded_bits


def slow_bits(counts: list[int]) -> int:
    """Bits of a Huffman code, two least nodes at a time."""
    nodes, bits = sorted(counts), 0
    while len(nodes) > 1:
        one, other, *nodes = nodes
        bits += one + other
        nodes = sorted([*nodes, one + other])
    return bits


def test_bits_of_a_known_distribution() -> None:
    """Cormen et al.'s example (Introduction to Algorithms, section 16.3): 224,000 bits for 100,000 letters."""
    assert coded_bits(np.array([45, 13, 12, 16, 9, 5])) == 224
    assert coded_bits(np.array([1, 2, 4, 8, 16])) == 1 * 4 + 2 * 4 + 4 * 3 + 8 * 2 + 16  # the tree is a comb
    assert coded_bits(np.array([7] * 8)) == 8 * 7 * 3
    assert coded_bits(np.array([9, 0])) == 0 and coded_bits(np.array([], int)) == 0


@pytest.mark.parametrize("seed", range(20))
def test_bits_equal_their_slow_twins_and_are_within_a_bit_of_the_entropy(seed: int) -> None:
    """With many equal counts, whose nodes are paired all at once."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, (3, 9, 1000)[seed % 3], rng.integers(2, 90))
    bits, shares = coded_bits(counts), counts / counts.sum()
    entropy = -(shares * np.log2(shares)).sum() * counts.sum()
    assert bits == slow_bits(counts.tolist()) and entropy <= bits * (1 + 1e-12) and bits < entropy + counts.sum()
