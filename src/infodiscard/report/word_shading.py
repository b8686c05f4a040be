"""Texts word by word, shaded by how much of each a layer discards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..core.kinds import SPECIAL
from ..errors import InfodiscardError
from ..plots.layer_curves import identity_level
from ..plots.style import CLIP, colour_scale, layer_scales, widened
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
    """Texts of runs on one scale of colours, or on one for each layer.

    Attributes:
        runs: name → text → layer → words.
        low: the lower end of the scale; "low" where layers have scales of their own.
        high: its upper end.
        ends: layer, as in `runs` → the ends of its own scale; `{}` where one scale serves all.
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
    ends: dict[str, str]
    clipped: bool
    unit: str
    identity: str
    shown: int
    total: int


def shaded_runs(runs: Mapping[str, StoredRun], count: int | None = FIRST) -> ShadedRuns:
    """Returns the first `count` texts of each run, by name; all texts if `None`.

    One scale for all texts, networks and runs: from the 1st to the 99th percentile of the words, without special
    tokens. One for all layers, too, unless they differ by more than the words of one.

    Raises:
        InfodiscardError: a run is not one of texts, or nothing is measured.
    """
    words = {layer: np.concatenate(each) for layer, each in _values(runs.values()).items()}
    values = np.concatenate([np.empty(0), *words.values()])
    if not values.size:
        raise InfodiscardError("Nothing of this run is measured yet; continue it first.")
    own = layer_scales(words)
    scales = {layer: colour_scale(each, own.get(layer) or _ends(values)) for layer, each in words.items()}
    low, high = _ends(values)
    plan, total = next(iter(runs.values())).plan, max(len(run.plan.samples) for run in runs.values())
    level = identity_level(plan.settings)
    return ShadedRuns(
        runs={
            name: _texts(run, {layer: scale for layer, (scale, _) in scales.items()}, count)
            for name, run in runs.items()
        },
        low="low" if own else formatted(low, DIGITS),
        high="high" if own else formatted(high, DIGITS),
        ends={
            label: "…".join(formatted(end, DIGITS) for end in own[layer])
            for run in runs.values()
            for label, layer in _labels(run).items()
            if layer in own
        },
        clipped=any(extend != "neither" for _, extend in scales.values()),
        unit=plan.layout.unit,
        identity="" if level is None else formatted(level, DIGITS),
        shown=total if count is None else count,
        total=total,
    )


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Returns the ends of the scale that all words share."""
    low, high = np.percentile(values, CLIP)
    return widened(float(low), float(high))


def _values(runs: Iterable[StoredRun]) -> dict[str, list[np.ndarray]]:
    """Returns layer → the SID of all its words; of special tokens only if there are no others."""
    found: dict[str, list[np.ndarray]] = {}
    for every in map(table, runs):
        words = every[every["word"] != SPECIAL]
        for layer, rows in (every if words.empty else words).groupby("layer", sort=False):
            found.setdefault(str(layer), []).append(rows["sid"].to_numpy(float))
    return found


def _labels(run: StoredRun) -> dict[str, str]:
    """Returns what the lines of a text are called → their layer."""
    plan = run.plan
    return {
        layer if len(plan.networks) == 1 else f"{network} {layer}": layer
        for network in plan.networks
        for layer in plan.layers[network]
    }


def _texts(run: StoredRun, scales: Mapping[str, Any], count: int | None) -> dict[str, dict[str, list[ShadedWord]]]:
    """Returns the first texts, each with the layers where it was measured."""
    plan, texts = run.plan, {}
    maps = {
        (network, layer): values_of(run, network, layer) for network in plan.networks for layer in plan.layers[network]
    }
    for number, (sample, words) in enumerate(zip(plan.samples[:count], words_of(plan), strict=False)):
        texts[sample] = {
            layer if len(plan.networks) == 1 else f"{network} {layer}": [
                _shaded(word, values[number], scales[layer], plan.layout.unit) for word in words
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
