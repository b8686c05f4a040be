"""Strips of maps that are lines: one for each sample, and in it a row for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .palette import GROUND
from .style import BAR, paper_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = 0.2  # inches for a layer
BETWEEN = 0.16  # inches between strips
WIDTH = (3.5, 10.0)  # least and greatest width of a strip, in inches


def draw_strips(
    maps: np.ndarray,
    names: Sequence[str],
    layers: Sequence[str],
    dim: str,
    title: str,
    masks: np.ndarray | None,
    style: dict[str, Any],
) -> tuple[Figure, Any, Axes]:
    """Draws a strip per sample, one under the other, and leaves room for a colour bar.

    Args:
        maps: `samples × layers × positions`, NaN where nothing is measured.
        names: of the samples.
        layers: names of the layers.
        dim: what the positions are.
        title: of the whole.
        masks: `samples × positions`, true on the object, which is marked above its strip; or `None`.
        style: colours and their scale.

    Returns:
        The figure, one of its pictures, and the axes of the colour bar.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    count, depth, positions = maps.shape
    left, right, paper = 0.45 + 0.065 * max(map(len, layers)), 1.15, paper_width()
    width = float(np.clip(0.12 * positions, *WIDTH)) if paper is None else max(paper - left - right, 0.5)
    strip = LINE * depth
    top, bottom = 0.35, 0.5
    whole = count * strip + (count - 1) * BETWEEN
    tall = float(np.clip(whole, *BAR))
    size = (left + width + right, top + max(whole, tall) + bottom)
    figure = Figure(figsize=size, dpi=150)
    for number, (chart, name) in enumerate(zip(maps, names, strict=True)):
        y = size[1] - top - strip - number * (strip + BETWEEN)
        ax = figure.add_axes((left / size[0], y / size[1], width / size[0], strip / size[1]))
        picture = ax.imshow(chart, aspect="auto", interpolation="nearest", **style)
        if masks is not None:
            object_at = np.flatnonzero(masks[number])
            ax.scatter(object_at, np.full(len(object_at), -0.5), s=9, marker="v", color="black", clip_on=False, lw=0)
        ax.set_facecolor(GROUND)
        ax.set_ylabel(name, fontsize=7)
        ax.set_yticks(range(depth), layers, fontsize=6)
        ax.tick_params(axis="x", labelbottom=number == count - 1, labelsize=7, length=2)
        ax.tick_params(axis="y", length=0, pad=2)
        ax.spines[:].set_visible(False)
    ax.set_xlabel(dim, fontsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    place = (left + width + 0.12) / size[0], (size[1] - top - tall) / size[1], 0.12 / size[0], tall / size[1]
    figure.suptitle(title, x=0.02, ha="left", y=0.995, va="top", fontsize=9)
    return figure, picture, figure.add_axes(place)
