"""Stacks of rows: in memory or in a temporary file, the same tensor."""

import pytest
import torch

from infodiscard.data.sources.stack import Stack


@pytest.mark.parametrize("in_memory", [1 << 20, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_rows_come_back_in_order_from_memory_or_disk(in_memory, dtype):
    rows = (torch.rand(50, 3, 4, generator=torch.Generator().manual_seed(0)) > 0.5).to(dtype)
    stack = Stack(dtype, in_memory)
    assert stack.shape is None
    for row in rows:
        stack.append(row)
    assert stack.shape == (3, 4)
    result = stack.tensor()
    assert torch.equal(result, rows) and result.dtype == dtype
    result[0] = 0  # it can be written to


def test_missing_rows_are_zeros_in_the_shape_of_the_others():
    stack = Stack(torch.float32)
    for row in (None, torch.ones(2, 2), None):
        stack.append(row)
    assert stack.tensor().sum((1, 2)).tolist() == [0, 4, 0]
    nothing = Stack(torch.float32)
    nothing.append(None)
    assert nothing.tensor().shape == (1, 0)
