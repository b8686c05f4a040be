"""Memory of this process: how it is kept, and how much it was at its peak."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Need:
    """Memory that passes of a network up to a layer take, in bytes.

    Attributes:
        weights: parameters and buffers, which are in memory once.
        batch: activations of one noisy batch, kept for its backward pass, and the noise.
        inputs: noisy inputs in that batch.
    """

    weights: int
    batch: int
    inputs: int

    @property
    def whole(self) -> int:
        """Both together."""
        return self.weights + self.batch

    def __str__(self) -> str:
        sizes = (self.weights, self.batch)
        weights, batch = (f"{size / 1e9:.2g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB" for size in sizes)
        return f"{weights} for the weights and {batch} for a batch of {self.inputs} noisy inputs"


def weights_size(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers; what several names share counts once."""
    tensors = {id(each): each for each in [*module.parameters(), *module.buffers()]}
    return sum(each.numel() * each.element_size() for each in tensors.values())


@contextmanager
def kept_for_backward(module: nn.Module) -> Iterator[list[int]]:
    """Notes the bytes that a pass in the block keeps for its backward pass, without the module's own tensors.

    Yields:
        A list of them, one number for each piece of memory.
    """
    import torch  # not by `infodiscard --help`

    own, sizes = {each.data_ptr() for each in [*module.parameters(), *module.buffers()]}, list[int]()
    seen: dict[int, torch.Tensor] = {}  # held, so that no address is used twice

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout is torch.strided and not tensor.is_nested:
            address = tensor.data_ptr() if tensor.numel() else 0
            if address not in own and address not in seen:
                seen[address] = tensor.detach()
                sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes


def keep_memory() -> None:
    """Tells glibc to keep freed memory instead of handing it back to the kernel.

    A solve frees and allocates the same activations thousands of times. By default glibc maps each large one afresh and
    the kernel zeroes its pages again; in some containers these page faults cost more than the arithmetic.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # <malloc.h>: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 64 << 20)
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        pass


def peak_memory() -> int | None:
    """Returns the most bytes of memory that this process has had to itself so far; `None` where that is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
