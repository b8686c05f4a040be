"""Files: written whole or not at all, and errors of the operating system in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError, safe_open

from ..errors import InfodiscardError


@contextmanager
def told(action: str, path: Any) -> Iterator[None]:
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
        raise InfodiscardError(
            f"Could not {action} '{path}': {getattr(error, 'strerror', None) or error}; mend that (free space, "
            "permissions, another directory) and run the same again: what was finished is kept."
        ) from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under a temporary name in the same folder, then puts it in place.

    An error, a full disk or a kill leaves what was there; processes that write the same file share no temporary one.

    Args:
        path: the file; replaced if it exists.
        write: writes the whole file to the path that it gets.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_metadata(path: Path) -> dict[str, str]:
    """Returns the metadata of a safetensors file, without reading its tensors.

    Raises:
        OSError: there is no such file, or it is no whole safetensors file.
    """
    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise OSError(f"'{path}' is not a whole safetensors file: {error}") from error
