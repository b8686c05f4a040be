"""Which annotation belongs to which picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from ....errors import InfodiscardError
from ..files import SUFFIXES


def match(pictures: Iterable[str], written: Iterable[str], file: str) -> dict[str, str]:
    """Returns picture → its name as the annotations write it, for all pairs that there are.

    Names are compared as paths within the folder, then without their suffixes; then so that one path may be the end of
    the other, with and without suffixes. An accent is one letter, however it is encoded, and a backslash a slash.

    Args:
        pictures: paths in the folder.
        written: names of pictures in the annotations.
        file: that these are in, for the message.

    Raises:
        InfodiscardError: a name fits several pictures, or several names one picture.
    """
    pairs: dict[str, str] = {}
    free, left = list(pictures), list(written)
    for form, tails in ((_path, False), (_bare, False), (_path, True), (_bare, True)):
        by_base = _grouped(free, lambda name, form=form: _base(form(name)))  # type: ignore[misc]
        found = set()
        for name in left:
            fitting = [each for each in by_base.get(_base(form(name)), ()) if _alike(form(each), form(name), tails)]
            if len(fitting) > 1:
                raise InfodiscardError(
                    f"'{name}' in '{file}' may be '{fitting[0]}' or '{fitting[1]}'; write the path within the folder."
                )
            if fitting and (other := pairs.setdefault(fitting[0], name)) != name:
                raise InfodiscardError(
                    f"'{other}' and '{name}' in '{file}' may both be '{fitting[0]}'; keep the one that it is."
                )
            found |= {name} if fitting else set()
        free = [name for name in free if name not in pairs]
        left = [name for name in left if name not in found]
    return pairs


def _alike(one: str, other: str, tails: bool) -> bool:
    """Whether two paths are equal, or with `tails` one is the end of the other."""
    return one == other or (tails and (one.endswith(f"/{other}") or other.endswith(f"/{one}")))


def _grouped(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(form(name), []).append(name)
    return groups


def _path(name: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(name.replace("\\", "/")).as_posix())


def _bare(name: str) -> str:
    """Returns the path without its suffix."""
    path = _path(name)
    suffix = PurePosixPath(path).suffix
    return path.removesuffix(suffix) if suffix.lower() in SUFFIXES | {".xml"} else path


def _base(path: str) -> str:
    return path.rpartition("/")[2]
