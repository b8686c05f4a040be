"""Where the parts of a run came from, for the record: nothing of the user's folders is kept."""

from __future__ import annotations

from pathlib import Path

RANDOM = "random"
"""Of weights that nobody trained."""


def without_folders(spec: str) -> str:
    """Returns a spec or a path with base names only, such as "parquet:test-*.parquet" or "net.py:build".

    What names no place on this machine stays as it is: names of a zoo, and of models on a hub.
    """
    kind, colon, place = spec.partition(":")
    if kind == "hf" and not Path(place).expanduser().exists():
        return spec
    return f"{Path(kind).name}:{Path(place).name}" if colon else Path(spec).name
