"""Control flow of a network: whether the layers that it calls may depend on the values of its input."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from .preserve import preserved
from .probe import Call, arguments

READING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
"""Marks of operations whose result code, or a shape, may depend on, such as `bool(x.max() > 0)` and `nonzero`."""


class _Reads(TorchDispatchMode):
    """Notes whether an operation within it reads values of tensors.

    Attributes:
        seen: whether one has.
    """

    seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = self.seen or not READING.isdisjoint(func.tags)
        return func(*args, **(kwargs or {}))


def reads_values(model: nn.Module, example: Call) -> bool:
    """Whether a forward pass of an example (`batch × …` each) looks at values, so that another may take another way."""
    args, kwargs = arguments(example)
    with preserved(model) as plain, _Reads() as reads:
        plain(*args, **kwargs)
    return reads.seen
