"""Heat maps: the means of several networks by layer, in numbers and in the colours of the graphs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..analysis.display import plain
from .network_graphs import colour_limits, read_marks
from .palette import GROUND, MAP, ink
from .style import axis_label, paper_width, saved, short_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results.run import StoredRun

CELL = (0.62, 0.26)  # width and height of one, inches
BAR = 0.95  # inches that the colour bar takes, with its label


def heat_map(run: StoredRun, metric: str | None = None, path: str | Path | None = None) -> Figure:
    """Draws the mean of `metric` for each layer (rows, in execution order) of each network (columns).

    The number is in the cell, with `!` where it is not to be trusted as it stands; a layer that a network does not have
    is grey.

    Args:
        run: a run with something measured.
        metric: a scalar variable of the run; by default SID, as corrected where the run has that.
        path: where to write the picture; the ending says the format.

    Returns:
        The figure, which pyplot knows nothing of.

    Raises:
        InfodiscardError: nothing is measured yet, there is no such variable, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    metric = metric or run.metrics[0]
    variable, marks = read_marks(run, run.plan.networks, metric)
    layers = [layer for layer in run.plan.union() if any(layer in each for each in marks.values())]
    values = np.array([[each[layer].mean if layer in each else np.nan for each in marks.values()] for layer in layers])
    low, high = colour_limits(values[np.isfinite(values)].tolist(), plain(metric), run.plan.settings)
    names, columns = short_names(layers), short_names(list(marks))
    left, longest = 0.2 + 0.07 * max(map(len, names)), max(map(len, columns))
    wide, tall = CELL[0] * len(columns), CELL[1] * len(layers)
    if (paper := paper_width()) is not None:
        wide = max(paper - left - BAR, 0.3 * len(columns))
    slanted = longest * 0.07 > wide / len(columns)
    top = 0.25 + 0.05 * longest * slanted
    size = (left + wide + BAR, top + max(tall, 1.2) + 0.1)
    figure = Figure(figsize=size, dpi=150)
    ax = figure.add_axes((left / size[0], 1 - (top + tall) / size[1], wide / size[0], tall / size[1]))
    ax.set_facecolor(GROUND)
    picture = ax.imshow(values, cmap=MAP, vmin=low, vmax=high, aspect="auto")
    for row, layer in enumerate(layers):
        for column, each in enumerate(marks.values()):
            if layer in each:
                colour = ink(_hexadecimal(picture, each[layer].mean))
                ax.text(column, row, each[layer].text, color=colour, fontsize=7, ha="center", va="center")
    ax.set_yticks(range(len(layers)), names, fontsize=7)
    ax.set_xticks(range(len(columns)), columns, fontsize=7)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    if slanted:
        for label in ax.get_xticklabels():
            label.set(rotation=40, rotation_mode="anchor", ha="left", va="bottom")
    ax.spines[:].set_visible(False)
    place = (
        (left + wide + 0.1) / size[0],
        1 - (top + max(tall, 1.2)) / size[1],
        0.12 / size[0],
        max(tall, 1.2) / size[1],
    )
    bar = figure.add_axes(place)
    figure.colorbar(picture, cax=bar)
    bar.set_ylabel(run.plan.layout.words(axis_label(variable)), fontsize=7)
    bar.tick_params(labelsize=7)
    return saved(figure, path)


def _hexadecimal(picture: object, value: float) -> str:
    from matplotlib.colors import to_hex

    return to_hex(picture.cmap(picture.norm(value)))  # type: ignore[attr-defined]
