"""What all pictures of a run share: labels, names, and how they are drawn for papers and saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.files import translate_os_errors
from ..core.metrics import metric_of
from ..errors import InfodiscardError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..results.run import StoredRun

CLIP = (1, 99)
"""Percentiles of the maps' values that a colour scale spans."""

FLAT = 0.1
"""Least span of a layer's own colour scale, nats: what differs by less looks alike."""

BAR = (2.2, 4.0)  # least and greatest height of the colour bar, in inches
COLUMN = 3.3
"""The usual width of a column in a paper of two, in inches."""

_width: ContextVar[float | None] = ContextVar("width", default=None)


@contextmanager
def paper_style(width: float = COLUMN) -> Iterator[None]:
    """Makes the pictures drawn inside fit for a paper: as wide as a column, text of 8 points or little less.

    Files saved inside (`.pdf`, `.svg`, `.eps`) hold vectors, and PDF and PostScript embed their fonts as TrueType, as
    publishers ask. Afterwards Matplotlib's settings are what they were. The size of a picture is decided when it is
    drawn and the kind of font when it is saved, so do both inside.

    Args:
        width: of a picture, in inches; 3.3 is a column of two, 7 the whole width of a page.

    Raises:
        InfodiscardError: the width is not a number from 2 to 20.
    """
    import matplotlib

    if not (isinstance(width, int | float) and 2 <= width <= 20):
        raise InfodiscardError(f"width was {width!r}; give inches from 2 to 20, such as {COLUMN} for a column.")
    style: Any = dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize", "legend.fontsize"), 8)
    style |= {"xtick.labelsize": 7, "ytick.labelsize": 7}
    style |= {"pdf.fonttype": 42, "ps.fonttype": 42, "savefig.dpi": 300}  # 42 is TrueType
    token = _width.set(float(width))
    try:
        with matplotlib.rc_context(style):
            yield
    finally:
        _width.reset(token)


def paper_width() -> float | None:
    """Returns how wide pictures shall be, in inches, inside `paper_style`; `None` outside."""
    return _width.get()


def axis_label(variable: str) -> str:
    """Returns the label of a variable's axis, as images have it."""
    metric = metric_of(variable)
    plain = variable.replace("_", " ")
    return metric.labels.get(variable, plain) if metric else plain


def pixels(figure: Figure) -> np.ndarray:
    """Draws a figure into an array, `height × width × 3`, uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def measured(run: StoredRun, metric: str) -> pd.DataFrame:
    """Returns the run's table; raises InfodiscardError if it has no such variable or nothing is measured."""
    table = run.to_dataframe()
    if metric not in table:
        allowed = [str(name) for name in table.columns if str(name) not in ("network", "layer", "sample", "class")]
        raise InfodiscardError(f"This run has no '{metric}'; the nearest are {nearest(metric, allowed)}.")
    if table[metric].isna().all():
        raise InfodiscardError(f"This run has no '{metric}' measured yet; continue it first.")
    return table


def short_names(layers: Sequence[str]) -> list[str]:
    """Returns the layers' names, shortened as long as they can still be told apart."""
    short = [elide(layer) for layer in layers]
    return short if len(set(short)) == len(set(layers)) else [elide(layer, len(layer)) for layer in layers]


def fits(longest: int, cell: float) -> bool:
    """Whether a title of that many letters fits upright above a cell of that many inches."""
    return longest * 0.08 < cell


def elide(name: str, length: int = 22) -> str:
    """Shortens a name in its middle, as both ends of a layer's name tell; no part of it is a formula."""
    half = (length - 1) // 2
    return (name if len(name) <= length else f"{name[:half]}…{name[-half:]}").replace("$", r"\$")


def colour_scale(maps: np.ndarray, limits: tuple[float, float] | None = None) -> tuple[Any, str]:
    """Returns the colour scale that maps share, and at which ends it clips: "neither", "min", "max" or "both".

    Args:
        maps: of any shape, NaN where nothing is measured.
        limits: ends of the scale; by default the percentiles `CLIP`.
    """
    from matplotlib.colors import Normalize

    values = maps[np.isfinite(maps)]
    low, high = limits or (np.percentile(values, CLIP) if values.size else (0.0, 1.0))
    if high - low < 1e-6:  # a flat sheet, such as the identity layer's: a scale of its own noise would show structure
        low, high = low - 0.05, high + 0.05
    below, above = bool((values < low).any()), bool((values > high).any())
    return Normalize(low, high), {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


def layer_scales(maps: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Returns the ends of a colour scale for each layer, where layers differ by more than a map: else a map was flat.

    Layers differ by more than a map if the medians of two are further apart than the percentiles `CLIP` of one.

    Args:
        maps: layer → its maps, of any shape; NaN where nothing is measured.

    Returns:
        Layer → the percentiles `CLIP` of its maps, at least FLAT apart; `{}` where one scale serves all.
    """
    values = {layer: each[np.isfinite(each)] for layer, each in maps.items()}
    found = {layer: np.percentile(each, [CLIP[0], 50, CLIP[1]]) for layer, each in values.items() if each.size}
    if len(found) < 2:
        return {}
    lows, medians, highs = np.array(list(found.values())).T
    if np.ptp(medians) <= max((highs - lows).min(), FLAT):
        return {}
    return {layer: widened(float(low), float(high)) for layer, (low, _, high) in found.items()}


def widened(low: float, high: float) -> tuple[float, float]:
    """Returns the ends of a scale, no closer than FLAT: a flat map must not show its noise."""
    missing = max(0.0, FLAT - (high - low)) / 2
    return low - missing, high + missing


def ends(images: np.ndarray) -> tuple[float, float]:
    """Returns the values shown as black and as white: 0 and 1, or the ends of the images if they leave these."""
    low, high = float(images.min()), float(images.max())
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def as_pictures(images: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Converts images to pictures in [0, 1]; white where nothing is measured.

    Args:
        images: `… × channels × height × width`.
        limits: what is shown as black and as white.

    Returns:
        `… × height × width × 3` where there are three channels, else their mean, `… × height × width`.
    """
    low, high = limits
    images = np.nan_to_num((images - low) / max(high - low, 1e-12), nan=1.0).clip(0, 1)
    return np.moveaxis(images, -3, -1) if images.shape[-3] == 3 else images.mean(axis=-3)


def saved(figure: Figure, path: str | Path | None) -> Figure:
    """Writes the figure if a path is given."""
    if path is not None:
        with translate_os_errors("write the picture", path):
            figure.savefig(path)
    return figure
