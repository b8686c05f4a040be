"""Which trained networks a user gives to which study: `ROLE=SPEC` on the command line, or a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.files import translate_os_errors
from ..errors import InfodiscardError, nearest, quoted, whole

ROLES: Mapping[str, tuple[str, ...]] = {
    "networks": ("depthN",),
    "flaws": ("intact", "damaged"),
    "compression": ("original", "compressed"),
    "distillation": ("ordinary", "distilled"),
    "epochs": ("epochN",),
    "robustness": ("standard", "robust"),
}
"""What networks given are to each study. `N` is a number; a role given twice makes a second pair."""

SYNTAX = "ROLE=SPEC or ROLE=SPEC@WEIGHTS, such as damaged=networks.py:plain, or the path of a .toml file"
WEIGHTS = re.compile(r"(?P<spec>.+?)@(?P<weights>.+\.(?:safetensors|pt|pth))")


@dataclass(frozen=True)
class Place:
    """One network as a user names it.

    Attributes:
        role: what it is to the study, such as `damaged` or `epoch12`.
        spec: as `zoo.load` takes it.
        weights: its file; `None` if the spec brings its own.
    """

    role: str
    spec: str
    weights: str | None = None

    @property
    def kind(self) -> str:
        """The role without its number."""
        return self.role.rstrip("0123456789")

    @property
    def number(self) -> int | None:
        """The number in the role: a depth or an epoch; `None` for other roles."""
        digits = self.role[len(self.kind) :]
        return int(digits) if digits else None


@dataclass(frozen=True)
class Request:
    """The networks given to one study.

    Attributes:
        study: its name.
        places: the networks, in the order given.
        data: spec of the images; `None` for those of the folder of data sets that have the networks' classes.
        layers: to measure; empty for the networks' default layers.
        images: how many; `None` for the profile's.
    """

    study: str
    places: tuple[Place, ...]
    data: str | None = None
    layers: tuple[str, ...] = ()
    images: int | None = None


def parse(texts: Sequence[str], study: str) -> list[Request]:
    """Returns what is given to each study by texts of the command line.

    Args:
        texts: `ROLE=SPEC` or `ROLE=SPEC@WEIGHTS` each, or the path of one TOML file with a table for each study.
        study: that the command names; `all` needs a file.

    Raises:
        InfodiscardError: a text is neither, there is no such study or role, or the study named is given none.
    """
    if len(texts) == 1 and texts[0].endswith(".toml") and "=" not in texts[0]:
        requests = _from_file(Path(texts[0]))
        chosen = [each for each in requests if study in ("all", each.study)]
        if not chosen:
            raise InfodiscardError(
                f"'{texts[0]}' gives the study '{_known(study)}' no networks; it has those of "
                f"{', '.join(each.study for each in requests) or 'none'}."
            )
        return chosen
    if study == "all":
        raise InfodiscardError(
            "Networks for all studies are given by a .toml file with a table for each study; or name one study."
        )
    return [_checked(Request(_known(study), tuple(_place(text, study) for text in texts)))]


def words(texts: Sequence[str]) -> str:
    """Returns the options of a command line that gives these networks, without the folders of their files."""
    named = [re.sub(r"(?<=[=@])[^=@]*/|^[^=]*/", "", text) for text in texts]
    return "".join(f" --networks {text}" for text in named)


def _place(text: str, study: str) -> Place:
    role, equals, spec = text.partition("=")
    if not equals or not role or not spec:
        raise InfodiscardError(f"--networks was {quoted(text)}; give {SYNTAX}.")
    return _made(role.strip(), spec.strip(), study)


def _made(role: str, spec: Any, study: str) -> Place:
    if not isinstance(spec, str):
        raise InfodiscardError(f"'{role}' of '{study}' was {quoted(spec)}; give the spec of a network, as a text.")
    allowed = ROLES[_known(study)]
    pattern = "|".join(each[:-1] + r"\d+" if each.endswith("N") else each for each in allowed)
    if not re.fullmatch(pattern, role):
        raise InfodiscardError(
            f"The study '{study}' knows no role '{role}'; allowed are {', '.join(allowed)}"
            f"{', where N is a number' if allowed[0].endswith('N') else ''}."
        )
    found = WEIGHTS.fullmatch(spec)
    return Place(role, found["spec"], found["weights"]) if found else Place(role, spec)


def _known(study: str) -> str:
    if study not in ROLES:
        raise InfodiscardError(
            f"The study '{study}' takes no networks of the user's; near it is {nearest(study, list(ROLES), 1)}, and "
            f"allowed are {', '.join(ROLES)}."
        )
    return study


def _checked(request: Request) -> Request:
    """Checks that there is something to compare, role by role."""
    counts = {role: sum(place.kind == role for place in request.places) for role in ROLES[request.study]}
    if len(counts) == 1:
        numbers = [place.number for place in request.places]
        if len(set(numbers)) < len(numbers):
            twice = f"{request.places[0].kind}{max(numbers, key=numbers.count)}"
            raise InfodiscardError(f"Two networks of '{request.study}' have the role '{twice}'; give each number once.")
        if len(numbers) < 2:
            raise InfodiscardError(f"The study '{request.study}' compares two networks or more; one was given.")
        return request
    first, second = counts
    alone = request.study == "compression" and not counts[first]  # what is compressed may come without its original
    if counts[first] != counts[second] and not alone:
        raise InfodiscardError(
            f"The study '{request.study}' compares pairs, but {counts[first]} '{first}' and {counts[second]} "
            f"'{second}' networks were given; give as many of both."
        )
    return request


def _from_file(path: Path) -> list[Request]:
    with translate_os_errors("read the networks in", path):
        text = path.read_bytes()
    try:
        tables = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InfodiscardError(f"'{path}' is no TOML ({error}); write a table for each study, as [flaws].") from error
    return [_from_table(study, table, path) for study, table in tables.items()]


def _from_table(study: str, table: Any, path: Path) -> Request:
    """Returns what one table of a file gives: roles, and perhaps `data`, `layers` and `images`."""
    if not isinstance(table, dict):
        raise InfodiscardError(f"'{study}' in '{path}' is no table; write one for each study, as [flaws].")
    layers, data, images = table.pop("layers", []), table.pop("data", None), table.pop("images", None)
    if not isinstance(layers, list) or not all(isinstance(each, str) for each in layers):
        raise InfodiscardError(f"layers of [{study}] were {quoted(layers)}; give a list of texts.")
    if data is not None and not isinstance(data, str):
        raise InfodiscardError(f"data of [{study}] was {quoted(data)}; give the spec of images, as a text.")
    if images is not None:
        images = whole(f"images of [{study}]", images, "a whole number, 2 or more", 2)
    places = tuple(
        _made(role, spec, study)
        for role, given in table.items()
        for spec in (given if isinstance(given, list) else [given])
    )
    return _checked(Request(_known(study), places, data, tuple(layers), images))
