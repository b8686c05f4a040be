"""Huffman coding: how many bits a sequence of symbols takes."""

from __future__ import annotations

import heapq

import numpy as np


def coded_bits(counts: np.ndarray) -> int:
    """Returns the bits that a Huffman code takes for all symbols together; none for a symbol that is alone.

    They are the sum of the counts at the code tree's inner nodes. Nodes of equal count are paired all at once, so that
    millions of weights that share no value yet cost as little as a few.

    Args:
        counts: how often each symbol occurs, int64, `symbols`; symbols that do not occur are ignored.
    """
    occurring, numbers = np.unique(counts[counts > 0], return_counts=True)
    nodes = dict(zip(occurring.tolist(), numbers.tolist(), strict=True))  # number of nodes by count
    heap = list(nodes)
    heapq.heapify(heap)
    bits = 0

    def add(count: int, number: int) -> int:
        """Adds inner nodes, and returns the bits that they stand for."""
        if count not in nodes:
            heapq.heappush(heap, count)
        nodes[count] = nodes.get(count, 0) + number
        return count * number

    while heap:
        least = heapq.heappop(heap)
        pairs, single = divmod(nodes.pop(least), 2)
        if pairs:
            bits += add(2 * least, pairs)
        if single and heap:
            other = heap[0]
            nodes[other] -= 1
            if not nodes[other]:
                heapq.heappop(heap)
                del nodes[other]
            bits += add(least + other, 1)
    return bits
