"""Stack of rows of one shape: a tensor that may be larger than memory."""

from __future__ import annotations

import tempfile
from typing import IO

import numpy as np
import torch

from ...core.files import translate_os_errors

IN_MEMORY = 16 << 20
"""Bytes that are kept in memory, where joining the rows takes them twice; a larger tensor is in a temporary file, of
which the system holds what is in use."""


class Stack:
    """Stacks rows of one shape.

    Attributes:
        shape: of a row; `None` before the first.
    """

    def __init__(self, dtype: torch.dtype, in_memory: int = IN_MEMORY) -> None:
        self.shape: torch.Size | None = None
        self._dtype, self._limit, self._missing = dtype, in_memory, 0
        self._rows: list[torch.Tensor] = []
        self._file: IO[bytes] | None = None
        self._count = 0

    def append(self, row: torch.Tensor | None) -> None:
        """Adds a row, of any shape that all share; `None` adds zeros in the shape of the others."""
        if row is None and self.shape is None:
            self._missing += 1
            return
        if self.shape is None:
            assert row is not None
            self.shape = row.shape
            for _ in range(self._missing):
                self.append(None)
        self._rows.append(torch.zeros(self.shape, dtype=self._dtype) if row is None else row.to(self._dtype))
        self._count += 1
        if self._rows[0].nbytes * len(self._rows) > self._limit:
            self._spill()

    def _spill(self) -> None:
        """Moves the rows that are in memory to the file, which has no name and is gone with the tensor."""
        with translate_os_errors("keep the images in", tempfile.gettempdir()):
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
            for row in self._rows:
                self._file.write(row.contiguous().numpy().data)
        self._rows = []

    def tensor(self) -> torch.Tensor:
        """Returns all rows, `n × …`; to be called once, at the end."""
        if self.shape is None:
            return torch.zeros(self._missing, 0, dtype=self._dtype)
        if self._file is None:
            return torch.stack(self._rows)
        self._spill()
        self._file.flush()
        numpy_type = torch.zeros(0, dtype=self._dtype).numpy().dtype
        with self._file:  # the memory map holds the file by itself
            return torch.from_numpy(np.memmap(self._file, numpy_type, "r+", shape=(self._count, *self.shape)))
