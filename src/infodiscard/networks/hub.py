"""The Hugging Face hub: the library transformers, and models in a directory or under a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..errors import InfodiscardError

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def library() -> Any:
    """Returns transformers.

    Raises:
        InfodiscardError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise InfodiscardError(
            "Models of the Hugging Face library need it; install it with pip install 'infodiscard[transformers]'."
        ) from error
    return transformers


def located(place: str) -> str:
    """Returns the path of a directory, or a name that the hub may have."""
    path = Path(place).expanduser()
    if place and path.is_dir():
        return str(path)
    if path.exists() or not HUB_NAME.fullmatch(place):
        what = f"'{place}' is a file" if path.is_file() else f"There is no directory '{place}'"
        raise InfodiscardError(f"{what}; give one that save_pretrained wrote, as in 'hf:models/mine'.")
    return place


@contextmanager
def hub_errors(place: str | Path, file: str, wanted: str) -> Iterator[None]:
    """Turns an error of transformers about files that it cannot use into one sentence.

    Raises:
        InfodiscardError: the block raised what transformers does.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, SafetensorError) as error:
        if isinstance(error, InfodiscardError):
            raise
        path = Path(place).expanduser()
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(" .")
        if "trust_remote_code" in str(error):
            text = f"'{place}' needs code of its own, which is not run; build it in a file, as in 'net.py:build'."
        elif path.is_dir() and not (path / file).is_file() and not list(path.glob("*.index.json")):
            text = f"The directory '{place}' has no {file}; save there {wanted}."
        elif path.is_dir():
            text = f"'{place}' cannot be used ({reason}); save it again with save_pretrained."
        else:
            text = (
                f"There is no directory '{place}', and no such model can be fetched from the Hugging Face hub "
                f"({reason}); connect to the network, or give a directory that save_pretrained wrote."
            )
        raise InfodiscardError(text) from error


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keeps transformers from printing bars and reports for the block."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
