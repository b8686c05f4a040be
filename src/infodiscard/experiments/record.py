"""The record of a study on disk: `result.json`, `table.csv`, figures and a page, of trained and of given networks."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..core.files import translate_os_errors, write_atomically
from .findings import GIVEN, OWN, Findings

RESULT, TABLE, PAGE = "result.json", "table.csv", "result.md"


def write(findings: Findings, folder: Path, about: Mapping[str, Any]) -> Path:
    """Writes `table.csv`, the figures as SVG and PNG, `result.json` and `result.md`; returns the last.

    What the folder holds of the other kind of networks, trained or given, stays.

    Args:
        findings: of a study.
        folder: where to; made if missing.
        about: `profile`, `command` and `seconds`.

    Raises:
        InfodiscardError: the folder cannot be written.
    """
    with translate_os_errors("write the study in", folder):
        folder.mkdir(parents=True, exist_ok=True)
        _with_earlier(findings, folder / TABLE).to_csv(folder / TABLE, index=False, float_format="%.5g")
        for name, figure in findings.figures.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            figure.savefig(folder / f"{name}.png", dpi=110)
        record = _merged(findings, read(folder), about)
        text = json.dumps(_finite(record), indent=1)
        write_atomically(folder / RESULT, lambda path: path.write_text(text))
        page = folder / PAGE
        page.write_text(markdown(record))
    return page


def read(folder: Path) -> dict[str, Any]:
    """Returns the record of a study, empty if there is none that can be read."""
    try:
        return dict(json.loads((folder / RESULT).read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def parts(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns what a record holds by the kind of networks: `OWN`, `GIVEN` or both."""
    found = {OWN: record if "command" in record else None, GIVEN: record.get("given")}
    return {kind: part for kind, part in found.items() if part}


def seconds(folder: Path, evidence: str) -> float:
    """Returns the time that earlier calls of a study took, whose work was used again."""
    return float(parts(read(folder)).get(evidence, {}).get("seconds", 0.0))


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the claims, figures and notes of a record as a piece of Markdown."""
    lines = [f"## {record['study']}: {record['title']}", ""]
    for kind, part in parts(record).items():
        lines += ["### Networks given", ""] if kind == GIVEN else []
        lines += [f"`{part['command']}`, {part['seconds']:.0f} s.", "", *claims_table(part), ""]
        lines += [*(f"![{name}]({name}.png)" for name in part["figures"]), ""]
        lines += [*(f"- {note}" for note in part["notes"]), ""]
    return "\n".join(lines)


def claims_table(part: Mapping[str, Any]) -> list[str]:
    """Returns the table of verdicts of a part of a record, as lines of Markdown."""
    lines = ["| claim | here | statistic | what would change it |", "|---|---|---|---|"]
    return lines + [
        table_row(claim["text"], f"**{claim['verdict']}**", claim["statistic"], claim.get("change") or "–")
        for claim in part["claims"]
    ]


def table_row(*cells: str) -> str:
    """Returns a row of a table in Markdown, where a bar ends a cell, even within backticks, and a line ends the row."""
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def _merged(findings: Findings, earlier: dict[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the new record, with what an earlier one holds of the other kind of networks."""
    part = {
        "claims": [asdict(claim) for claim in findings.claims],
        "notes": list(findings.notes),
        "figures": list(findings.figures),
        "versions": {"infodiscard": _version(), "torch": torch.__version__, "python": platform.python_version()},
        "date": time.strftime("%Y-%m-%d"),
        **about,
    }
    head = {"study": findings.study, "title": findings.title}
    if findings.evidence == GIVEN:
        own = {key: value for key, value in earlier.items() if key != "given"} or {"claims": [], "notes": []}
        return {**own, **head, "given": part}
    return {**head, **part, **({"given": earlier["given"]} if earlier.get("given") else {})}


def _with_earlier(findings: Findings, path: Path) -> pd.DataFrame:
    """Returns the table, after the rows that a file holds of the other kind of networks."""
    table = findings.table.assign(evidence=findings.evidence)
    try:
        earlier = pd.read_csv(path)
    except (OSError, ValueError):
        return table
    if "evidence" not in earlier or (kept := earlier[earlier["evidence"] != findings.evidence]).empty:
        return table
    both = [kept, table] if findings.evidence == GIVEN else [table, kept]
    return pd.concat([each.dropna(axis=1, how="all") for each in both], ignore_index=True)


def _finite(value: Any) -> Any:
    """Returns a record without numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version() -> str:
    try:
        return version("infodiscard")
    except PackageNotFoundError:
        return "not installed"
