"""Texts of a run: the SID of their words, as a table and as lines of shaded words in HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .data.text import SPECIAL
from .errors import InfodiscardError
from .figures import CLIP
from .palette import MAP
from .plots import identity_level
from .sheets import colour_scale
from .storage import told

if TYPE_CHECKING:
    import pandas as pd

    from .plan import Plan
    from .run import Run

PAGE = "texts.html"
STOPS = 16  # colours of the bar's gradient
STYLE = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5b6875; --line: #dfe4ea; --accent: #0072b2; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); max-width: 66rem; margin: 2.5rem auto; }
body { padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
.lead, .small { color: var(--soft); } .small { font-size: .87rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; border-bottom: 2px solid var(--accent); white-space: nowrap; }
.words th { text-align: left; font-weight: 400; color: var(--soft); border-bottom: 1px solid var(--line); }
.words td.line { text-align: left; line-height: 2; width: 100%; overflow-wrap: anywhere; }
.words th, .words td { vertical-align: baseline; }
.words { width: 100%; margin-bottom: 1.6rem; } .words caption { text-align: left; font-weight: 600; }
.words span { unicode-bidi: isolate; padding: .12rem .28rem; border-radius: .2rem; }
.words span.special { font-size: .68rem; padding: .08rem .2rem; }
.bar { max-width: 30rem; margin: 1rem 0 1.4rem; font-size: .87rem; }
.bar .colours { height: .8rem; border-radius: .2rem; } .bar .ticks { position: relative; height: 1.4rem; }
.bar .ticks span { position: absolute; transform: translateX(-50%); }
"""


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Attributes:
        text: its characters, without the spaces before it.
        number: its place among the words of its text, from 0; −1 for a special token.
        places: its tokens' places.
        parts: what each of them stands for.
        spaced: whether there is a space before it.
    """

    text: str
    number: int
    places: tuple[int, ...]
    parts: tuple[str, ...]
    spaced: bool

    @property
    def special(self) -> bool:
        """Whether it is a special token, which stands for no part of the text."""
        return self.number == SPECIAL


def words_of(plan: Plan) -> list[list[Word]]:
    """Returns the words of each sample, special tokens among them, in order; without padding.

    Raises:
        InfodiscardError: the run is not one of texts.
    """
    if not plan.tokens:
        raise InfodiscardError(
            "This run has no words, as it is not of texts; measure what infodiscard.data.text gives."
        )
    return [list(_words(*row)) for row in zip(plan.tokens, plan.words, strict=True)]


def _words(tokens: tuple[str, ...], words: tuple[int, ...]) -> Iterator[Word]:
    # Special tokens stand alone, also side by side.
    keys = [(number, place if number == SPECIAL else 0) for place, number in enumerate(words)]
    for (number, _), places in groupby(range(len(words)), keys.__getitem__):
        chosen = tuple(places)
        parts = tuple(tokens[place] for place in chosen)
        text = "".join(parts)
        if text or number != SPECIAL:  # else it is padding
            yield Word(text.strip(), number, chosen, tuple(map(str.strip, parts)), text[:1].isspace())


def table(run: Run) -> pd.DataFrame:
    """Returns one row per network, layer, sample and word, in their order.

    Its columns: `network`, `layer`, `sample`, `word` (its number, −1 for a special token), `text`, `tokens` (how many
    it is made of) and `sid`, the mean of theirs, in nats/token. What is not measured is left out.

    Raises:
        InfodiscardError: the run is not one of texts.
    """
    import pandas as pd

    words, plan = words_of(run.plan), run.plan
    rows: list[dict[str, Any]] = []
    for network in plan.networks:
        for layer in plan.layers[network]:
            for sample, line, values in zip(plan.samples, words, _values(run, network, layer), strict=True):
                cell = {"network": network, "layer": layer, "sample": sample}
                rows += [
                    cell | {"word": w.number, "text": w.text, "tokens": len(w.places), "sid": _mean(w, values)}
                    for w in line
                ]
    names = ["network", "layer", "sample", "word", "text", "tokens", "sid"]
    return pd.DataFrame(rows, columns=names).dropna(subset=["sid"]).reset_index(drop=True)


def _values(run: Run, network: str, layer: str) -> np.ndarray:
    """Returns the SID of every token at a layer, `samples × tokens`."""
    return run.read(network, layer, 0, len(run.plan.samples), "sid_map")


def _mean(word: Word, values: np.ndarray) -> float:
    return float(values[list(word.places)].mean())


def write_texts(run: Run, path: str | Path | None = None) -> Path:
    """Writes a page of HTML with every text of a run: a line of words per layer, shaded by how much is discarded.

    Args:
        run: a run of texts (`infodiscard.data.text`) with something measured.
        path: the file; by default `texts.html` in the run's own directory. One that is there is replaced.

    Returns:
        The path of the page, which needs no other file.

    Raises:
        InfodiscardError: the run is not one of texts, nothing is measured, no directory is known, or it cannot be
            written.
    """
    if path is None and run.path is None:
        raise InfodiscardError("This run is in memory only; say where to write its texts (path).")
    page = Path(run.path or "", PAGE) if path is None else Path(path).expanduser()
    names = escape(", ".join(run.plan.networks))
    content = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{names}, word by word</title><style>{STYLE}</style></head>
<body>
<h1>Information discarding of {names}, word by word</h1>
<p class="lead">{reading(run)}</p>
{section(run)}
</body></html>
"""
    with told("write the texts to", page):
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(content, encoding="utf-8")
    return page


def reading(run: Run) -> str:
    """Returns what the shades of words mean."""
    level = identity_level(run.plan.settings)
    least = "" if level is None else f" A layer that passes its input on unchanged has {signed(level)}."
    return (
        "A word is shaded by its SID: the entropy of the noise that its tokens bear, the mean of theirs, in nats per "
        "value of an embedding. Brighter means that the layer discards more of the word. One scale for all texts and "
        f"layers. Point at a word for its number; special tokens are small.{least}"
    )


# -- HTML ------------------------------------------------------------------------------------------------------------


def section(run: Run, count: int | None = None) -> str:
    """Returns, for each of the first `count` texts, a table with a line of words per layer, and the colours' bar above.

    One scale for all texts, layers and networks of the run: from the 1st to the 99th percentile of its words, without
    special tokens. Needs `STYLE`.

    Raises:
        InfodiscardError: the run is not one of texts, or nothing of it is measured.
    """
    plan, words = run.plan, words_of(run.plan)
    found = table(run)
    found = found[found["word"] != SPECIAL] if (found["word"] != SPECIAL).any() else found
    if found.empty:
        raise InfodiscardError("Nothing of this run is measured yet; continue it first.")
    scale, extend = colour_scale(found["sid"].to_numpy())
    maps = {
        (network, layer): _values(run, network, layer) for network in plan.networks for layer in plan.layers[network]
    }
    parts = [_bar(scale, extend, plan.layout.unit)]
    for number, (sample, line) in enumerate(zip(plan.samples[:count], words, strict=False)):
        rows = []
        for (network, layer), values in maps.items():
            if np.isfinite(values[number]).any():
                name = layer if len(plan.networks) == 1 else f"{network} {layer}"
                shaded = "".join(_shaded(word, values[number], scale, plan.layout.unit) for word in line)
                rows.append(f'<tr><th scope="row">{escape(name)}</th><td class="line" dir="auto">{shaded}</td></tr>')
        parts.append(f'<table class="words"><caption>{escape(sample)}</caption>{"".join(rows)}</table>')
    return "\n".join(parts)


def _shaded(word: Word, values: np.ndarray, scale: Any, unit: str) -> str:
    """Returns one word on the colour of its SID, with the number for who points at it."""
    mean = _mean(word, values)
    told = f"{word.text}{', a special token' * word.special}: {signed(mean)} nats/{unit}"
    if len(word.places) > 1:
        pieces = zip(word.parts, word.places, strict=True)
        told += f" ({', '.join(_part(text, values[place]) for text, place in pieces)})"
    ground = colour(float(scale(mean)))
    kind = ' class="special"' if word.special else ""
    style = f"background:{ground};color:{ink(ground)}"
    space = " " if word.spaced or word.special else ""
    after = " " if word.special else ""
    return f'{space}<span{kind} style="{style}" title="{escape(told)}">{escape(word.text)}</span>{after}'


def _part(text: str, value: float) -> str:
    """Says of one token of a word; the first of those that make one character has that, the others nothing."""
    return f"{text or '…'} {signed(value)}"


def signed(value: float) -> str:
    """Prints a number with two digits and a minus of its width."""
    return f"{value:.2f}".replace("-", "−")


def colour(share: float) -> str:
    """Returns the colour of a place on the scale, 0 … 1 (what is beyond has the colour of the end), as `#rrggbb`."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps[MAP](min(max(share, 0.0), 1.0)))


def ink(ground: str) -> str:
    """Returns black or white, whichever is easier to read on a colour: their contrast with it is 4.58 or more."""
    # WCAG's contrast is (lighter + 0.05) / (darker + 0.05); that of black and that of white have the product 21.
    parts = (int(ground[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def _bar(scale: Any, extend: str, unit: str) -> str:
    """Returns the colour bar with its numbers and what it shows."""
    from matplotlib.ticker import MaxNLocator

    colours = ", ".join(colour(place / (STOPS - 1)) for place in range(STOPS))
    low, high = float(scale.vmin), float(scale.vmax)
    ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    marks = "".join(
        f'<span style="left:{100 * float(scale(tick)):.1f}%">{f"{tick:.4g}".replace("-", "−")}</span>' for tick in ticks
    )
    clipped = "" if extend == "neither" else f"; clipped at percentiles {CLIP[0]} and {CLIP[1]} of the words"
    label = f"SID (nats/{unit}), to the right more discarded{clipped}"
    told = f"Colours from {signed(low)} to {signed(high)} nats/{unit}"
    return (
        f'<div class="bar"><div class="colours" role="img" aria-label="{told}" '
        f'style="background:linear-gradient(to right, {colours})"></div>'
        f'<div class="ticks">{marks}</div><div>{label}</div></div>'
    )
