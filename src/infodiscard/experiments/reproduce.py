"""Reproduction of the paper's studies: runs one in a lab and writes its findings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from ..core.files import translate_os_errors
from ..errors import InfodiscardError, nearest, whole
from ..training.runtime import make_folder
from . import given_specs
from .datasets import DataFolder
from .findings import GIVEN, OWN, Findings
from .forecast import duration
from .forecast import seconds as expected
from .lab import PROFILE, Lab
from .presets import Preset, find
from .record import PAGE, parts, read, seconds, table_row, write
from .sequential import freeze
from .study_page import write_study_page
from .verdicts import Claim

STUDIES = ("coherency", "maps", "networks", "flaws", "compression", "distillation", "epochs", "robustness")

OF_IMAGES = ("coherency", "maps")
"""Studies of one network, whose claims are over images: more trainings tell nothing more."""


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
        profile: `quick` (minutes; for tests, it says nothing about networks), `cpu` (real training on two cores),
            `desk` (well-trained networks, nights on two cores) or `paper` (the full setting, for a GPU).
        data_dir: folder with the data sets (see `DataFolder`); `None` downloads CIFAR-10.
        out: where everything goes; `runs/reproduce-PROFILE` by default.
        device: where to measure.

    Returns:
        The findings, and the folder that they were written to.

    Raises:
        InfodiscardError: an unknown study or profile, or a data set that is missing or incomplete.
    """
    _check(study)
    preset, data = find(profile), DataFolder(None if data_dir is None else Path(data_dir))
    folder = make_folder(Path(out) if out is not None else Path("runs") / f"reproduce-{profile}")
    _check_profile(folder, profile)
    earlier, begin = seconds(folder / study, OWN), time.monotonic()
    if preset.name != "quick":  # which takes hardly longer than a forecast
        _foretell(study, folder, data, preset)
    findings = _over_looks(study, folder, data, preset, device)
    command = f"infodiscard reproduce {study} --profile {profile}" + ("" if data_dir is None else " --data-dir DIR")
    about = {"profile": profile, "command": command, "seconds": earlier + time.monotonic() - begin}
    write(findings, folder / study, about)
    return findings, folder / study


def _foretell(study: str, folder: Path, data: DataFolder, preset: Preset) -> None:
    """Prints what a study will take, to its first look and to its last."""
    looks = preset.schedule[:: len(preset.schedule) - 1] if len(preset.schedule) > 1 else preset.schedule
    times = [duration(expected(study, Lab(folder, data, preset.at(seeds)))) for seeds in looks]
    last = f", and {times[1]} if all {looks[1]} are needed" if len(times) > 1 else ""
    print(f"{study} will take {times[0]} with {looks[0]} trainings of each network{last}.", flush=True)


def _over_looks(study: str, folder: Path, data: DataFolder, preset: Preset, device: str) -> Findings:
    """Runs a study at each look of the profile until every claim is decided."""
    run, decided = import_module(f"{__package__}.studies.{study}").run, dict[str, Claim]()
    looks = preset.schedule[-1:] if study in OF_IMAGES else preset.schedule
    for seeds in looks:
        at = replace(preset, looks=()) if study in OF_IMAGES else preset.at(seeds)
        findings: Findings = run(Lab(folder, data, at, device))
        findings = replace(findings, claims=freeze(decided, findings.claims, seeds, looks))
        if all(claim.text in decided for claim in findings.claims):
            break
    return findings


def _check_profile(folder: Path, profile: str) -> None:
    """Raises InfodiscardError if a folder's networks are trained under another profile."""
    note = folder / PROFILE
    with translate_os_errors("read the profile in", note):
        begun = note.read_text().strip() if note.exists() else profile
    if begun != profile:
        raise InfodiscardError(
            f"'{folder}' was begun under the profile '{begun}' and cannot be continued under '{profile}'; give "
            f"--profile {begun}, or another --out."
        )


def reproduce_given(
    networks: Sequence[str],
    study: str,
    profile: str = "cpu",
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
    images: int | None = None,
) -> list[tuple[Findings, Path]]:
    """Measures trained networks that the user gives to a study, or to all; nothing is trained.

    What was measured is kept in `out` and used again, also by a call for more images. The findings are written beside
    those on networks trained for the study.

    Args:
        networks: `ROLE=SPEC` or `ROLE=SPEC@WEIGHTS` each, or the path of one TOML file (see `given_specs`).
        study: one of `given_specs.ROLES`, or `all`.
        profile: says how many images are measured, and how well.
        data_dir, out, device: as for `reproduce`.
        images: how many images to measure, where the file names no number; `None` for the profile's.

    Returns:
        The findings of each study, and the folder that they were written to.

    Raises:
        InfodiscardError: an unknown study, role or profile, or networks that do not fit each other or the images.
    """
    from .given_loading import load_given
    from .given_study import run

    if study != "all":
        _check(study)
    preset, data = find(profile), DataFolder(None if data_dir is None else Path(data_dir))
    requests = given_specs.parse(networks, study)
    count = preset.given_images if images is None else whole("images", images, "a whole number, 2 or more", 2)
    folder = Path(out) if out is not None else Path("runs") / f"reproduce-{profile}"
    size = count, preset.given_passes, preset.tolerance
    every = [load_given(each, data, folder, *size, device) for each in requests]
    make_folder(folder)
    print(f"Measuring the networks given will take {duration(sum(each.seconds() for each in every))}.", flush=True)
    made = []
    for evidence in every:
        earlier, begin = seconds(folder / evidence.study, GIVEN), time.monotonic()
        findings = run(evidence, preset.attacked)
        command = f"infodiscard reproduce {evidence.study} --profile {profile} --images {evidence.count}"
        command += given_specs.words(networks) + ("" if data_dir is None else " --data-dir DIR")
        about = {"profile": profile, "command": command, "seconds": earlier + time.monotonic() - begin}
        write(findings, folder / evidence.study, about)
        made.append((findings, folder / evidence.study))
    return made


def _check(study: str) -> None:
    if study not in STUDIES:
        raise InfodiscardError(
            f"There is no study '{study}'; near it is {nearest(study, STUDIES, 1)}, and allowed are "
            f"{', '.join(STUDIES)}."
        )


def collect(folder: Path) -> Path:
    """Writes `studies.html`, a page of all studies that were run in a folder, and returns its path.

    It begins with a table of the verdicts; `studies.md` beside it is the same in Markdown.

    Raises:
        InfodiscardError: the page cannot be written.
    """
    studies = {name: record for name in STUDIES if (record := read(folder / name))}
    lines = ["| study | networks | claim | here |", "|---|---|---|---|"]
    for name, record in studies.items():
        for kind, part in parts(record).items():
            lines += [table_row(name, kind, claim["text"], claim["verdict"]) for claim in part["claims"]]
    pages = [(folder / name / PAGE).read_text().replace("](", f"]({name}/") for name in studies]
    page = folder / "studies.md"
    with translate_os_errors("write the page of all studies", page):
        page.write_text("\n".join([*lines, "", *pages]))
    return write_study_page(folder, studies)
