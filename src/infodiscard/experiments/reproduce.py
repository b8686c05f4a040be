"""Runs a study in a workshop and writes what it found."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path

from ..core.files import translate_os_errors
from ..errors import InfodiscardError, nearest
from ..training.runtime import make_folder
from . import presets as profiles
from .datasets import Places
from .findings import Findings, table_row, write
from .lab import Workshop

STUDIES = ("coherency", "maps", "networks", "flaws", "compression", "distillation", "epochs", "robustness")


def reproduce(
    study: str,
    profile: str = "cpu",
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
) -> tuple[Findings, Path]:
    """Runs one of the paper's studies.

    What it trains and measures lies in `out` and is used again: by the same command, which goes on where it was
    interrupted, and by the other studies.

    Args:
        study: one of `STUDIES`.
        profile: `quick` (minutes; for tests, it says nothing about networks), `cpu` (real training on two cores) or
            `paper` (the full setting, for a GPU).
        data_dir: folder with the data sets (see `Places`); `None` downloads CIFAR-10.
        out: where everything goes; `runs/reproduce-PROFILE` by default.
        device: where to measure.

    Returns:
        What was found, and the folder that it was written to.

    Raises:
        InfodiscardError: an unknown study or profile, or a data set that is missing or incomplete.
    """
    if study not in STUDIES:
        raise InfodiscardError(
            f"There is no study '{study}'; near it is {nearest(study, STUDIES, 1)}, and allowed are "
            f"{', '.join(STUDIES)}."
        )
    size = profiles.find(profile)
    places = Places(None if data_dir is None else Path(data_dir))
    folder = make_folder(Path(out) if out is not None else Path("runs") / f"reproduce-{profile}")
    shop = Workshop(folder, places, size, device)
    earlier, begin = _seconds(folder / study / "result.json"), time.monotonic()
    findings: Findings = import_module(f"{__package__}.studies.{study}").run(shop)
    command = f"infodiscard reproduce {study} --profile {profile}" + ("" if data_dir is None else " --data-dir DIR")
    about = {"profile": profile, "command": command, "seconds": earlier + time.monotonic() - begin}
    write(findings, folder / study, about)
    return findings, folder / study


def _seconds(path: Path) -> float:
    """Returns the time that earlier calls of a study took, whose work was used again."""
    try:
        return float(json.loads(path.read_text())["seconds"])
    except (OSError, KeyError, ValueError):
        return 0.0


def collect(folder: Path) -> Path:
    """Writes one page of all studies that were run in a folder, with a table of their verdicts first; returns its path.

    Raises:
        InfodiscardError: the page cannot be written.
    """
    results = {name: folder / name / "result.json" for name in STUDIES}
    found = {name: json.loads(path.read_text()) for name, path in results.items() if path.exists()}
    lines = ["| study | claim | here |", "|---|---|---|"]
    lines += [table_row(name, claim["text"], claim["verdict"]) for name in found for claim in found[name]["claims"]]
    pages = [(folder / name / "result.md").read_text().replace("](", f"]({name}/") for name in found]
    page = folder / "studies.md"
    with translate_os_errors("write the page of all studies", page):
        page.write_text("\n".join([*lines, "", *pages]))
    return page
