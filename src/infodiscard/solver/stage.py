"""Stage of a search that is under way: how far it is, and what is needed to continue it later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Snapshot = Mapping[str, torch.Tensor]
"""All that a search has come to, by name; from it another process, on the same kind of device, goes on."""


@dataclass(frozen=True)
class Stage:
    """A search after one of its steps.

    Attributes:
        spent: passes of each sample until now, `n`.
        expected: those that it is expected to take in all, `n`; the most that are allowed, before more is known.
        snapshot: makes a snapshot; `None` where the search cannot be continued.
    """

    spent: torch.Tensor
    expected: torch.Tensor
    snapshot: Callable[[], Snapshot] | None = None


Watch = Callable[[Stage], None]
"""Is told every stage of a search."""
