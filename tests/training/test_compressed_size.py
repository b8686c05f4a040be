"""Sizes of compressed weights, counted by hand."""

from __future__ import annotations

import torch
from torch import nn

from infodiscard.training.compressed_size import relative_indices, size_report
from infodiscard.training.pruning import prune
from infodiscard.training.weight_sharing import share


def test_relative_indices_of_han_et_als_figure() -> None:
    """Figure 2 of Han et al. 2016: spans of 3 bits, and a filler zero where a gap is wider than 8."""
    weights = torch.zeros(16)
    weights[[0, 3, 14]] = torch.tensor([3.4, 0.9, 1.7])
    steps, values = relative_indices(weights, 3)
    assert steps.tolist() == [1, 3, 8, 3]
    torch.testing.assert_close(values, torch.tensor([3.4, 0.9, 0.0, 1.7]))


def test_relative_indices_at_the_edges_of_a_span() -> None:
    weights = torch.zeros(30)
    weights[[3, 7, 12, 24]] = torch.tensor([1.0, 2.0, 3.0, 4.0])  # gaps of 4, 4, 5 and 12
    steps, values = relative_indices(weights, 2)
    assert steps.tolist() == [4, 4, 4, 1, 4, 4, 4] and values.tolist() == [1, 2, 0, 3, 0, 0, 4]
    restored = torch.zeros(30)
    restored[steps.cumsum(0) - 1] = values
    assert torch.equal(restored, weights)
    assert [len(part) for part in relative_indices(torch.zeros(5), 2)] == [0, 0]


def test_size_report_counts_by_hand() -> None:
    """40 weights, of which four are left, on one gap wider than 2**5."""
    module = nn.Linear(40, 1)
    with torch.no_grad():
        module.weight.zero_()
        module.weight[0, [0, 1, 2, 39]] = torch.tensor([0.5, 0.5, 0.5, -1.0])
    table = size_report(module).set_index("name")
    row = table.loc["weight"]
    assert (row.parameters, row.left, row.share_left, row.shared_values) == (40, 4, 0.1, 2)
    assert row.index_bits == 2  # of 0.5, -1 and the filler's 0
    assert row.dense == 160
    assert row.pruned == -(-5 * (32 + 5) // 8)  # five entries: steps of 1, 1, 1, 32 to the filler, and 5
    assert row["shared"] == -(-(3 * 32 + 5 * (2 + 5)) // 8)
    values, steps = 3 * 1 + 2 + 2, 3 * 1 + 2 + 2  # bits of the codes: 3 × 0.5, 0 and -1; 3 × 1, 32 and 5
    assert row.huffman == -(-(3 * 32 + values + steps + 8 * (3 + 33)) // 8)  # code lengths of 3 values, steps 0 … 32
    others, total = table.loc["others"], table.loc["total"]
    assert others.parameters == 1 and others.huffman == others.dense == 4
    assert table.loc[["others", "total"], ["shared_values", "index_bits"]].isna().all(axis=None)
    for column in ("parameters", "left", "dense", "pruned", "shared", "huffman"):
        assert total[column] == row[column] + others[column]
    assert total.ratio == total.dense / total.huffman and total.share_left == 5 / 41


def test_each_stage_shrinks_a_network() -> None:
    module = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Linear(300, 200))
    for layer in module:
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    whole = size_report(module).set_index("name").loc["total"]
    assert whole.pruned == whole.dense  # nothing is left out, and so no positions are stored
    prune(module, 1.6)
    share(module)
    total = size_report(module).set_index("name").loc["total"]
    assert total.dense == whole.dense > total.pruned > total["shared"] > total.huffman
    assert total.ratio > 15
