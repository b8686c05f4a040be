"""Texts word by word, shaded by how much of each a layer discards: a section of the page, and a page of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ..core.files import told
from ..core.kinds import SPECIAL
from ..errors import InfodiscardError
from ..plots.layer_curves import identity_level
from ..plots.palette import MAP
from ..plots.style import CLIP, colour_scale
from ..results.run import StoredRun
from ..results.words import Word, mean_of, table, values_of, words_of
from .markup import element, figure, html

PAGE = "texts.html"
SHADES = 64  # a page that allows no style but its own sheet's has a class for each
FIRST = 12  # texts on the page of a run
ELLIPSIS, DIGITS = "…", ".2f"


def write_texts(run: StoredRun, path: str | Path | None = None) -> Path:
    """Writes a page of HTML with every text of a run: a line of words per layer, shaded by how much is discarded.

    Args:
        run: a run of texts (`infodiscard.data.text`) with something measured.
        path: the file; by default `texts.html` in the run's own directory. One that is there is replaced.

    Returns:
        The path of the page, which needs no other file and has no script.

    Raises:
        InfodiscardError: the run is not one of texts, nothing is measured, no directory is known, or it cannot be
            written.
    """
    from .page import style

    if path is None and run.path is None:
        raise InfodiscardError("This run is in memory only; say where to write its texts (path).")
    file = Path(run.path or "", PAGE) if path is None else Path(path).expanduser()
    names = ", ".join(run.plan.networks)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{names}, word by word"),
        element("style", style() + shades()),
    )
    body = element(
        "body",
        element("h1", f"Information discarding of {names}, word by word"),
        element("p", reading(run), class_="lead"),
        *lines([run]),
    )
    with told("write the texts to", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<!doctype html>\n{html(element('html', head, body, lang='en'))}\n", encoding="utf-8")
    return file


def by_word(runs: Mapping[str, StoredRun]) -> list[Element]:
    """Returns the section of a page about runs of texts, by name: the first texts of each."""
    if not runs:
        return []
    many = max(len(run.plan.samples) for run in runs.values())
    said = f" The first {FIRST} of {many} texts; run.write_texts() writes all." if many > FIRST else ""
    explained = element("p", reading(next(iter(runs.values()))) + said, class_="small")
    return [explained, *lines(list(runs.values()), list(runs) if len(runs) > 1 else None, FIRST)]


def reading(run: StoredRun) -> str:
    """Returns what the shades of words mean."""
    level = identity_level(run.plan.settings)
    least = "" if level is None else f" A layer that passes its input on unchanged has {figure(level, DIGITS)}."
    return (
        "A word is shaded by its SID as reached: the entropy of the noise that its tokens bear, the mean of theirs, in "
        "nats per value of an embedding. Brighter means that the layer discards more of the word. One scale for all "
        f"texts and layers. Point at a word for its number; special tokens are small.{least}"
    )


def lines(runs: Sequence[StoredRun], titles: Sequence[str] | None = None, count: int | None = None) -> list[Element]:
    """Returns, for each of the first `count` texts, a table with a line of words per layer; above, the colours' bar.

    One scale for all texts, layers, networks and runs: from the 1st to the 99th percentile of the words, without
    special tokens. Needs the rules of `shades`.

    Raises:
        InfodiscardError: a run is not one of texts, or nothing is measured.
    """
    found = np.concatenate([_values(run) for run in runs])
    if not found.size:
        raise InfodiscardError("Nothing of this run is measured yet; continue it first.")
    scale, extend = colour_scale(found)
    parts = [_bar(scale, extend, runs[0].plan.layout.unit)]
    for place, run in enumerate(runs):
        parts += [element("h3", titles[place])] if titles else []
        parts += _tables(run, scale, count)
    return parts


def _values(run: StoredRun) -> np.ndarray:
    """Returns the SID of all words; of special tokens only if there are no others."""
    found = table(run)
    words = found[found["word"] != SPECIAL]
    return (found if words.empty else words)["sid"].to_numpy(float)


def _tables(run: StoredRun, scale: Any, count: int | None) -> Iterator[Element]:
    plan = run.plan
    maps = {
        (network, layer): values_of(run, network, layer) for network in plan.networks for layer in plan.layers[network]
    }
    for number, (sample, words) in enumerate(zip(plan.samples[:count], words_of(plan), strict=False)):
        rows = []
        for (network, layer), values in maps.items():
            if np.isfinite(values[number]).any():
                name = layer if len(plan.networks) == 1 else f"{network} {layer}"
                shaded = [part for word in words for part in _shaded(word, values[number], scale, plan.layout.unit)]
                line = element("td", *shaded, class_="line", dir="auto")
                rows.append(element("tr", element("th", name, scope="row"), line))
        yield element("table", element("caption", sample), *rows, class_="words")


def _shaded(word: Word, values: np.ndarray, scale: Any, unit: str) -> Iterator[Element | str]:
    """Yields one word on the colour of its SID, with the number for who points at it, and the spaces around it."""
    mean = mean_of(word, values)
    said = f"{word.text}{', a special token' * word.special}: {figure(mean, DIGITS)} nats/{unit}"
    if len(word.places) > 1:
        # The first of the tokens that make one character has that, the others nothing.
        pieces = zip(word.parts, word.places, strict=True)
        said += f" ({', '.join(f'{text or ELLIPSIS} {figure(values[place], DIGITS)}' for text, place in pieces)})"
    if word.spaced or word.special:
        yield " "
    yield element("span", word.text, class_=shade(float(scale(mean))) + " special" * word.special, title=said)
    if word.special:
        yield " "


def _bar(scale: Any, extend: str, unit: str) -> Element:
    """Returns the colour bar with its ends and what it shows."""
    low, high = (figure(float(end), DIGITS) for end in (scale.vmin, scale.vmax))
    strip = element(
        "div",
        *(element("i", class_=f"w{number}") for number in range(SHADES)),
        class_="shades",
        role="img",
        aria_label=f"Colours from {low} to {high} nats/{unit}",
    )
    clipped = "" if extend == "neither" else f"; clipped at percentiles {CLIP[0]} and {CLIP[1]} of the words"
    row = element("div", element("span", low), strip, element("span", high), class_="bar")
    said = element("figcaption", f"SID (nats/{unit}), to the right more discarded{clipped}")
    return element("figure", row, said, class_="scale")


# -- shades ----------------------------------------------------------------------------------------------------------


def shade(share: float) -> str:
    """Returns the class of a place on the scale, 0 … 1; what is beyond has that of the end."""
    return f"w{round(min(max(share, 0.0), 1.0) * (SHADES - 1))}"


def shades() -> str:
    """Returns the style sheet's rules of the classes `w0` (least discarded) to `w63`."""
    grounds = [colour(number / (SHADES - 1)) for number in range(SHADES)]
    return "".join(f".w{i}{{background:{ground};color:{ink(ground)}}}" for i, ground in enumerate(grounds)) + "\n"


def colour(share: float) -> str:
    """Returns the colour of a place on the scale, 0 … 1, as `#rrggbb`."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps[MAP](share))


def ink(ground: str) -> str:
    """Returns black or white, whichever is easier to read on a colour: their contrast with it is 4.58 or more."""
    # WCAG's contrast is (lighter + 0.05) / (darker + 0.05); that of black and that of white have the product 21.
    parts = (int(ground[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
