"""Sheet of equal pictures: a row per sample, a column per layer, and the inputs to their left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InfodiscardError, nearest
from .style import BAR, as_pictures, elide, ends, fits, measured, paper_width, short_names

if TYPE_CHECKING:
    import xarray as xr

    from ..results.run import StoredRun

ROWS = 12
RIGHT = 1.05  # inches that the colour bar takes, with its label
GREYS: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1}  # of pictures with one channel


def chosen_data(
    run: StoredRun, network: str | None, samples: Sequence[str | int] | None, metric: str, variable: str
) -> xr.Dataset:
    """Returns one network's part of the run, with the layers and samples to draw, in the order to draw them."""
    network = run.plan.networks[0] if network is None else network
    if network not in run.plan.networks:
        raise InfodiscardError(f"No network '{network}'; the nearest are {nearest(network, run.plan.networks)}.")
    table = measured(run, metric)
    table = table[table["network"] == network]
    layers = [layer for layer in run.plan.layers[network] if layer in set(table["layer"])]
    rows = _chosen(run, samples, list(dict.fromkeys(table["sample"])))
    if not layers or not rows or variable not in run.dataset:
        raise InfodiscardError(f"There is no '{variable}' of '{network}' for these samples yet; measure it first.")
    return run.dataset.sel(network=network, layer=layers, sample=rows)


def _chosen(run: StoredRun, samples: Sequence[str | int] | None, measured: list[str]) -> list[str]:
    """Converts names or positions to names."""
    if samples is None:
        return measured[:ROWS]
    names = run.plan.samples
    for item in samples:
        if not (0 <= item < len(names) if isinstance(item, int) else item in names):
            raise InfodiscardError(
                f"No sample {item!r} among {len(names)}; the nearest are {nearest(str(item), names)}."
            )
    return [names[item] if isinstance(item, int) else item for item in samples]


def row_names(run: StoredRun, samples: Sequence[str]) -> list[str]:
    """Returns what rows are called: the sample's class where it is known, else its name, shortened."""
    plan = run.plan
    if plan.labels is None or not plan.classes:
        return [elide(name, 16) for name in samples]
    classes = {name: plan.classes[label] for name, label in zip(plan.samples, plan.labels, strict=True)}
    return [elide(classes[name], 16) for name in samples]


def draw_sheet(
    run: StoredRun,
    data: xr.Dataset,
    pictures: np.ndarray,
    title: str,
    bar: bool = False,
    below: Sequence[str] = (),
    norms: Sequence[Any] = (),
    **style: Any,
) -> Sheet:
    """Draws the inputs, where the run holds them, and pictures to their right.

    Args:
        run: the run.
        data: its part to draw, as `chosen_data` returns it.
        pictures: `samples × layers × height × width`, or the same `× 3`.
        title: follows the network's name.
        bar: whether there is a colour bar.
        below: what stands below each column of pictures.
        norms: Matplotlib's colour scale of each column of pictures, where they have different ones.
        style: of Matplotlib's `imshow`.
    """
    inputs = [as_pictures(data["image"].values, ends(data["image"].values))] if "image" in data else []
    columns = ["input"] * len(inputs) + short_names(data["layer"].values.tolist())
    sheet = Sheet(
        row_names(run, data["sample"].values.tolist()),
        columns,
        pictures.shape[2],
        pictures.shape[3],
        bar,
        0.32 if any(below) else 0.15,
    )
    for i, row in enumerate(pictures):
        for j, image in enumerate(inputs):
            sheet.draw(i, j, image[i], **GREYS)
        for k, picture in enumerate(row):
            sheet.draw(i, len(inputs) + k, picture, **style | ({"norm": norms[k]} if norms else {}))
    for column, text in enumerate(below, start=len(inputs)):
        if text:
            sheet.note(column, text)
    if "mask" in data:
        sheet.outline(data["mask"].values)
    sheet.figure.suptitle(f"{elide(data['network'].item(), 60 - len(title))}{title}", x=0.02, ha="left", y=0.995,
                          va="top", fontsize=9)  # fmt: skip
    return sheet


def _left(widest: int) -> float:
    """Returns the inches that row names of that many letters take."""
    return 0.2 + 0.075 * widest


class Sheet:
    """A table of equal pictures in one set of axes (a set for each picture takes many times as long to draw).

    Attributes:
        figure: what it is drawn in.
        ax: the axes of all pictures, in pixels of the input.
        bar: the axes of the colour bar, if there is one.
    """

    gap = 0.04  # inches between pictures

    def __init__(
        self, rows: list[str], columns: list[str], height: int, width: int, bar: bool, bottom: float = 0.15
    ) -> None:
        """Sizes the figure for pictures of `height × width` pixels under these names, with `bottom` inches below."""
        from matplotlib.figure import Figure

        self.figure = Figure(dpi=150)
        self.shape, self.pixels = (len(rows), len(columns)), (height, width)
        longest = max(map(len, rows)), max(map(len, columns))
        cell = min(max(0.5, 10 / len(columns)), 1.6 if len(rows) <= 4 else 0.95)  # inches
        if (paper := paper_width()) is not None:
            beside = _left(longest[0]) + (RIGHT if bar else max(0.15, 0.045 * longest[1]))
            cell = max(paper - beside, 0.5) / len(columns) - self.gap
        self.step = (height + self.gap / cell * width, width + self.gap / cell * width)  # pixels from one to the next
        total = tuple(step * n for step, n in zip(self.step, self.shape, strict=True))
        self._place(total[0] * cell / width, total[1] * cell / width, *longest, cell, bar, bottom)
        self.ax.set(xlim=(-0.5, total[1] - 0.5), ylim=(total[0] - 0.5, -0.5), autoscale_on=False)
        self.ax.spines[:].set_visible(False)
        middles = [
            [k * step + (size - 1) / 2 for k in range(n)]
            for step, size, n in zip(self.step, self.pixels, self.shape, strict=True)
        ]
        self.ax.set_yticks(middles[0], rows, fontsize=8)
        self.ax.set_xticks(middles[1], columns, fontsize=8)
        self.ax.tick_params(length=0, pad=3, top=True, labeltop=True, bottom=False, labelbottom=False)
        if not fits(max(map(len, columns)), cell):
            for label in self.ax.get_xticklabels():
                label.set(rotation=50, rotation_mode="anchor", ha="left", va="bottom")

    def _place(
        self, height: float, width: float, widest: int, longest: int, cell: float, bar: bool, bottom: float
    ) -> None:
        """Sizes the figure and puts in it the axes of pictures of `height × width` inches, and the colour bar if any.

        `widest` and `longest` are the letters of the longest row and column names, `cell` a picture's width, `bottom`
        the inches below all.
        """
        upright = fits(longest, cell)
        left, right = _left(widest), RIGHT if bar else 0.15
        top = 0.3 + (0.2 if upright else 0.1 + 0.045 * longest)
        overhang = 0 if upright else 0.045 * longest  # slanted titles lean over the right edge
        tall = min(max(height, BAR[0]), BAR[1]) if bar else 0
        full = (left + width + max(right, overhang), max(height, tall) + top + bottom)
        self.figure.set_size_inches(*full)

        def place(x: float, wide: float, high: float) -> tuple[float, float, float, float]:
            return x / full[0], (full[1] - top - high) / full[1], wide / full[0], high / full[1]

        self.ax = self.figure.add_axes(place(left, width, height))
        if bar:
            self.bar = self.figure.add_axes(place(left + width + 0.12, 0.12, tall))

    def draw(self, row: int, column: int, picture: np.ndarray, **style: Any) -> Any:
        """Draws one picture, pixel for pixel."""
        y, x = row * self.step[0] - 0.5, column * self.step[1] - 0.5
        extent = (x, x + self.pixels[1], y + self.pixels[0], y)
        return self.ax.imshow(picture, extent=extent, interpolation="nearest", aspect="auto", **style)

    def note(self, column: int, text: str) -> None:
        """Writes a short text of two lines below a column."""
        x = column * self.step[1] + (self.pixels[1] - 1) / 2
        self.ax.annotate(text.replace(" to ", "\nto "), (x, self.shape[0] * self.step[0] - 0.5), (0, -1), fontsize=6,
                         textcoords="offset points", ha="center", va="top", annotation_clip=False)  # fmt: skip

    def outline(self, masks: np.ndarray) -> None:
        """Draws the borders of the masks, one per row, on every picture of the row."""
        from matplotlib.collections import LineCollection

        lines = [
            line + np.array([column * self.step[1], row * self.step[0]])
            for row, mask in enumerate(masks)
            for line in border(mask)
            for column in range(self.shape[1])
        ]
        for colour, thickness in (("black", 1.6), ("white", 0.8)):  # seen on every ground
            self.ax.add_collection(
                LineCollection(lines, colors=colour, linewidths=thickness, capstyle="projecting"), autolim=False
            )


def border(mask: np.ndarray) -> list[np.ndarray]:
    """Returns the border of a mask along its pixels' edges, as straight lines from (x, y) to (x, y)."""
    lines = []
    padded = np.pad(np.asarray(mask, bool), 1)
    for array, order in ((padded, (0, 1)), (padded.T, (1, 0))):
        for at, edge in enumerate(array[1:] != array[:-1]):
            turns = np.flatnonzero(np.diff(edge.astype(int), prepend=0, append=0))
            for start, stop in turns.reshape(-1, 2):
                lines.append(np.array([(start - 1.5, at - 0.5), (stop - 1.5, at - 0.5)])[:, order])
    return lines
