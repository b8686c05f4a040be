"""Random numbers at the edge of what can be drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

MOST = 16_384
"""Draws of which the least or greatest is taken; fewer of large tensors, which hold many draws themselves."""

WORK = 1 << 22


class Extreme(TorchDispatchMode):
    """Within it, each random number that PyTorch draws is the least, or greatest, of many.

    What hangs on a random number, however rarely, then shows in one of the two.

    Args:
        least: whether it is the least.
    """

    def __init__(self, least: bool) -> None:
        super().__init__()
        self._choose = torch.minimum if least else torch.maximum

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawn = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in func.tags or not isinstance(drawn, torch.Tensor):
            return drawn
        if drawn.is_complex() or not drawn.numel():
            return drawn
        extreme = drawn.clone()
        for _ in range(min(MOST, WORK // drawn.numel())):
            extreme = self._choose(extreme, func(*args, **(kwargs or {})))
        return drawn.copy_(extreme)
