"""The style sheet of the pages: `style.css`, with the colours of networks and of words before it."""

from __future__ import annotations

from ..plots.palette import ink
from . import colours
from .rendering import asset


def stylesheet(plot: float = 0) -> str:
    """Returns the style sheet; `plot`: the least width of a curve, in pixels, below which it scrolls."""
    return f"{_networks()}{asset('style.css')}.plot{{min-width:{plot:g}px}}\n{_shades()}"


def _networks() -> str:
    """Returns the variables of the networks' colours, for light and dark, and the classes that choose among them."""
    light, dark = (
        "".join(f"--n{i}:{colour};" for i, colour in enumerate(each))
        for each in (colours.NETWORKS, colours.NETWORKS_DARK)
    )
    rules = "".join(f".n{i}{{--network:var(--n{i})}}" for i in range(len(colours.NETWORKS)))
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{rules}\n"


def _shades() -> str:
    """Returns the rules of the classes of shades: what is on one is drawn in the ink that can be read on it."""
    grounds = [colours.shade(number / (colours.SHADES - 1)) for number in range(colours.SHADES)]
    rules = (
        f".w{i}{{--ground:{ground};--ink:{ink(ground)};background:var(--ground);color:var(--ink)}}"
        for i, ground in enumerate(grounds)
    )
    return "".join(rules) + "\n"
