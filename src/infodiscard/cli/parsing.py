"""Parsing of the command line's texts to values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import zoo
from ..errors import InfodiscardError
from ..zoo.huggingface import takes_text

if TYPE_CHECKING:
    from ..networks.network import Network


def load_networks(
    specs: list[str], weights: list[str] | None, names: list[str] | None, **options: Any
) -> dict[str, Network]:
    """Returns the networks by name, each with the weights and the name given in its place.

    Raises:
        InfodiscardError: weights or names are not one per network, two have one name, or one cannot be used
            (see `load_network`).
    """
    files, called = one_each(specs, weights, "weights"), one_each(specs, names, "name")
    loaded: dict[str, Network] = {}
    for spec, file, name in zip(specs, files, called, strict=True):
        network = load_network(spec, file, name, **options)
        if network.name in loaded:
            raise InfodiscardError(
                f"Two networks are named '{network.name}'; give each a --name of its own, in the order of the networks."
            )
        loaded[network.name] = network
    return loaded


def load_network(spec: str, weights: str | None, name: str | None, **options: Any) -> Network:
    """Returns a network that knows how its images are normalised, or that takes text.

    Raises:
        InfodiscardError: it cannot be loaded, or how it wants its images normalised is not known.
    """
    network = zoo.load(spec, weights, name=name, **options)
    if (network.mean is None or network.std is None) and not takes_text(network):
        raise InfodiscardError(
            f"The normalisation of '{spec}' is not known; give --mean and --std, one number per channel for images "
            "in [0, 1], or --mean 0,0,0 --std 1,1,1 if it takes them as they are."
        )
    return network


def one_each(specs: list[str], values: list[str] | None, option: str) -> list[str | None]:
    """Returns one value per network, `None` where there is none or a dash."""
    if not values:
        return [None] * len(specs)
    if len(values) != len(specs):
        times = {1: "once", 2: "twice"}.get(len(values), f"{len(values)} times")
        raise InfodiscardError(
            f"--{option} was given {times} for {len(specs)} network{'s' * (len(specs) > 1)}; give it once per network, "
            "in their order, with '-' for one that needs none."
        )
    return [None if value == "-" else value for value in values]


def seconds(text: str, option: str) -> float:
    """Returns the seconds that 90s, 5min, 2h or a bare number of seconds mean.

    Raises:
        InfodiscardError: the text is no such duration, or not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d)?", text.strip().lower())
    value = float(found[1]) * {"m": 60, "h": 3600, "d": 86400}.get((found[2] or "s")[0], 1) if found else 0.0
    if not value > 0:
        raise InfodiscardError(f"--{option} was '{text}'; give a duration above 0, such as 90s, 5min or 2h.")
    return value


def patterns(texts: list[str] | None) -> list[str] | None:
    """Splits layer patterns at commas; `None` if none was given."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()] if texts else None


def numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """Converts "0.5,0.5,0.5" to numbers.

    Raises:
        InfodiscardError: they are not numbers.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InfodiscardError(
            f"--{option} was '{text}'; give one number per channel with commas between, such as 0.485,0.456,0.406."
        ) from error


def whole_numbers(text: str | None, option: str) -> tuple[int, ...]:
    """Converts "0,1,5" to whole numbers; none if nothing was given.

    Raises:
        InfodiscardError: they are not whole numbers of 0 or more.
    """
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InfodiscardError(f"--{option} was '{text}'; give whole numbers with commas between, such as 0,1,5,10.")
    return tuple(int(part) for part in parts)


def pixels(text: str | None) -> tuple[int, int] | None:
    """Converts "224" or "224x192" to (height, width).

    Raises:
        InfodiscardError: it is neither.
    """
    if text is None:
        return None
    parts = re.fullmatch(r"([1-9]\d*)(?:[x×]([1-9]\d*))?", text)
    if parts is None:
        raise InfodiscardError(f"--size was '{text}'; give pixels as one number or as HEIGHTxWIDTH, such as 224x224.")
    return int(parts[1]), int(parts[2] or parts[1])


def number_or_word(text: str) -> Any:
    """Returns the number that the text is, or the text itself, which may be the name of a preset."""
    try:
        return float(text)
    except ValueError:
        return text


def named_runs(texts: list[str]) -> dict[str, str]:
    """Converts "NAME=DIR" and "DIR", which is named by its last part, to name → directory.

    Raises:
        InfodiscardError: two have one name.
    """
    runs: dict[str, str] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals or Path(text).exists():
            name, place = Path(text).resolve().name, text
        if name in runs:
            raise InfodiscardError(
                f"Two runs are named '{name}' ('{runs[name]}' and '{place}'); name them apart, as in first={place}."
            )
        runs[name] = place
    return runs
