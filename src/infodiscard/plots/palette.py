"""The colours of every picture and page, in one place: of networks, of maps and of differences.

Plain constants, as hexadecimal codes, so that a page of HTML can use them without Matplotlib. All of them can be told
apart by every kind of colour vision, and the maps also in print without colour.
"""

from __future__ import annotations

from collections.abc import Sequence

# Okabe and Ito's (2008); without the yellow, which is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Of networks, in the order in which they are given."""

LINES = ("-", "--", ":", "-.")
"""Matplotlib's dashes of networks: the next one where the colours begin again."""

MAP = "viridis"
"""Matplotlib's name of the map for SID, RU and other quantities with a least value: evenly perceived, dark = low."""

SALIENCY_MAP = "Greys"
"""Matplotlib's name of the map for other methods' maps without a sign; unlike `MAP`, as they share no scale with it."""

DIFFERENCE_MAP = "PuOr_r"
"""The same for differences, ColorBrewer's: purple = less, white = equal, brown = more; no network has these colours."""

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


def ink(ground: str) -> str:
    """Returns black or white, whichever is easier to read on a colour: their contrast with it is 4.58 or more."""
    # WCAG's contrast is (lighter + 0.05) / (darker + 0.05); that of black and that of white have the product 21.
    parts = (int(ground[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
