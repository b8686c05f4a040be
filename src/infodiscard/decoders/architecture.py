"""The decoder network: from the feature of a layer back to the input that it was computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InfodiscardError
from .feature_grid import FeatureGrid

BLOCKS = 6
MOST_ENLARGING = 4
"""Blocks that enlarge, at most; where doubling that often is not enough, the first ones enlarge more."""

RANK = 512  # most values that a vector is reduced to before it is spread over the grid


def grid_sizes(grid: tuple[int, int], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the (height, width) after each enlarging block; empty if the grid is as large as the input already.

    The last is `size`; from there back each is half the next one, rounded up, and the first block takes what remains.
    """
    steps = max(_doublings(a, b) for a, b in zip(grid, size, strict=True))
    parts = [2 ** (steps - 1 - i) for i in range(steps)]
    return [(max(grid[0], -(-size[0] // part)), max(grid[1], -(-size[1] // part))) for part in parts]


def _doublings(cells: int, side: int) -> int:
    """Returns how often a side must about double, at least once if it is too small, at most `MOST_ENLARGING` times."""
    return min(MOST_ENLARGING, max(1, round(math.log2(side / cells)))) if cells < side else 0


@dataclass(frozen=True)
class Enlarging:
    """A transposed convolution along one dimension from `size` cells to exactly `target`, which uses all of them.

    Its kernel absorbs the remainder of the stride, so that no output is padded and nothing is resized afterwards.

    Attributes:
        stride: output cells per input cell.
        kernel: odd or even as the sizes require, and at least `overlap` strides.
        padding: output cells cut off on both sides.
    """

    stride: int
    kernel: int
    padding: int

    @classmethod
    def between(cls, size: int, target: int, overlap: int) -> Enlarging:
        """Returns the convolution for these sizes, whose neighbouring kernels overlap `overlap`-fold."""
        stride = max(1, min(round(target / size), (target - 1) // (size - 1))) if size > 1 else 1
        least = target - (size - 1) * stride
        kernel = max(least, overlap * stride, 2 * overlap - 1)
        kernel += (kernel - least) % 2
        return cls(stride, kernel, (kernel - least) // 2)


def _enlarge(inputs: int, outputs: int, grid: tuple[int, int], target: tuple[int, int], overlap: int) -> nn.Module:
    """Returns a transposed convolution from one grid to another, or a convolution where they are the same."""
    if grid == target:
        return nn.Conv2d(inputs, outputs, 2 * overlap - 1, padding=overlap - 1)
    axes = [Enlarging.between(a, b, overlap) for a, b in zip(grid, target, strict=True)]
    kernel, stride, padding = zip(*((axis.kernel, axis.stride, axis.padding) for axis in axes), strict=True)
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding)  # type: ignore[arg-type]


class ResidualBlock(nn.Module):
    """Two convolutions and a parallel track; where the block enlarges, both tracks begin with a transposed one.

    It starts as its parallel track alone, as its last convolution starts at zero: such blocks need no normalisation to
    train, and without it a sample's output cannot depend on the others of its batch.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        grid: (height, width) of the input.
        target: (height, width) of the output.
    """

    def __init__(self, inputs: int, outputs: int, grid: tuple[int, int], target: tuple[int, int]) -> None:
        super().__init__()
        self.first = _enlarge(inputs, outputs, grid, target, overlap=2)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        plain = inputs == outputs and grid == target
        self.parallel = nn.Identity() if plain else _enlarge(inputs, outputs, grid, target, overlap=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Converts `batch × inputs × grid` to `batch × outputs × target`."""
        return self.parallel(x) + self.second(F.relu(self.first(F.relu(x))))


class Decoder(nn.Module):
    """Six residual blocks that reconstruct an input of the network from a feature.

    The feature is standardised by fixed statistics of its channels, laid out as a map, and enlarged by as many of the
    first blocks as its size requires. Each sample is decoded on its own, in training too.

    Args:
        feature_shape: of the feature, without the batch dimension.
        input_shape: channels, height and width of the network's input.
        width: channels at full size; coarser grids have two or four times as many.

    Raises:
        InfodiscardError: a shape or the width is not allowed.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, feature_shape: Sequence[int], input_shape: Sequence[int], width: int = 16) -> None:
        super().__init__()
        self.feature_shape, self.input_shape = tuple(feature_shape), tuple(input_shape)
        _check(self.feature_shape, self.input_shape, width)
        self.grid = FeatureGrid.of(self.feature_shape, self.input_shape)
        self.width = width
        channels = self.grid.channels
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.prefix = nn.Linear(self.grid.prefix * channels, channels) if self.grid.prefix else None
        self.entrance, channels = self._entrance(channels)
        self.blocks = self._blocks(channels)
        self.head = nn.Conv2d(width, self.input_shape[0], 3, padding=1)

    def _entrance(self, channels: int) -> tuple[nn.Module, int]:
        """Returns the module before the blocks, and its number of output channels."""
        most = 8 * self.width
        if self.grid.kind == "vector":
            rank = nn.Linear(channels, RANK) if channels > RANK else nn.Identity()
            channels, cells = min(channels, RANK), self.grid.cells
            # As many channels as keep all of a long vector.
            spread_to = min(most, max(2 * self.width, -(-channels // math.prod(cells))))
            spread = nn.Linear(channels, spread_to * math.prod(cells))
            return nn.Sequential(rank, spread, nn.Unflatten(1, (spread_to, *cells))), spread_to
        if channels > most:
            return nn.Conv2d(channels, most, 1), most
        return nn.Identity(), channels

    def _blocks(self, channels: int) -> nn.Sequential:
        """Returns the six blocks: first those that enlarge, then those at full size."""
        size = self.input_shape[1], self.input_shape[2]
        grid = min(self.grid.cells[0], size[0]), min(self.grid.cells[1], size[1])
        sizes = grid_sizes(grid, size)
        blocks = []
        for target in [*sizes, *[size] * (BLOCKS - len(sizes))]:
            outputs = self.width * _multiple(size[0] / target[0])
            blocks.append(ResidualBlock(channels, outputs, grid, target))
            channels, grid = outputs, target
        return nn.Sequential(*blocks)

    def calibrate(self, features: torch.Tensor) -> None:
        """Sets the statistics that standardise the features.

        Args:
            features: of some hundred inputs, `batch × feature shape`.
        """
        rows = self._rows(features.detach().float())
        spread = rows.std(0, correction=0)
        # A channel that is constant here must not blow up the noise in it later.
        floor = 1e-3 * spread.square().mean().sqrt()
        self.mean.copy_(rows.mean(0))
        self.std.copy_(torch.where(spread > floor, spread, 1.0 if floor == 0 else spread.square().mean().sqrt()))

    def _rows(self, features: torch.Tensor) -> torch.Tensor:
        """Returns the features as rows of channels, `rows × channels`."""
        if self.grid.kind == "map":
            return features.movedim(1, -1).flatten(0, -2)
        return features.reshape(len(features), -1) if self.grid.kind == "vector" else features.flatten(0, -2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Decodes `batch × feature shape` to `batch × channels × height × width` in the network's input space.

        Raises:
            InfodiscardError: the features have another shape.
        """
        if features.shape[1:] != self.feature_shape:
            raise InfodiscardError(
                f"The feature has shape {tuple(features.shape[1:])}, but this decoder was made for "
                f"{self.feature_shape}; train one for inputs of this size."
            )
        x = self.entrance(self._arranged(features))
        most = (min(x.shape[2], self.input_shape[1]), min(x.shape[3], self.input_shape[2]))
        if x.shape[2:] != most:
            x = F.adaptive_avg_pool2d(x, most)
        return self.head(F.relu(self.blocks(x)))

    def _arranged(self, features: torch.Tensor) -> torch.Tensor:
        """Returns the standardised features as maps (`batch × channels × grid`), or as vectors."""
        grid = self.grid
        if grid.kind == "vector":
            return (features.reshape(len(features), -1) - self.mean) / self.std
        if grid.kind == "map":
            return (features - self.mean[:, None, None]) / self.std[:, None, None]
        x = (features - self.mean) / self.std
        if grid.kind == "tokens":
            x, prefix = x[:, grid.prefix :], x[:, : grid.prefix]
            if self.prefix is not None:
                x = x + self.prefix(prefix.flatten(1))[:, None]
            x = x.unflatten(1, grid.cells)
        return x.movedim(-1, 1)


def _multiple(coarseness: float) -> int:
    """Returns the channels of a grid in multiples of `width`: 1 at full size, 2 at a half or a quarter, 4 below."""
    return 1 if coarseness < 1.5 else 2 if coarseness < 6 else 4


def _check(feature_shape: tuple[int, ...], input_shape: tuple[int, ...], width: int) -> None:
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise InfodiscardError(f"The input has shape {input_shape}; a decoder is for channels × height × width.")
    if min(feature_shape, default=1) < 1:
        raise InfodiscardError(f"The feature has shape {feature_shape}, which is empty; there is nothing to decode.")
    if width < 1:
        raise InfodiscardError(f"width is {width}; give a number of channels above 0, such as 16.")
