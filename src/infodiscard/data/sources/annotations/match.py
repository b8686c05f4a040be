"""Which annotation belongs to which picture."""

from __future__ import annotations

from collections.abc import Iterable
from posixpath import normpath, splitext
from unicodedata import normalize

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
    free, left = _forms(pictures), _forms(written)
    for bare, tails in ((False, False), (True, False), (False, True), (True, True)):
        by_base: dict[str, list[str]] = {}
        for picture, forms in free.items():
            by_base.setdefault(_base(forms[bare]), []).append(picture)
        found = set()
        for name, forms in left.items():
            same = by_base.get(_base(forms[bare]), ())
            fitting = [picture for picture in same if _alike(free[picture][bare], forms[bare], tails)]
            if len(fitting) > 1:
                raise InfodiscardError(
                    f"'{name}' in '{file}' may be '{fitting[0]}' or '{fitting[1]}'; write the path within the folder."
                )
            if fitting and (other := pairs.setdefault(fitting[0], name)) != name:
                raise InfodiscardError(
                    f"'{other}' and '{name}' in '{file}' may both be '{fitting[0]}'; keep the one that it is."
                )
            found |= {name} if fitting else set()
        free = {name: forms for name, forms in free.items() if name not in pairs}
        left = {name: forms for name, forms in left.items() if name not in found}
    return pairs


def _forms(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Returns name → its path, and its path without the suffix."""
    paths = {name: normpath(normalize("NFC", name.replace("\\", "/"))) for name in names}
    return {name: (path, _bare(path)) for name, path in paths.items()}


def _bare(path: str) -> str:
    stem, suffix = splitext(path)
    return stem if suffix.lower() in SUFFIXES | {".xml"} else path


def _alike(one: str, other: str, tails: bool) -> bool:
    """Whether two paths are equal, or with `tails` one is the end of the other."""
    return one == other or (tails and (one.endswith(f"/{other}") or other.endswith(f"/{one}")))


def _base(path: str) -> str:
    return path.rpartition("/")[2]
