"""Reproduction of the paper's studies: runs one in a lab and writes its findings."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path

from ..core.files import translate_os_errors
from ..errors import InfodiscardError, nearest
from ..training.runtime import make_folder
from .datasets import DataFolder
from .findings import Findings, table_row, write
from .lab import Lab
from .presets import find

STUDIES = ("coherency", "maps", "networks", "flaws", "compression", "distillation", "epochs", "robustness")


def reproduce(
    study: str,
    profile: str = "cpu",
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
) -> tuple[Findings, Path]:
    """Runs one of the paper's studies.

    What it trains and measures is kept in `out` and used again: by the same command, which continues where it was
    interrupted, and by the other studies.

    Args:
        study: one of `STUDIES`.
        profile: `quick` (minutes; for tests, it says nothing about networks), `cpu` (real training on two cores) or
            `paper` (the full setting, for a GPU).
        data_dir: folder with the data sets (see `DataFolder`); `None` downloads CIFAR-10.
        out: where everything goes; `runs/reproduce-PROFILE` by default.
        device: where to measure.

    Returns:
        The findings, and the folder that they were written to.

    Raises:
        InfodiscardError: an unknown study or profile, or a data set that is missing or incomplete.
    """
    if study not in STUDIES:
        raise InfodiscardError(
            f"There is no study '{study}'; near it is {nearest(study, STUDIES, 1)}, and allowed are "
            f"{', '.join(STUDIES)}."
        )
    preset, data = find(profile), DataFolder(None if data_dir is None else Path(data_dir))
    folder = make_folder(Path(out) if out is not None else Path("runs") / f"reproduce-{profile}")
    lab = Lab(folder, data, preset, device)
    earlier, begin = _seconds(folder / study / "result.json"), time.monotonic()
    findings: Findings = import_module(f"{__package__}.studies.{study}").run(lab)
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
    studies = {name: json.loads(path.read_text()) for name, path in results.items() if path.exists()}
    lines = ["| study | claim | here |", "|---|---|---|"]
    lines += [table_row(name, claim["text"], claim["verdict"]) for name in studies for claim in studies[name]["claims"]]
    pages = [(folder / name / "result.md").read_text().replace("](", f"]({name}/") for name in studies]
    page = folder / "studies.md"
    with translate_os_errors("write the page of all studies", page):
        page.write_text("\n".join([*lines, "", *pages]))
    return page
