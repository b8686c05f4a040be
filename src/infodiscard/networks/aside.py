"""Large tensors set aside in a temporary file: put back if they are changed, without a second copy in memory.

The weights of a network are noted before every layer and block, and hardly any network writes them. So a large tensor
is written to a file once in a process, and afterwards compared with it, a piece at a time.
"""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import torch
from torch.utils.weak import WeakIdKeyDictionary

LARGE, PIECE = 1 << 20, 1 << 22
"""Bytes from which on a tensor is set aside, and of a piece of it that is in memory twice."""


@dataclass(frozen=True, eq=False)
class Aside:
    """The values of a tensor at one moment.

    Attributes:
        file: that holds them and vanishes with this; or, where none can be written, a copy in memory.
        shape, dtype: of the tensor.
    """

    file: IO[bytes] | torch.Tensor
    shape: torch.Size
    dtype: torch.dtype

    def __post_init__(self) -> None:
        """Closes the file when nothing needs this any more."""
        if not isinstance(self.file, torch.Tensor):
            weakref.finalize(self, self.file.close)

    def same(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is of this shape and type, and the same to the last bit, NaN included."""
        if tensor.shape != self.shape or tensor.dtype != self.dtype:
            return False
        pieces = zip(_pieces(tensor.detach()), self._stored(), strict=True)
        return all(_equal(_bits(piece), stored) for piece, stored in pieces)

    def write(self, tensor: torch.Tensor) -> None:
        """Makes a tensor what it was, in its own memory if that is as large."""
        if tensor.shape != self.shape or tensor.dtype != self.dtype:
            tensor.data = torch.empty(self.shape, dtype=self.dtype, device=tensor.device)
        place = tensor.detach()
        if not place.is_contiguous():
            place = torch.empty(self.shape, dtype=self.dtype, device=tensor.device)
        for piece, stored in zip(_pieces(place), self._stored(), strict=True):
            piece.copy_(stored.view(self.dtype).view(piece.shape))
        if place.data_ptr() != tensor.data_ptr():
            tensor.detach().copy_(place)

    def _stored(self) -> Any:
        """Yields the pieces as bytes, each in an array of its own that is used again for the next."""
        if isinstance(self.file, torch.Tensor):
            yield from map(_bits, _pieces(self.file))
            return
        self.file.seek(0)
        size = PIECE // self.dtype.itemsize * self.dtype.itemsize
        held = np.empty(size, np.uint8)
        while count := self.file.readinto(held):  # type: ignore[attr-defined]
            yield torch.from_numpy(held[:count])


_KEPT: WeakIdKeyDictionary = WeakIdKeyDictionary()
"""Tensor → what was set aside of it last."""


def is_large(tensor: torch.Tensor) -> bool:
    """Whether a tensor is set aside; others are copied."""
    return tensor.numel() * tensor.element_size() >= LARGE and not (tensor.is_conj() or tensor.is_neg())


def set_aside(tensor: torch.Tensor) -> Aside:
    """Returns the values of a tensor, written to a file unless that was done before and they have not changed since."""
    kept = _KEPT.get(tensor)
    if kept is None or not kept.same(tensor):
        kept = Aside(_written(tensor.detach()), tensor.shape, tensor.dtype)
        _KEPT[tensor] = kept
    return kept


def _written(tensor: torch.Tensor) -> IO[bytes] | torch.Tensor:
    """Writes a tensor to a file without a name; copies it where there is no room for that."""
    file = None
    try:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `Aside`
        for piece in _pieces(tensor):
            content = memoryview(_bits(piece).numpy())  # type: ignore[arg-type]
            while content:
                content = content[file.write(content) :]
    except OSError:
        if file is not None:
            file.close()
        return tensor.to("cpu", copy=True).contiguous()
    return file


def _pieces(tensor: torch.Tensor) -> Any:
    """Yields a tensor's values in order, PIECE bytes at a time, flat; views of it, where it is contiguous."""
    flat = tensor.reshape(-1)
    yield from flat.split(PIECE // tensor.element_size())


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two rows of bytes are the same; eight at a time, where they lie so."""
    if len(one) % 8 == 0 and one.data_ptr() % 8 == 0 and one.storage_offset() % 8 == 0:
        one, other = one.view(torch.int64), other.view(torch.int64)
    return torch.equal(one, other)


def _bits(piece: torch.Tensor) -> torch.Tensor:
    """The bytes of a flat tensor, on the host: a device's memory is for the network alone."""
    return piece.cpu().view(torch.uint8)
