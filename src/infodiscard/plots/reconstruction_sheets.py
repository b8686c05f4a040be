"""Sheets of reconstructions: the inputs as decoders restore them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.metrics import METRICS, RU
from .sheet import GREYS, chosen_data, draw_sheet
from .style import as_pictures, ends, saved

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results.run import StoredRun


def reconstruction_sheet(
    run: StoredRun,
    network: str | None = None,
    samples: Sequence[str | int] | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draws the inputs as decoders restore them: a row per sample, a column per layer, after the input itself.

    All are shown as the inputs are, and clipped where a decoder leaves their range.

    Args:
        run: a run that measured a metric with decoders, such as `ru`.
        network, samples, path: as for `map_sheet`.

    Raises:
        InfodiscardError: an unknown network or sample, no RU measured, or the file cannot be written.
    """
    metric = next((name for name in run.metrics if METRICS[name].needs_decoders), RU.name)
    data = chosen_data(run, network, samples, metric, "reconstruction")
    limits = ends(data["image"].values) if "image" in data else (0.0, 1.0)
    restored = data["reconstruction"].transpose("sample", "layer", "channel", "y", "x").values
    sheet = draw_sheet(run, data, as_pictures(restored, limits), ": reconstructions", **GREYS)
    return saved(sheet.figure, path)
