"""Files: errors of the operating system in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
