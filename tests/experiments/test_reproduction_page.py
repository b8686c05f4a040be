"""The page of results in the docs: made from its records, by the script beside it."""

import importlib.util
import json
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tables_of_the_page_are_those_of_its_records(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("reproduction", DOCS / "reproduction.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page, records = script.PAGE.read_text(), json.loads(script.DATA.read_text())
    assert script.filled(page, records) == page, "run python docs/reproduction.py"
    other = json.loads(script.DATA.read_text())
    other["flaws"]["given"]["claims"][0]["verdict"] = "was changed"
    changed = script.filled(page, other)
    assert changed.count("**was changed**") == 2 and changed != page, "in the summary and at the study"
    for record in records.values():
        for part in (record, record.get("given", {})):
            for name in part.get("figures", ()):
                assert (script.IMAGES / f"{name}.png").is_file()


def test_new_records_take_the_place_of_earlier_ones_of_their_kind(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("reproduction", DOCS / "reproduction.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "IMAGES", tmp_path)
    (tmp_path / "flaws").mkdir()
    new = {"claims": [], "notes": ["new"], "figures": [], "command": "c", "seconds": 1.0, "profile": "desk"}
    (tmp_path / "flaws" / "result.json").write_text(json.dumps({"study": "flaws", "title": "t", "given": new}))
    records = json.loads(script.DATA.read_text())
    own = records["flaws"]["claims"]
    script.take(tmp_path, records)
    assert records["flaws"]["given"]["notes"] == ["new"] and records["flaws"]["claims"] == own
    (tmp_path / "flaws" / "result.json").write_text(json.dumps({"study": "flaws", "title": "t", **new}))
    script.take(tmp_path, records)
    assert records["flaws"]["claims"] == [] and records["flaws"]["given"]["notes"] == ["new"]
