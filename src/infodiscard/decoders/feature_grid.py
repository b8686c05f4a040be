"""Feature grids: how the values of a feature are arranged in space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PREFIXES = (0, 1, 2, 3, 4, 5, 8, 9, 16, 17)
"""Numbers of class, distillation and register tokens that precede a transformer's grid of tokens."""

SMALLEST_GRID = 4  # least cells per side of the grid that a vector is spread over


@dataclass(frozen=True)
class FeatureGrid:
    """The arrangement of a feature on a grid of cells.

    Attributes:
        kind: `map` (channels × height × width), `channels-last` (height × width × channels), `tokens` (prefix tokens,
            then a grid's, each with its channels) or `vector` (no grid: everything else).
        channels: features per cell, or of the whole vector.
        cells: (height, width); of a vector, of the grid that it is spread over.
        prefix: number of tokens before those of the grid.
    """

    kind: str
    channels: int
    cells: tuple[int, int]
    prefix: int = 0

    @classmethod
    def of(cls, feature_shape: Sequence[int], input_shape: Sequence[int]) -> FeatureGrid:
        """Recognises the arrangement of a feature.

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
    """Returns the (height, width) of that many tokens: of the input's aspect, else square; `None` if there is none."""
    for aspect in (size[0] / size[1], 1.0):
        rows = round(math.sqrt(max(tokens, 0) * aspect))
        if rows > 1 and tokens % rows == 0 and round(rows / aspect) == tokens // rows:
            return rows, tokens // rows
    return None


def _smallest(side: int) -> int:
    """Halves the side of an input while it stays large enough."""
    while side >= 2 * SMALLEST_GRID - 1:
        side = -(-side // 2)
    return side
