"""Sheets of maps: a row per sample, on one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .map_strips import draw_strips
from .palette import MAP
from .sheet import chosen_data, draw_sheet, row_names
from .style import CLIP, axis_label, colour_scale, elide, saved, short_names

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results.run import StoredRun


def map_sheet(
    run: StoredRun,
    network: str | None = None,
    samples: Sequence[str | int] | None = None,
    metric: str | None = None,
    path: str | Path | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draws the maps of `metric`: a row per sample, a column per layer, one colour scale in nats/pixel for all.

    Where a map is a line (of tokens, time steps, features), it is a strip per sample, and in it a row per layer.

    The input and the object's outline are drawn where the run holds them. The scale spans the 1st to the 99th
    percentile of the sheet and says so, with pointed ends where it clips.

    Args:
        run: a run with something measured.
        network: which of its networks; the first by default.
        samples: names or positions; by default the first 12 that have anything measured.
        metric: the maps are the variable `{metric}_map`; by default SID's, or RU's where only that was measured.
        path: where to write the picture; the ending says the format.
        limits: ends of the colour scale, where several sheets shall share one; by default the percentiles.

    Raises:
        InfodiscardError: an unknown network or sample, nothing measured yet, or the file cannot be written.
    """
    metric = metric or run.metrics[0]
    data = chosen_data(run, network, samples, metric, f"{metric}_map")
    layout = run.plan.layout
    maps = data[f"{metric}_map"].transpose("sample", "layer", *layout.dims).values
    scale, extend = colour_scale(maps, limits)
    style = {"cmap": MAP, "norm": scale}
    if len(layout.dims) == 1:
        figure, picture, bar = _strips(run, data, maps, style)
    else:
        sheet = draw_sheet(run, data, maps, "", bar=True, **style)
        figure, picture, bar = sheet.figure, sheet.ax.images[-1], sheet.bar
    figure.colorbar(picture, cax=bar, extend=extend)
    label = layout.words(axis_label(metric)).replace("\n", ", ")
    at = f"at percentiles {CLIP[0]} and {CLIP[1]}" if limits is None else "at the ends"
    clipped = "" if extend == "neither" else f"\nclipped {at}"
    bar.set_ylabel(label + clipped, fontsize=7)
    bar.tick_params(labelsize=7)
    return saved(figure, path)


def _strips(run: StoredRun, data: xr.Dataset, maps: np.ndarray, style: dict[str, Any]) -> tuple[Figure, Any, Axes]:
    """Draws `samples × layers × positions` as a strip per sample; returns also a picture and the colour bar's axes."""
    names, layers = row_names(run, data["sample"].values.tolist()), short_names(data["layer"].values.tolist())
    masks = data["mask"].values if "mask" in data else None
    title = elide(data["network"].item(), 60)
    return draw_strips(maps, names, layers, run.plan.layout.dims[0], title, masks, style)
