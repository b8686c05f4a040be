"""Unit that is being measured, kept on disk from time to time, so that an interruption costs seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import read_safetensors_header, write_atomically
from .places import UNFINISHED
from .plan import Unit

if TYPE_CHECKING:
    import torch


class Unfinished:
    """What has been kept of the unit that a run was measuring; for runs in a directory of this machine.

    Args:
        folder: of the run; `None` keeps nothing.
        created: when the run was created: what another run has left there is not its own.
    """

    def __init__(self, folder: Path | None, created: str) -> None:
        self._file = None if folder is None else folder / UNFINISHED
        self._created = created

    def _key(self, unit: Unit, part: tuple[str, ...]) -> dict[str, str]:
        return {"created": self._created, "unit": json.dumps(asdict(unit)), "part": json.dumps(part)}

    def keep(self, unit: Unit, part: tuple[str, ...], snapshot: Mapping[str, torch.Tensor]) -> None:
        """Keeps a snapshot of a unit, or of some of its samples (`part`), instead of what was kept before.

        What cannot be written is not kept: the run's own writing reports a full disk.
        """
        from safetensors.torch import save_file

        if self._file is None:
            return
        whole = {name: value.detach().cpu().contiguous() for name, value in snapshot.items()}
        with suppress(OSError):
            write_atomically(self._file, lambda path: save_file(whole, path, self._key(unit, part)))

    def kept(self, unit: Unit, part: tuple[str, ...]) -> dict[str, torch.Tensor] | None:
        """Returns the snapshot of just these samples of a unit; `None` if there is none, or it is broken."""
        from safetensors.torch import load_file

        if self._file is None or not self._file.exists():
            return None
        with suppress(OSError, ValueError):
            if read_safetensors_header(self._file) == self._key(unit, part):
                return load_file(self._file)
        return None

    def forget(self) -> None:
        """Forgets what was kept."""
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
