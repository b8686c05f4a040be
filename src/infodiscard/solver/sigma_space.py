"""Parametrisation of σ: one value per pixel, per input unit or per cell of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import InfodiscardError


@dataclass(frozen=True)
class SigmaSpace:
    """The free parameters of σ and how they cover the input.

    A parameter covers one or more input units (channel × row × column). Parameters have the shape
    `planes × rows × columns` (`pixel`: 1 × H × W, `unit`: C × H × W, `grid:G`: 1 × G × G, or 1 × 1 × G where the input
    has one row only).

    Attributes:
        name: `pixel`, `unit` or `grid:G`.
        shape: of the free parameters.
        input_shape: (channels, height, width) of one input.
    """

    name: str
    shape: tuple[int, int, int]
    input_shape: tuple[int, int, int]

    @classmethod
    def parse(cls, name: str, input_shape: tuple[int, int, int]) -> SigmaSpace:
        """Converts `pixel`, `unit` or `grid:G` to a space for inputs of `input_shape`.

        Raises:
            InfodiscardError: it is none of these, or the grid is finer than the input.
        """
        channels, height, width = input_shape
        if name == "pixel":
            return cls(name, (1, height, width), input_shape)
        if name == "unit":
            return cls(name, (channels, height, width), input_shape)
        kind, _, size = str(name).partition(":")
        finest = width if height == 1 else min(height, width)
        if kind == "grid" and size.isdigit() and 1 <= int(size) <= finest:
            return cls(name, (1, min(int(size), height), int(size)), input_shape)
        raise InfodiscardError(f"sigma was '{name}'; it can be 'pixel', 'unit' or 'grid:G' with G from 1 to {finest}.")

    def expand(self, values: torch.Tensor) -> torch.Tensor:
        """Spreads parameters (`… × planes × rows × columns`) over the input units (`… × C or 1 × H × W`)."""
        if self.shape[1:] == self.input_shape[1:]:
            return values
        rows, columns = self._cells(values.device)
        # By index, not by interpolation: exact, and its adjoint is deterministic on every device.
        return values[..., rows, :][..., columns]

    def gather(self, values: torch.Tensor) -> torch.Tensor:
        """Sums values of the input units (`… × C × H × W`) over those that share a parameter; adjoint of `expand`."""
        if self.name == "unit":
            return values
        values = values.sum(-3, keepdim=True)
        if self.shape[1:] == self.input_shape[1:]:
            return values
        rows, columns = self._membership(values)
        return rows @ values @ columns.T

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Averages values of the input units (`… × C × H × W`) over those that share a parameter; inverts `expand`."""
        return self.gather(values) / self.weights(values)

    def unit_mean(self, values: torch.Tensor) -> torch.Tensor:
        """Averages a value per parameter (`n × planes × rows × columns`) over the input units, `n`."""
        weights = self.weights(values)
        return (values * weights).sum((1, 2, 3)) / weights.sum()

    def weights(self, like: torch.Tensor) -> torch.Tensor:
        """Returns the number of input units that each parameter covers, `planes × rows × columns`.

        Its type and device are those of `like`; in float64 on the way, in which they are whole numbers everywhere.
        """
        return self.gather(torch.ones(self.input_shape, dtype=torch.float64, device=like.device)).to(like.dtype)

    def _cells(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """The row and the column of the parameters of each row (`H`) and column (`W`) of the input."""
        (_, g, w), (_, height, width) = self.shape, self.input_shape
        return (
            torch.arange(height, device=device) * g // height,
            torch.arange(width, device=device) * w // width,
        )

    def _membership(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same as matrices of zeros and ones, `rows × H` and `columns × W`."""
        matrices = []
        for index, count in zip(self._cells(like.device), self.shape[1:], strict=True):
            one_hot = index[None, :] == torch.arange(count, device=like.device)[:, None]
            matrices.append(one_hot.to(like.dtype))
        return matrices[0], matrices[1]
