"""The files of a report: the page, and a run's pictures, tables and texts beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..analysis.summary import summarise
from ..core.files import translate_os_errors
from ..core.metrics import METRICS
from ..errors import InfodiscardError
from ..plots import layer_curve, map_sheet, reconstruction_sheet
from ..results.run import StoredRun
from .content import read
from .packed_maps import pack
from .page import render_page
from .rendering import render
from .stylesheet import stylesheet
from .word_shading import shaded_runs

PAGE, TEXTS = "report.html", "texts.html"


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
    content = read(runs)
    file = _directory(content.entries[0].run, "report (path)") if path is None else Path(path).expanduser()
    file = file / PAGE if file.is_dir() else file
    text = render_page(content, pack(content))
    with translate_os_errors("write the report", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    return file


def write_report(run: StoredRun, out: str | Path | None = None) -> Path:
    """Writes a run's pictures, its tables (`summary.csv`, `values.csv`) and its page, `report.html`.

    The pictures are `layers.png`; the sheets of maps, `maps.png` of SID and `maps_ru.png` of RU; and with RU
    `reconstructions.png`. A run of several networks gets one sheet of each kind for every network: `maps.png`,
    `maps-2.png`, …, in the order of its plan. A run of texts also gets `texts.html`.

    Args:
        run: a run with something measured.
        out: the directory; the run's own by default. Reports written there before are replaced.

    Returns:
        The path of the page, which needs none of the other files.

    Raises:
        InfodiscardError: nothing is measured, no directory is known, or it cannot be written.
    """
    return write_page(run, write_pictures(run, out) / PAGE)


def write_pictures(run: StoredRun, out: str | Path | None = None) -> Path:
    """Writes a run's pictures, tables and texts, all that `write_report` does but the page; of what is measured by now.

    Args:
        run: a run with something measured.
        out: the directory; the run's own by default. Files of these names are replaced.

    Returns:
        The directory.

    Raises:
        InfodiscardError: nothing is measured, no directory is known, or it cannot be written.
    """
    folder = _directory(run, "report (out)") if out is None else Path(out).expanduser()
    values, summary = run.to_dataframe(), summarise(run)
    with translate_os_errors("write the report in", folder):
        folder.mkdir(parents=True, exist_ok=True)
        layer_curve(run, path=folder / "layers.png")
        measured = [name for name in run.plan.networks if name in set(summary["network"])]
        for number, network in enumerate(measured, start=1):
            suffix = f"-{number}.png" if number > 1 else ".png"
            for metric in run.metrics:
                sheet = f"maps_{metric}" if METRICS[metric].prefix else "maps"
                map_sheet(run, network=network, metric=metric, path=folder / f"{sheet}{suffix}")
            if any(METRICS[metric].needs_decoders for metric in run.metrics):
                reconstruction_sheet(run, network=network, path=folder / f"reconstructions{suffix}")
        if run.plan.tokens:
            write_texts(run, folder / TEXTS)
        summary.to_csv(folder / "summary.csv", index=False)
        values.to_csv(folder / "values.csv", index=False)
    return folder


def write_texts(run: StoredRun, path: str | Path | None = None) -> Path:
    """Writes a page of HTML with every text of a run: a line of words per layer, shaded by how much is discarded.

    Args:
        run: a run of texts (`infodiscard.data.text`) with something measured.
        path: the file; by default `texts.html` in the run's own directory. One that is there is replaced.

    Returns:
        The path of the page, which needs no other file and has no script.

    Raises:
        InfodiscardError: the run is not one of texts, nothing is measured, no directory is known, or it cannot be
            written.
    """
    file = _directory(run, "texts (path)") / TEXTS if path is None else Path(path).expanduser()
    names = ", ".join(run.plan.networks)
    text = render(
        "texts.html.j2",
        title=f"{names}, word by word",
        names=names,
        style=stylesheet(),
        view=shaded_runs({names: run}, None),
    )
    with translate_os_errors("write the texts to", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
    return file


def _directory(run: StoredRun, what: str) -> Path:
    """Returns a run's own directory.

    Args:
        run: any run.
        what: is to be written, and the argument that says where.

    Raises:
        InfodiscardError: the run has no directory on this machine.
    """
    if not isinstance(run.path, Path):
        where = "in memory only" if run.path is None else f"in '{run.path}', not in a directory"
        raise InfodiscardError(f"This run is {where}; say where to write its {what}.")
    return run.path
