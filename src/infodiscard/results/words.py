"""Words of a run of texts, and their SID."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.kinds import SPECIAL
from ..errors import InfodiscardError

if TYPE_CHECKING:
    import pandas as pd

    from .plan import Plan
    from .run import StoredRun


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Attributes:
        text: its characters, without the spaces before it.
        number: its place among the words of its text, from 0; −1 for a special token.
        places: of its tokens in the text.
        parts: what each token stands for.
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
    """Returns the words of each sample in order, with special tokens and without padding.

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
        if text or number != SPECIAL:  # otherwise it is padding
            yield Word(text.strip(), number, chosen, tuple(map(str.strip, parts)), text[:1].isspace())


def table(run: StoredRun) -> pd.DataFrame:
    """Returns one row per network, layer, sample and word, in their order.

    Its columns: `network`, `layer`, `sample`, `word` (its number, −1 for a special token), `text`, `tokens` (how many
    it is made of) and `sid`, the mean of theirs as reached, in nats/token. What is not measured is omitted.

    Raises:
        InfodiscardError: the run is not one of texts.
    """
    import pandas as pd

    words, plan = words_of(run.plan), run.plan
    rows: list[dict[str, Any]] = []
    for network in plan.networks:
        for layer in plan.layers[network]:
            for sample, line, values in zip(plan.samples, words, values_of(run, network, layer), strict=True):
                cell = {"network": network, "layer": layer, "sample": sample}
                rows += [
                    cell | {"word": w.number, "text": w.text, "tokens": len(w.places), "sid": mean_of(w, values)}
                    for w in line
                ]
    names = ["network", "layer", "sample", "word", "text", "tokens", "sid"]
    return pd.DataFrame(rows, columns=names).dropna(subset=["sid"]).reset_index(drop=True)


def values_of(run: StoredRun, network: str, layer: str) -> np.ndarray:
    """Returns the SID of every token at a layer, `samples × tokens`."""
    return run.read(network, layer, 0, len(run.plan.samples), "sid_map")


def mean_of(word: Word, values: np.ndarray) -> float:
    """Returns the mean over a word's tokens of its text's `values`, one per token."""
    return float(values[list(word.places)].mean())
