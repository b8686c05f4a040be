"""Texts word by word, shaded by how much of each a layer discards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..core.kinds import SPECIAL
from ..errors import InfodiscardError
from ..plots.layer_curves import identity_level
from ..plots.style import CLIP, colour_scale
from ..results.run import StoredRun
from ..results.words import Word, mean_of, table, values_of, words_of
from .colours import SHADES, shade_class
from .rendering import formatted

FIRST = 12  # texts on the page of a run
ELLIPSIS, DIGITS = "…", ".2f"


class ShadedWord(NamedTuple):
    """A word: its text, the class of its colour, its number in words, whether a space is before it, and if special."""

    text: str
    shade: str
    title: str
    spaced: bool
    special: bool


@dataclass(frozen=True)
class ShadedRuns:
    """Texts of runs on one scale of colours.

    Attributes:
        runs: name → text → layer → words.
        low: the lower end of the scale.
        high: its upper end.
        clipped: whether there are words beyond its ends.
        unit: what one position is called.
        identity: the value of a layer that passes its input on unchanged; "" if it is not known.
        shown: how many texts of a run are shown at most.
        total: how many there are in the largest.
    """

    shades: ClassVar = SHADES
    clip: ClassVar = CLIP

    runs: dict[str, dict[str, dict[str, list[ShadedWord]]]]
    low: str
    high: str
    clipped: bool
    unit: str
    identity: str
    shown: int
    total: int


def shaded_runs(runs: Mapping[str, StoredRun], count: int | None = FIRST) -> ShadedRuns:
    """Returns the first `count` texts of each run, by name; all texts if `None`.

    One scale for all texts, layers, networks and runs: from the 1st to the 99th percentile of the words, without
    special tokens.

    Raises:
        InfodiscardError: a run is not one of texts, or nothing is measured.
    """
    values = np.concatenate([_values(run) for run in runs.values()])
    if not values.size:
        raise InfodiscardError("Nothing of this run is measured yet; continue it first.")
    scale, extend = colour_scale(values)
    plan, total = next(iter(runs.values())).plan, max(len(run.plan.samples) for run in runs.values())
    level = identity_level(plan.settings)
    return ShadedRuns(
        runs={name: _texts(run, scale, count) for name, run in runs.items()},
        low=formatted(float(scale.vmin), DIGITS),
        high=formatted(float(scale.vmax), DIGITS),
        clipped=extend != "neither",
        unit=plan.layout.unit,
        identity="" if level is None else formatted(level, DIGITS),
        shown=total if count is None else count,
        total=total,
    )


def _values(run: StoredRun) -> np.ndarray:
    """Returns the SID of all words; of special tokens only if there are no others."""
    every = table(run)
    words = every[every["word"] != SPECIAL]
    return (every if words.empty else words)["sid"].to_numpy(float)


def _texts(run: StoredRun, scale: Any, count: int | None) -> dict[str, dict[str, list[ShadedWord]]]:
    """Returns the first texts, each with the layers where it was measured."""
    plan, texts = run.plan, {}
    maps = {
        (network, layer): values_of(run, network, layer) for network in plan.networks for layer in plan.layers[network]
    }
    for number, (sample, words) in enumerate(zip(plan.samples[:count], words_of(plan), strict=False)):
        texts[sample] = {
            layer if len(plan.networks) == 1 else f"{network} {layer}": [
                _shaded(word, values[number], scale, plan.layout.unit) for word in words
            ]
            for (network, layer), values in maps.items()
            if np.isfinite(values[number]).any()
        }
    return texts


def _shaded(word: Word, values: np.ndarray, scale: Any, unit: str) -> ShadedWord:
    """Returns one word; `values`: of the tokens of its text."""
    mean = mean_of(word, values)
    title = f"{word.text}{', a special token' * word.special}: {formatted(mean, DIGITS)} nats/{unit}"
    if len(word.places) > 1:
        # The first of the tokens that make one character has that, the others nothing.
        pieces = zip(word.parts, word.places, strict=True)
        title += f" ({', '.join(f'{text or ELLIPSIS} {formatted(values[place], DIGITS)}' for text, place in pieces)})"
    return ShadedWord(word.text, shade_class(float(scale(mean))), title, word.spaced, word.special)
