"""Tokenizers of language models, as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..networks.hub import hub_errors, library, located, quiet


def load_tokenizer(place: str | Path) -> Any:
    """Returns the tokenizer in a directory or on the hub.

    Raises:
        InfodiscardError: there is none, or it does not say where in the text its tokens are.
    """
    transformers, path = library(), located(str(place))
    with hub_errors(place, "tokenizer.json", "a tokenizer, by its own save_pretrained"), quiet(transformers):
        if Path(path).is_dir() and not (Path(path) / "tokenizer.json").is_file():
            raise OSError("there is no tokenizer.json")  # transformers would complain of missing converters
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    return tokenizer


def longest_text(place: str | Path) -> int | None:
    """Returns the longest text, in tokens, of the model in a directory or on the hub; `None` if there is no limit."""
    transformers = library()
    try:
        with quiet(transformers):
            config = transformers.AutoConfig.from_pretrained(located(str(place)), trust_remote_code=False)
    except (OSError, ValueError, KeyError):
        return None  # a directory may hold a tokenizer alone
    return getattr(config, "max_position_embeddings", None)
