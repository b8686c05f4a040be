"""The decoder: from the feature of a layer back to the input that it was computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InfodiscardError

BLOCKS = 6
MOST_ENLARGING = 4
"""How many of the blocks enlarge, at most; where doubling that often is not enough, the first ones enlarge more."""

PREFIXES = (0, 1, 2, 3, 4, 5, 8, 9, 16, 17)
"""Numbers of class, distillation and register tokens that precede a transformer's grid of tokens."""

SMALLEST_GRID = 4  # cells per side that a feature without a grid of its own is taken to
RANK = 512  # most directions that a vector is reduced to before it is spread over the grid


@dataclass(frozen=True)
class Layout:
    """How a feature lies on a grid.

    Attributes:
        kind: `map` (channels × height × width), `channels-last` (height × width × channels), `tokens` (prefix tokens,
            then a grid's, each with its channels) or `vector` (no grid: everything else).
        channels: features per cell, or of the whole vector.
        grid: (height, width) in cells; of a vector, of the grid that it is spread over.
        prefix: number of tokens before the grid's.
    """

    kind: str
    channels: int
    grid: tuple[int, int]
    prefix: int = 0

    @classmethod
    def of(cls, feature_shape: Sequence[int], input_shape: Sequence[int]) -> Layout:
        """Recognises the layout of a feature.

        A map of three dimensions is taken for channels-last if its first two have the aspect of the input and its last
        two have not.

        Args:
            feature_shape: without the batch dimension.
            input_shape: channels, height, width.
        """
        size = (input_shape[1], input_shape[2])
        if len(feature_shape) == 3:
            first, second, third = feature_shape
            if not _is_grid((second, third), size) and _is_grid((first, second), size):
                return cls("channels-last", third, (first, second))
            if second * third > 1:
                return cls("map", first, (second, third))
        if len(feature_shape) == 2:
            for prefix in PREFIXES:
                grid = _token_grid(feature_shape[0] - prefix, size)
                if grid is not None and prefix <= math.prod(grid) / 4:  # other numbers are a coincidence
                    return cls("tokens", feature_shape[1], grid, prefix)
        return cls("vector", math.prod(feature_shape), (_smallest(size[0]), _smallest(size[1])))


def _is_grid(grid: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a grid of these cells has the aspect of an input of `size` pixels, but for rounding to a whole cell."""
    (height, width), (rows, columns) = size, grid
    return min(grid) > 1 and abs(rows / height - columns / width) < 1 / min(height, width)


def _token_grid(tokens: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Returns the grid of so many tokens: of the input's aspect, else square; `None` if there is none."""
    for aspect in (size[0] / size[1], 1.0):
        rows = round(math.sqrt(max(tokens, 0) * aspect))
        if rows > 1 and tokens % rows == 0 and round(rows / aspect) == tokens // rows:
            return rows, tokens // rows
    return None


def _smallest(side: int) -> int:
    """Halves the side of an input as often as it stays large enough."""
    while side >= 2 * SMALLEST_GRID - 1:
        side = -(-side // 2)
    return side


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
    """A transposed convolution along one dimension that takes `size` cells to exactly `target`, and uses all of them.

    Its kernel absorbs what the stride leaves over, so that no output is padded and nothing is resized afterwards.

    Attributes:
        stride: output cells per input cell.
        kernel: odd or even as the sizes ask, and not below `overlap` strides.
        padding: output cells cut off on both sides.
    """

    stride: int
    kernel: int
    padding: int

    @classmethod
    def between(cls, size: int, target: int, overlap: int) -> Enlarging:
        """Returns the one for these sizes, whose neighbouring kernels overlap `overlap`-fold."""
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
        inputs: channels it takes.
        outputs: channels it gives.
        grid: (height, width) it takes.
        target: (height, width) it gives.
    """

    def __init__(self, inputs: int, outputs: int, grid: tuple[int, int], target: tuple[int, int]) -> None:
        super().__init__()
        self.first = _enlarge(inputs, outputs, grid, target, overlap=2)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        plain = inputs == outputs and grid == target
        self.parallel = nn.Identity() if plain else _enlarge(inputs, outputs, grid, target, overlap=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Takes `batch × inputs × grid` to `batch × outputs × target`."""
        return self.parallel(x) + self.second(F.relu(self.first(F.relu(x))))


class Decoder(nn.Module):
    """Six residual blocks that take a feature to an input of the network.

    The feature is standardised by fixed statistics of its channels, laid out as a map, and enlarged by as many of the
    first blocks as its size asks. Each sample is decoded on its own, in training too.

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
        self.layout = Layout.of(self.feature_shape, self.input_shape)
        self.width = width
        channels = self.layout.channels
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.prefix = nn.Linear(self.layout.prefix * channels, channels) if self.layout.prefix else None
        self.entrance, channels = self._entrance(channels)
        self.blocks = self._blocks(channels)
        self.head = nn.Conv2d(width, self.input_shape[0], 3, padding=1)

    def _entrance(self, channels: int) -> tuple[nn.Module, int]:
        """Returns what comes before the blocks, and the channels that it leaves."""
        most = 8 * self.width
        if self.layout.kind == "vector":
            rank = nn.Linear(channels, RANK) if channels > RANK else nn.Identity()
            channels, cells = min(channels, RANK), self.layout.grid
            # As many channels as keep all of a long vector.
            given = min(most, max(2 * self.width, -(-channels // math.prod(cells))))
            spread = nn.Linear(channels, given * math.prod(cells))
            return nn.Sequential(rank, spread, nn.Unflatten(1, (given, *cells))), given
        if channels > most:
            return nn.Conv2d(channels, most, 1), most
        return nn.Identity(), channels

    def _blocks(self, channels: int) -> nn.Sequential:
        """Returns the six blocks: first those that enlarge, then those at full size."""
        size = self.input_shape[1], self.input_shape[2]
        grid = min(self.layout.grid[0], size[0]), min(self.layout.grid[1], size[1])
        sizes = grid_sizes(grid, size)
        blocks = []
        for target in [*sizes, *[size] * (BLOCKS - len(sizes))]:
            given = self.width * _multiple(size[0] / target[0])
            blocks.append(ResidualBlock(channels, given, grid, target))
            channels, grid = given, target
        return nn.Sequential(*blocks)

    def calibrate(self, features: torch.Tensor) -> None:
        """Sets the statistics that features are standardised by.

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
        """Returns the features as rows of channels."""
        if self.layout.kind == "map":
            return features.movedim(1, -1).flatten(0, -2)
        return features.reshape(len(features), -1) if self.layout.kind == "vector" else features.flatten(0, -2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Takes `batch × feature shape` to `batch × channels × height × width` in the network's input space.

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
        layout = self.layout
        if layout.kind == "vector":
            return (features.reshape(len(features), -1) - self.mean) / self.std
        if layout.kind == "map":
            return (features - self.mean[:, None, None]) / self.std[:, None, None]
        x = (features - self.mean) / self.std
        if layout.kind == "tokens":
            x, prefix = x[:, layout.prefix :], x[:, : layout.prefix]
            if self.prefix is not None:
                x = x + self.prefix(prefix.flatten(1))[:, None]
            x = x.unflatten(1, layout.grid)
        return x.movedim(-1, 1)


def _multiple(coarseness: float) -> int:
    """Returns how many times `width` a grid has channels: 1 at full size, 2 at a half or a quarter, 4 below."""
    return 1 if coarseness < 1.5 else 2 if coarseness < 6 else 4


def _check(feature_shape: tuple[int, ...], input_shape: tuple[int, ...], width: int) -> None:
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise InfodiscardError(f"The input has shape {input_shape}; a decoder is for channels × height × width.")
    if min(feature_shape, default=1) < 1:
        raise InfodiscardError(f"The feature has shape {feature_shape}, which is empty; there is nothing to decode.")
    if width < 1:
        raise InfodiscardError(f"width is {width}; give a number of channels above 0, such as 16.")
