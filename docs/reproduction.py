"""Makes the tables and figures of reproduction.md from the records of studies.

    python docs/reproduction.py            # the page from docs/reproduction.json
    python docs/reproduction.py DIR ...    # takes the records and figures in DIR (of infodiscard reproduce) first

What stands between `<!-- verdicts -->` or `<!-- study: NAME -->` and `<!-- end -->` is replaced; all else is written by
hand. A record takes the place of an earlier one of the same study and kind of networks, trained or given.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE, DATA, IMAGES = HERE / "reproduction.md", HERE / "reproduction.json", HERE / "images" / "reproduction"


def main(folders: list[str]) -> None:
    """Takes the records in folders, and writes the page."""
    records = json.loads(DATA.read_text()) if DATA.exists() else {}
    for folder in map(Path, folders):
        take(folder, records)
    if folders:
        DATA.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), records))


def take(folder: Path, records: dict[str, Any]) -> None:
    """Adds the records in a folder, and copies their figures."""
    from infodiscard.experiments import STUDIES
    from infodiscard.experiments.findings import GIVEN
    from infodiscard.experiments.record import parts, read

    for study in STUDIES:
        found = read(folder / study)
        for kind, part in parts(found).items():
            earlier = records.get(study, {})
            own = {key: value for key, value in part.items() if key != "given"}
            head = {"study": study, "title": found["title"]}
            records[study] = earlier | head | {"given": own} if kind == GIVEN else own | head | _given(earlier)
            for name in part["figures"]:
                shutil.copyfile(folder / study / f"{name}.png", IMAGES / f"{name}.png")


def filled(text: str, records: dict[str, Any]) -> str:
    """Returns the page with its tables made from records."""
    from infodiscard.experiments.record import parts, table_row

    lines = ["| study | networks | claim | here |", "|---|---|---|---|"]
    for name in _ordered(records):
        for kind, part in parts(records[name]).items():
            for claim in part["claims"]:
                lines.append(table_row(f"[{name}](#{name})", kind, claim["text"], f"**{claim['verdict']}**"))
    text = _put(text, "verdicts", "\n".join(lines))
    for name, record in records.items():
        text = _put(text, f"study: {name}", _study(record))
    return text


def _study(record: dict[str, Any]) -> str:
    """Returns the command, claims, figures and notes of a study."""
    from infodiscard.experiments.findings import GIVEN
    from infodiscard.experiments.record import claims_table, parts

    lines = []
    for kind, part in parts(record).items():
        lines += ["### Networks given", ""] if kind == GIVEN else []
        lines += [f"`{part['command']}`, {part['seconds']:.0f} s{_date(part)}.", "", *claims_table(part), ""]
        lines += [*(f"![{name}](images/reproduction/{name}.png)" for name in part["figures"]), ""]
        lines += [*(f"- {note}" for note in part["notes"]), ""]
    return "\n".join(lines).strip().replace("### Networks given", f"### Networks given: {record['study']}")


def _put(text: str, name: str, content: str) -> str:
    """Returns the page with a part replaced, if it has such a part."""
    pattern = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.S)
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text)


def _date(part: dict[str, Any]) -> str:
    return f", {part['date']}" if part.get("date") else ""


def _given(record: dict[str, Any]) -> dict[str, Any]:
    return {"given": record["given"]} if record.get("given") else {}


def _ordered(records: dict[str, Any]) -> list[str]:
    from infodiscard.experiments import STUDIES

    return [name for name in STUDIES if name in records]


if __name__ == "__main__":
    main(sys.argv[1:])
