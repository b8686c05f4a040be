"""Verification of a stored run: whether everything is still there, and whole by its checksums."""

from __future__ import annotations

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
    """The outcome.

    Attributes:
        units: finished units that were read.
        damaged: what is not whole; removed, if that was asked for.
    """

    units: int
    damaged: tuple[Damage, ...]


def verify_run(path: Any, repair: bool = True) -> Verification:
    """Reads everything that a run has stored, and compares it with its checksums (CRC-32C of each chunk, by Zarr).

    Args:
        path: directory or URL of the run.
        repair: remove what is damaged, so that the command that made the run measures it again, and nothing else.

    Raises:
        InfodiscardError: there is no run, it is being written, or it was made before runs had checksums.
    """
    run = StoredRun.open(path)
    place: Any = run.path
    with translate_os_errors("verify the run in", place):
        held = lock(place) if repair else None
        try:
            arrays = Arrays.open(place / STORE, run.plan, writable=repair)
            if "failure" not in arrays:
                raise InfodiscardError(
                    f"'{place}' was made by a version of infodiscard whose runs have no checksums; measure it again to "
                    "have them."
                )
            return Verification(len(arrays.finished()), _damage(arrays, repair))
        finally:
            if held is not None:
                held.release()


def _damage(arrays: Arrays, repair: bool) -> tuple[Damage, ...]:
    """Returns the damage among the finished units and the pictures, and removes what is damaged if that is wanted."""
    damaged = []
    for unit, names in arrays.damage():
        if names:
            damaged.append(Damage(unit.network, unit.layer, unit.start, unit.stop, tuple(names)))
            if repair:
                arrays.forget(unit)
    for name, rows in arrays.damaged_pictures():
        damaged.append(Damage(None, None, rows.start, rows.stop, (name,)))
        if repair:
            arrays.forget_pictures(name, rows)
    return tuple(damaged)
