"""Sheets of maps: a row per sample, on one colour scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .map_strips import draw_strips
from .palette import MAP
from .sheet import chosen_data, draw_sheet, row_names
from .style import CLIP, axis_label, colour_scale, elide, layer_scales, saved, short_names

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results.run import StoredRun

OWN = "\na scale for each layer: its ends are at its name"


def map_sheet(
    run: StoredRun,
    network: str | None = None,
    samples: Sequence[str | int] | None = None,
    metric: str | None = None,
    path: str | Path | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draws the maps of `metric`: a row per sample, a column per layer, in nats/pixel.

    All have one colour scale unless layers differ by more than a map's own range. Then a map on that scale would be
    flat; so each layer has a scale of its own, whose ends are at its name, and colours of different layers cannot be
    compared. `limits` make it one scale.

    Where a map is a line (of tokens, time steps, features), it is a strip per sample, and in it a row per layer.

    The input and the object's outline are drawn where the run holds them. A scale spans the 1st to the 99th percentile
    of the sheet, or of the layer, and says so, with pointed ends where it clips.

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
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    metric = metric or run.metrics[0]
    data = chosen_data(run, network, samples, metric, f"{metric}_map")
    layout = run.plan.layout
    maps = data[f"{metric}_map"].transpose("sample", "layer", *layout.dims).values
    layers = data["layer"].values.tolist()
    own = layer_scales(dict(zip(layers, np.moveaxis(maps, 1, 0), strict=True))) if limits is None else {}
    shares = _shares(maps, own, layers)
    scale, extend = colour_scale(shares if own else maps, (0.0, 1.0) if own else limits)
    style = {"cmap": MAP, "norm": scale}
    if len(layout.dims) == 1:
        figure, _, bar = _strips(run, data, shares, style, own)
    else:
        norms = [Normalize(*own[layer]) if layer in own else scale for layer in layers]
        below = [_ends(own, layer) for layer in layers]
        sheet = draw_sheet(run, data, maps, "", bar=True, norms=norms, below=below, cmap=MAP)
        figure, bar = sheet.figure, sheet.bar
    drawn = figure.colorbar(ScalarMappable(scale, MAP), cax=bar, extend=extend)
    if own:
        drawn.set_ticks([0, 1], labels=["low", "high"])
    label = layout.words(axis_label(metric)).replace("\n", ", ")
    at = f"at percentiles {CLIP[0]} and {CLIP[1]}" if own or limits is None else "at the ends"
    clipped = "" if extend == "neither" else f"\nclipped {at}"
    bar.set_ylabel(f"{label}{OWN if own else ''}{clipped}", fontsize=7)
    bar.tick_params(labelsize=7)
    return saved(figure, path)


def _shares(maps: np.ndarray, own: Mapping[str, tuple[float, float]], layers: Sequence[str]) -> np.ndarray:
    """Returns maps, `samples × layers × …`, as shares of each layer's own scale; as they are where there are none."""
    if not own:
        return maps
    low, high = np.array([own.get(layer, (0.0, 1.0)) for layer in layers]).T.reshape(2, -1, *[1] * (maps.ndim - 2))
    return (maps - low) / (high - low)


def _ends(own: Mapping[str, tuple[float, float]], layer: str) -> str:
    """Returns the ends of a layer's own scale in print; "" if it has none."""
    return "" if layer not in own else " to ".join(f"{end:.2f}".replace("-", "−") for end in own[layer])


def _strips(
    run: StoredRun, data: xr.Dataset, maps: np.ndarray, style: dict[str, Any], own: Mapping[str, tuple[float, float]]
) -> tuple[Figure, Any, Axes]:
    """Draws `samples × layers × positions` as a strip per sample; returns also a picture and the colour bar's axes."""
    names, layers = row_names(run, data["sample"].values.tolist()), short_names(data["layer"].values.tolist())
    if own:
        ends = [_ends(own, layer) for layer in data["layer"].values.tolist()]
        layers = [f"{layer} ({each})" if each else layer for layer, each in zip(layers, ends, strict=True)]
    masks = data["mask"].values if "mask" in data else None
    title = elide(data["network"].item(), 60)
    return draw_strips(maps, names, layers, run.plan.layout.dims[0], title, masks, style)
