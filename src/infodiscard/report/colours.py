"""The page's colours, in one place: what a colour means here it means everywhere on the page."""

from __future__ import annotations

import numpy as np

from ..plots.palette import COLOURS, DIFFERENCE_MAP, MAP

NETWORKS = COLOURS
NETWORKS_DARK = ("#4DA3DD", "#F08A4B", "#2FC79A", "#E3A0C5", "#8FD0F5", "#F2BC45", "#FFFFFF")
"""Okabe and Ito's, as they are told apart on white; and their lighter kin for a dark ground."""
SEQUENTIAL, DIVERGING = MAP, DIFFERENCE_MAP
"""Matplotlib's names of the scales: of values, and of differences."""
SHADES = 64
"""The classes of words by their value, `w0` (lowest) to `w63`: the page allows no style but that of its own sheet."""


def table(name: str) -> np.ndarray:
    """Returns Matplotlib's colours of this name as bytes, `255 × 3`, lowest first."""
    from matplotlib import colormaps

    return np.asarray(colormaps[name](np.linspace(0, 1, 255), bytes=True))[:, :3]


def network_class(number: int) -> str:
    """Returns the class that gives a network its colour."""
    return f"n{number % len(NETWORKS)}"


def shade_class(share: float) -> str:
    """Returns the class of a place on the scale, 0 … 1; what is beyond has that of the end."""
    return f"w{round(min(max(share, 0.0), 1.0) * (SHADES - 1))}"


def shade(share: float) -> str:
    """Returns the colour of a place on the scale, 0 … 1, as `#rrggbb`."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps[SEQUENTIAL](share))
