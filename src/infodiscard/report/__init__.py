"""What runs found, as one page that can be passed on: it opens offline in any browser and needs no other file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.files import translate_os_errors
from ..errors import InfodiscardError
from ..results.run import StoredRun

__all__ = ["PAGE", "write_page", "write_report"]

PAGE = "report.html"


def write_page(
    runs: StoredRun | str | Path | Mapping[str, StoredRun | str | Path], path: str | Path | None = None
) -> Path:
    """Writes one self-contained page about one run or several.

    It says where each network loses what, by how much and how far to trust it, and what differs between networks. It
    asks for nothing from anywhere, and runs no script but its own. Maps are those of at most 16 samples, and made
    smaller where they would be many megabytes; the page says how.

    Args:
        runs: a run or its directory; or name → run, where the networks of a run of several are called "name/network".
        path: the file, or a directory for `report.html`; by default that of the run, or of the first.

    Returns:
        The path of the page, which is replaced if it was there.

    Raises:
        InfodiscardError: there is no such run, nothing is measured, the inputs are of different kinds, no file is
            known, or it cannot be written.
    """
    from .content import read
    from .packed_maps import pack
    from .page import page

    content = read(runs)
    folder = content.entries[0].run.path
    file = _directory(folder) if path is None else Path(path).expanduser()
    file = file / PAGE if file.is_dir() else file
    text = page(content, pack(content))
    with translate_os_errors("write the report", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    return file


def write_report(run: StoredRun, out: str | Path | None = None) -> Path:
    """Writes a run's pictures, its tables (`summary.csv`, `values.csv`) and its page, `report.html`.

    The pictures are `layers.png`; the sheets of maps, `maps.png` of SID and `maps_ru.png` of RU; and with RU
    `reconstructions.png`. A run of several networks gets one sheet of each kind for every network: `maps.png`,
    `maps-2.png`, …, in the order of its plan.

    Args:
        run: a run with something measured.
        out: the directory; the run's own by default. Reports written there before are replaced.

    Returns:
        The path of the page, which needs none of the other files.

    Raises:
        InfodiscardError: nothing is measured, no directory is known, or it cannot be written.
    """
    from .files import write_files

    folder = _directory(run.path) if out is None else Path(out).expanduser()
    write_files(run, folder)
    return write_page(run, folder / PAGE)


def _directory(place: Any) -> Path:
    """Returns a run's own directory.

    Raises:
        InfodiscardError: it has none on this machine.
    """
    if not isinstance(place, Path):
        where = "in memory only" if place is None else f"in '{place}', not in a directory"
        raise InfodiscardError(f"This run is {where}; say where to write its report (out).")
    return place
