"""Text sets: texts in the tokens of a language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

import torch

from ..core.kinds import SPECIAL
from ..errors import InfodiscardError, whole
from .imageset import unique
from .tokenizers import load_tokenizer, longest_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN = 28
"""Characters of a text in its sample's name."""


@dataclass(frozen=True)
class TextSet:
    """Texts in tokens, as a language model and `infodiscard.measure` take them.

    Attributes:
        ids: the tokens' numbers, int64, `n × tokens`, with padding behind.
        valid: false on padding, `n × tokens`.
        tokens: of each text, what each token stands for: its stretch of the text with the spaces before it; the name of
            a special token; nothing for padding.
        words: the number of the word that each token is part of, from 0; `SPECIAL` for none.
        names: of the texts: the number of the line and its beginning.
        cut: the names of those that are cut.
        source: the file, for the record.
    """

    ids: torch.Tensor
    valid: torch.Tensor
    tokens: tuple[tuple[str, ...], ...]
    words: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    cut: tuple[str, ...] = ()
    source: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        """Describes the texts in one line."""
        of = f" of {self.source}" if self.source else ""
        return f"<TextSet{of}: {len(self)} texts of up to {self.ids.shape[1]} tokens>"


@dataclass(frozen=True)
class _Text:
    """One text: its name, and of each token its id, what it stands for and its word."""

    name: str
    ids: list[int]
    tokens: list[str]
    words: list[int]
    cut: bool


def text(
    source: str | Path | Sequence[str],
    tokenizer: str | Path | PreTrainedTokenizerBase,
    samples: int | None = None,
    *,
    longest: int | None = None,
    truncate: bool = False,
) -> TextSet:
    """Reads texts, one per line, and splits them into tokens; blank lines are skipped.

    The special tokens that the tokenizer adds are kept, and marked. Tokens belong to one word if the tokenizer says so
    and no space is between them.

    Args:
        source: a file in UTF-8, or the lines themselves.
        tokenizer: the directory of a model and its tokenizer (or a model's name on the Hugging Face hub), or a
            tokenizer of transformers that has a `tokenizer.json`.
        samples: how many texts, from the first; `None` for all.
        longest: most tokens of a text; by default the fewest that the tokenizer, or the model beside it, says it takes.
        truncate: cut longer texts there, which their names then say; otherwise they are refused.

    Raises:
        InfodiscardError: the file is missing, empty or not UTF-8, a text is too long, or there is no such tokenizer.
    """
    if samples is not None:
        samples = whole("samples", samples, "a whole number of texts, 1 or more", 1)
    where = f"'{source}'" if isinstance(source, str | Path) else "The sequence"
    lines = _read(Path(source)) if isinstance(source, str | Path) else enumerate(source, start=1)
    chosen = list(islice(((number, line) for number, line in lines if line.strip()), samples))
    if not chosen:
        raise InfodiscardError(f"{where} holds no text; give one text per line.")
    stored = isinstance(tokenizer, str | Path)
    model: Any = load_tokenizer(tokenizer) if isinstance(tokenizer, str | Path) else tokenizer
    if not getattr(model, "is_fast", False):
        raise InfodiscardError(
            f"A {type(model).__name__} does not say where in the text its tokens are; give a tokenizer of "
            "transformers that has a tokenizer.json."
        )
    limits = [model.model_max_length, longest_text(str(tokenizer)) if stored else None]
    limit = min(each for each in limits if each is not None) if longest is None else longest
    texts = [_tokenized(number, line, model, limit, truncate, where) for number, line in chosen]
    return _padded(texts, str(source) if isinstance(source, str | Path) else "")


def _read(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file with their numbers, from 1; reads no further than asked."""
    path = path.expanduser()
    if not path.is_file():
        raise InfodiscardError(f"There is no file '{path}'; give a text file with one text per line.")
    number = 0
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InfodiscardError(
            f"Line {number} of '{path}' is not UTF-8 (byte {error.start + 1} of the line); save the file in UTF-8."
        ) from error
    except OSError as error:
        raise InfodiscardError(f"'{path}' cannot be read ({error.strerror}); give a text file.") from error


def _tokenized(number: int, line: str, tokenizer: Any, limit: int, truncate: bool, where: str) -> _Text:
    """Returns one text's tokens."""
    name = f"{number}: {_shortened(_printable(line.strip()))}"
    cut = False
    encoded = tokenizer(line, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    count = len(encoded["input_ids"])
    if count > limit:
        if not truncate:
            raise InfodiscardError(
                f"Line {number} of {where} has {count} tokens, but the model takes {limit} at most; shorten it, or "
                "cut such lines there with truncate (--truncate)."
            )
        encoded = tokenizer(
            line, return_offsets_mapping=True, return_special_tokens_mask=True, truncation=True, max_length=limit
        )
        cut, name = True, f"{name} (cut to {limit} of {count} tokens)"
    ids = encoded["input_ids"]
    if not ids:
        raise InfodiscardError(f"Line {number} of {where} has no tokens; leave it out.")
    tokens, words = _words(line, ids, encoded, tokenizer)
    return _Text(name, ids, tokens, words, cut)


def _words(line: str, ids: list[int], encoded: Any, tokenizer: Any) -> tuple[list[str], list[int]]:
    """Returns what each token stands for, and the number of its word."""
    of_word = encoded.word_ids()
    tokens, words, end, before, word = [], [], 0, None, -1
    for place, (start, stop) in enumerate(encoded["offset_mapping"]):
        if of_word[place] is None or encoded["special_tokens_mask"][place]:
            tokens.append(str(tokenizer.convert_ids_to_tokens(ids[place])))
            words.append(SPECIAL)
            continue
        stretch = line[end : max(stop, end)]  # a character may be made of several tokens: the first one has it
        # Tokenizers that see a text as one word, or as none, still have spaces to separate words.
        if word < 0 or of_word[place] != before or stretch[:1].isspace() or line[start:stop][:1].isspace():
            word += 1
        tokens.append(_printable(stretch))
        words.append(word)
        end, before = max(stop, end), of_word[place]
    return tokens, words


def _padded(texts: Sequence[_Text], source: str) -> TextSet:
    """Pads texts to one length."""
    width = max(len(each.ids) for each in texts)
    gaps = [width - len(each.ids) for each in texts]
    pairs = list(zip(texts, gaps, strict=True))
    return TextSet(
        ids=torch.tensor([each.ids + [0] * gap for each, gap in pairs]),
        valid=torch.tensor([[True] * len(each.ids) + [False] * gap for each, gap in pairs]),
        tokens=tuple((*each.tokens, *[""] * gap) for each, gap in pairs),
        words=tuple((*each.words, *[SPECIAL] * gap) for each, gap in pairs),
        names=unique(each.name for each in texts),
        cut=tuple(each.name for each in texts if each.cut),
        source=source,
    )


def _printable(line: str) -> str:
    """Replaces control characters, which neither terminals nor pages should get, by a sign for them."""
    return "".join("�" if category(x) == "Cc" and x not in "\t\r\n" else x for x in line)


def _shortened(line: str) -> str:
    line = " ".join(line.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1].rstrip()}…"
