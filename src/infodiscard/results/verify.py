"""Whether all that a run has stored is still there and whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.files import translate_os_errors
from ..errors import InfodiscardError
from .arrays import Arrays
from .locks import lock
from .run import StoredRun
from .store import STORE


@dataclass(frozen=True)
class Damage:
    """Chunks that are missing or damaged.

    Attributes:
        network, layer: whose; `None` for the images and masks.
        start, stop: of which samples.
        variables: which of their quantities.
    """

    network: str | None
    layer: str | None
    start: int
    stop: int
    variables: tuple[str, ...]

    def __str__(self) -> str:
        whose = f"{self.network} {self.layer}, " if self.network is not None else ""
        return f"{whose}samples {self.start} to {self.stop - 1}: {', '.join(self.variables)}"


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        units: finished units that were read.
        damaged: what is not whole.
        mended: whether it has been removed, so that the command that made the run makes it again.
    """

    units: int
    damaged: tuple[Damage, ...]
    mended: bool


def verify(path: Any, mend: bool = True, saw: Callable[[int, int], None] | None = None) -> Verification:
    """Reads everything that a run has stored, and compares it with its checksums (CRC-32C of each chunk, by Zarr).

    Args:
        path: directory or URL of the run.
        mend: remove what is damaged, so that the command that made the run measures it again, and nothing else.
        saw: called with the number of units read so far, and of all.

    Raises:
        InfodiscardError: there is no run, it is being written, or it was made before runs had checksums.
    """
    run = StoredRun.open(path)
    place: Any = run.path
    with translate_os_errors("verify the run in", place):
        held = lock(place) if mend else None
        try:
            arrays = Arrays.open(place / STORE, run.plan, writable=mend)
            if "failure" not in arrays:
                raise InfodiscardError(
                    f"'{place}' was made by a version of infodiscard whose runs have no checksums; measure it again to "
                    "have them."
                )
            units = len(arrays.finished())
            return Verification(units, _damage(arrays, units, mend, saw), mend)
        finally:
            if held is not None:
                held.release()


def _damage(arrays: Arrays, units: int, mend: bool, saw: Callable[[int, int], None] | None) -> tuple[Damage, ...]:
    """Finds the damage among so many finished units, and removes what is damaged if that is wanted."""
    found = []
    for count, (unit, names) in enumerate(arrays.damage(), 1):
        if names:
            found.append(Damage(unit.network, unit.layer, unit.start, unit.stop, tuple(names)))
            if mend:
                arrays.forget(unit)
        if saw is not None:
            saw(count, units)
    for name, rows in arrays.damaged_pictures():
        found.append(Damage(None, None, rows.start, rows.stop, (name,)))
        if mend:
            arrays.forget_pictures(name, rows)
    return tuple(found)
