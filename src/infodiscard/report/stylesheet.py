"""The style sheet of the pages: `style.css`, with the colours of networks and of words before it."""

from __future__ import annotations

from ..plots.palette import ink
from . import colours
from .rendering import asset


def stylesheet(words: bool = False) -> str:
    """Returns the style sheet; `words`: with the shades of texts."""
    return _networks() + asset("style.css") + (_shades() if words else "")


def _networks() -> str:
    """Returns the variables of the networks' colours, for light and dark, and the classes that choose among them."""
    light, dark = (
        "".join(f"--n{i}:{colour};" for i, colour in enumerate(each))
        for each in (colours.NETWORKS, colours.NETWORKS_DARK)
    )
    rules = "".join(f".n{i}{{--network:var(--n{i})}}" for i in range(len(colours.NETWORKS)))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}\n"


def _shades() -> str:
    """Returns the rules of the classes of shaded words."""
    grounds = [colours.shade(number / (colours.SHADES - 1)) for number in range(colours.SHADES)]
    rules = (f".w{i}{{background:{ground};color:{ink(ground)}}}" for i, ground in enumerate(grounds))
    return "".join(rules) + "\n"
