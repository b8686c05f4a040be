"""One HTML page of all studies in a folder: verdicts, figures in the paper's order, and what would change a verdict."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.files import translate_os_errors
from ..report.page import policy
from ..report.rendering import render
from ..report.stylesheet import stylesheet
from .findings import GIVEN
from .record import parts

PLACES: Mapping[str, str] = {
    "coherency": "Fig. 1, left",
    "maps": "Fig. 1, right",
    "networks": "Fig. 3",
    "flaws": "Fig. 4a",
    "compression": "Fig. 4b",
    "distillation": "Fig. 5a",
    "epochs": "Fig. 5b",
    "robustness": "section 3.3, not measured there",
}
"""Where each study is in the paper (arXiv 1906.04109), in its order."""
RULE = (
    "A claim holds if the interval of its statistic lies on the claim's side, does not hold if it lies on the other, "
    "and otherwise cannot be told. Of networks trained for a study, intervals are over trainings; of networks given, "
    "over images, and a verdict is about these networks alone. Each statistic says which effect would have been seen "
    "four times in five."
)


def write_study_page(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> Path:
    """Writes `studies.html`, which asks for nothing from anywhere, and returns its path.

    Args:
        folder: of the studies, each in a folder of its own with its figures.
        records: of `record.read`, by the name of the study.

    Raises:
        InfodiscardError: the page cannot be written.
    """
    style = stylesheet()
    studies = [_study(folder, name, record) for name, record in records.items()]
    rows = [
        {"study": study["name"], "networks": part["kind"], **row}
        for study in studies
        for part in study["parts"]
        for row in part["rows"]
    ]
    counts = Counter(row["verdict"] for row in rows)
    text = render(
        "studies.html.j2",
        policy=policy("", style),
        style=style,
        title="The paper's studies, reproduced",
        lead=f"{len(rows)} verdict{'s' * (len(rows) != 1)}: "
        + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        + ".",
        rule=RULE,
        rows=rows,
        studies=studies,
    )
    page = folder / "studies.html"
    with translate_os_errors("write the page of all studies", page):
        page.write_text(text, encoding="utf-8")
    return page


def _study(folder: Path, name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    made = []
    for kind, part in parts(record).items():
        what = "Networks given" if kind == GIVEN else f"Networks trained here ({PLACES[name]})"
        made.append(
            {
                "kind": kind,
                "heading": what,
                "rows": _rows(part["claims"]),
                "pictures": _pictures(folder / name, part["figures"], f"{name}, {kind}"),
                "notes": part["notes"],
                "command": part["command"],
                "seconds": f"{part['seconds']:.0f}",
                "profile": part["profile"],
                "date": part["date"],
                "versions": ", ".join(f"{library} {version}" for library, version in part["versions"].items()),
            }
        )
    return {"name": name, "title": record["title"], "parts": made}


def _rows(claims: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [
        {
            "claim": claim["text"],
            "verdict": claim["verdict"],
            "statistic": claim["statistic"],
            "change": claim.get("change") or "–",
        }
        for claim in claims
    ]


def _pictures(folder: Path, names: Sequence[str], about: str) -> list[dict[str, str]]:
    """Returns the figures that are there, as data."""
    files = {name: folder / f"{name}.png" for name in names}
    return [
        {
            "source": f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}",
            "alt": f"{name.replace('_', ' ')}: {about}",
        }
        for name, path in files.items()
        if path.exists()
    ]
