"""Files: written atomically, safetensors headers, errors of the operating system in one sentence."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open

from ..errors import InfodiscardError

PARTIAL = ".partial"
"""Suffix of a file that is not finished yet; a killed process may leave one behind."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a local file so that a reader, or a kill, meets the old content or the new content, never a part.

    Several processes may write the same file at once: the last one wins, whole.

    Args:
        path: the file.
        write: writes the whole content to the path that it is given, a name of its own in the same folder.

    Raises:
        OSError: the file cannot be written; its old content is kept.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # a full disk may not show before
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def read_safetensors_header(path: Path) -> dict[str, str]:
    """Returns the metadata of a safetensors file, without reading its tensors; empty if it has none.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is not a whole safetensors file.
    """
    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def cache_folder() -> Path:
    """Returns the folder that `INFODISCARD_CACHE` names, else `infodiscard` in the user's cache."""
    named = os.environ.get("INFODISCARD_CACHE")
    return (Path(named) if named else user_cache_path("infodiscard", appauthor=False)).expanduser()


LONGEST = 200
"""Characters of a path up to which messages show it whole."""


@contextmanager
def translate_os_errors(action: str, path: Any) -> Iterator[None]:
    """Turns a full disk, missing permission, a bucket that is not there and the like into one sentence.

    Raises:
        InfodiscardError: the block raised an OSError.
    """
    try:
        yield
    except Exception as error:
        # Of S3's libraries, those errors too that say "no credentials" or "no connection", which are no OSErrors.
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in ("botocore", "aiohttp"):
            raise
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise InfodiscardError(f"Could not {action} '{_brief(path)}': {why}; {_remedy(action, error)}.") from error


def _remedy(action: str, error: Exception) -> str:
    """Returns what to do about an error of the operating system or of a bucket."""
    if getattr(error, "errno", None) == errno.ENAMETOOLONG:
        return "give a shorter path"
    if "credentials" in str(error).lower() or type(error).__name__ == "ProfileNotFound":
        return "name your account of the bucket (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    if not action.startswith(("write", "verify", "keep")):
        return "check its name and its permissions, or give another"
    how = "fix that (free space, permissions, another directory)"
    return f"{how} and run the same command again: what was finished is kept"


def _brief(path: Any) -> str:
    """Returns a path for a message: one that is far too long without its middle."""
    text = str(path)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
