"""Places of runs: a directory on this machine, or any URL that fsspec reaches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, TypeGuard

from ..core.files import write_atomically
from ..errors import InfodiscardError, quoted

STATUS, LOG, UNFINISHED = "status.json", "log.jsonl", "unfinished.safetensors"
"""Files in a run's directory beside its store and its lock."""

_LOCAL = ("", "file", "local")


def as_place(place: Any) -> Any:
    """Returns a local directory as a `Path`, and a URL such as `s3://bucket/run` as a `upath.UPath`, alike in use.

    Raises:
        InfodiscardError: no path, a URL of no known kind, or the library that reaches it is missing.
    """
    if getattr(place, "protocol", "") not in _LOCAL:
        return place
    is_url = hasattr(place, "storage_options")
    if not is_url and not isinstance(place, str | os.PathLike):
        raise InfodiscardError(
            f"The run's place was {quoted(place)}; give a directory, or a URL such as s3://bucket/run."
        )
    text = place.path if is_url else os.fspath(place)
    kind, url, rest = text.partition("://")
    if not url:
        return Path(text).expanduser()
    if kind == "file":
        return Path(rest)
    try:
        from upath import UPath  # optional

        # Other processes write there too, so a listing that was true a moment ago is not believed.
        remote = UPath(text, use_listings_cache=False)
        remote.fs  # noqa: B018 - opens the library behind it, which may be missing
    except ImportError as error:
        raise InfodiscardError(
            f"'{text}' needs a library that is missing ({error}); install it with pip install 'infodiscard[s3]' for "
            "S3, or universal_pathlib and fsspec's library for another place."
        ) from error
    except ValueError as error:
        raise InfodiscardError(
            f"'{text}' is no place that can be reached ({error}); give a directory, or a URL such as s3://bucket/run."
        ) from error
    return remote


def is_local(place: Any) -> TypeGuard[Path]:
    """Whether what `as_place` returned is a directory on this machine.

    A remote place may be a `Path` too, by its class: universal_pathlib 0.2 derived them so.
    """
    return not hasattr(place, "storage_options")


def zarr_store(place: Any) -> Any:
    """Returns what Zarr and xarray open for a place."""
    if is_local(place):
        return str(place)
    from zarr.storage import FsspecStore  # slow

    return FsspecStore.from_url(str(place), storage_options=dict(place.storage_options))


def names_in(place: Any) -> list[str]:
    """Returns the names in a directory, sorted; none if it is not there."""
    return sorted(item.name for item in place.iterdir()) if place.exists() else []


def remove(place: Any) -> None:
    """Removes a directory and all that is in it."""
    if is_local(place):
        shutil.rmtree(place)
    else:
        place.fs.rm(place.path, recursive=True)


def write_whole(place: Any, content: bytes) -> None:
    """Writes a small file so that a reader, or a kill, meets the old one or the new one and never a part."""
    if not is_local(place):
        place.fs.pipe_file(place.path, content)
        return
    write_atomically(place, lambda temporary: temporary.write_bytes(content))


def read_whole(place: Any) -> bytes | None:
    """Returns a small file's content as it is now; `None` if it is not there."""
    try:
        return place.read_bytes() if is_local(place) else place.fs.cat_file(place.path)
    except (FileNotFoundError, NotADirectoryError):
        return None
