"""The page's colours, in one place: what a colour means here it means everywhere on the page."""

from __future__ import annotations

import numpy as np

from ..plots.palette import COLOURS, DIFFERENCE_MAP, MAP

NETWORKS = COLOURS
NETWORKS_DARK = ("#4DA3DD", "#F08A4B", "#2FC79A", "#E3A0C5", "#8FD0F5", "#F2BC45", "#FFFFFF")
"""Okabe and Ito's, as they are told apart on white; and their lighter kin for a dark ground."""
SEQUENTIAL, DIVERGING = MAP, DIFFERENCE_MAP
"""Matplotlib's names of the scales: of values, and of differences."""


def table(name: str) -> np.ndarray:
    """Returns Matplotlib's colours of this name as bytes, `255 × 3`, lowest first."""
    from matplotlib import colormaps

    return np.asarray(colormaps[name](np.linspace(0, 1, 255), bytes=True))[:, :3]


def variables() -> str:
    """Returns the style sheet's variables of the networks' colours, for light and dark."""
    light, dark = ("".join(f"--n{i}:{colour};" for i, colour in enumerate(each)) for each in (NETWORKS, NETWORKS_DARK))
    rules = "".join(f".n{i}{{--network:var(--n{i})}}" for i in range(len(NETWORKS)))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}\n"
