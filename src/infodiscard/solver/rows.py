"""Some samples of a problem, by number: known to the host and to the device, so that neither has to ask the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rows:
    """Some samples of a problem.

    A device that computes far ahead of the host stands still whenever the host asks it for a number. So which samples
    are still being worked on is kept on both sides, and asked for once, where a mask decides it (`kept`).

    Attributes:
        numbers: of the samples, ascending or not, for the host.
        index: the same on the problem's device, `r`.
    """

    numbers: tuple[int, ...]
    index: torch.Tensor

    @classmethod
    def of(cls, numbers: Sequence[int], device: torch.device | str = "cpu") -> Rows:
        """Returns the samples of these numbers, for a device."""
        # Not waited for: what is computed with it waits on the device.
        return cls(tuple(numbers), torch.tensor(numbers, dtype=torch.long).to(device, non_blocking=True))

    @classmethod
    def first(cls, count: int, device: torch.device | str = "cpu") -> Rows:
        """Returns the samples 0 … count − 1, for a device."""
        return cls(tuple(range(count)), torch.arange(count, device=device))

    def __len__(self) -> int:
        return len(self.numbers)

    def kept(self, mask: torch.Tensor) -> Rows:
        """Returns those where `mask` (`r`) is true; the host waits for the device, the one time in a step."""
        kept = [number for number, keep in zip(self.numbers, mask.tolist(), strict=True) if keep]
        return self if len(kept) == len(self) else Rows.of(kept, self.index.device)

    def split(self, count: int) -> list[Rows]:
        """Splits them into parts of `count` samples, the last with what is left."""
        if count >= len(self):
            return [self] if self.numbers else []
        starts = range(0, len(self), count)
        parts = zip(starts, self.index.split(count), strict=True)
        return [Rows(self.numbers[start : start + count], part) for start, part in parts]
