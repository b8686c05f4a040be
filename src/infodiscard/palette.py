"""The colours of every picture and page, in one place: of networks, of maps and of differences.

Plain constants, as hexadecimal codes, so that a page of HTML can use them without Matplotlib. All of them can be told
apart by every kind of colour vision, and the maps also in print without colour.
"""

from __future__ import annotations

from collections.abc import Sequence

# Okabe and Ito's (2008); the yellow is left out, it is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Of networks, in the order in which they are given."""

LINES = ("-", "--", ":", "-.")
"""Matplotlib's dashes of networks: the next one where the colours begin again."""

MAP = "viridis"
"""Matplotlib's name of the map for SID, RU and other quantities with a least value: evenly perceived, dark = low."""

MAP_HEX = ("#440154", "#472D7B", "#3B528B", "#2C728E", "#21918C", "#28AE80", "#5EC962", "#ADDC30", "#FDE725")
"""The same at equal steps from its low to its high end, for a gradient in CSS."""

SALIENCY_MAP = "Greys"
"""Matplotlib's name of the map for other methods' maps without a sign; unlike `MAP`, as they share no scale with it."""

DIFFERENCE_MAP = "RdBu_r"
"""Matplotlib's name of the map for differences, ColorBrewer's: blue = less, white = equal, red = more."""

DIFFERENCE_HEX = (
    *("#053061", "#2065AB", "#4393C3", "#90C4DD", "#D1E5F0", "#F7F6F6"),
    *("#FDDBC7", "#F3A481", "#D6604D", "#B1182B", "#67001F"),
)
"""The same at equal steps; the sixth is the middle, no difference."""

GREY = "#666666"
"""Of what belongs to no network: reference lines and notes."""

GROUND = "#E8E8E8"
"""Where nothing is measured, as on padding."""


def network_styles(networks: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Returns each network's colour and dashes.

    They go by the place of a network in the order given, so give all networks of a run (`run.plan.networks`), not only
    those that are drawn: then a network looks the same in every picture and table of it.
    """
    count = len(COLOURS)
    return {
        name: (COLOURS[place % count], LINES[place // count % len(LINES)])
        for place, name in enumerate(dict.fromkeys(networks))
    }
