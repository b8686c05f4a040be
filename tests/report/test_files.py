"""The files of a report: where they go, and what stops them from being written."""

import numpy as np
import pandas as pd
import pytest

from infodiscard.api.run import Run
from infodiscard.errors import InfodiscardError
from infodiscard.report import write_page, write_report, write_texts
from pages import SMALL, run_of_texts
from synthetic import make_plan, make_run, shared_run


def test_where_the_page_goes(tmp_path):
    run = make_run(tmp_path / "run", **SMALL)
    assert run.report() == tmp_path / "run/report.html"
    assert not list((tmp_path / "run").glob("*.png"))
    assert run.report(tmp_path / "a/b.html").is_file() and run.report(tmp_path) == tmp_path / "report.html"
    assert write_page({"a": run, "b": tmp_path / "run"}) == tmp_path / "run/report.html"
    first = (tmp_path / "run/report.html").read_bytes()
    assert write_page({"a": run, "b": Run.open(tmp_path / "run")}).read_bytes() == first
    assert Run.resume_or_create(run.plan, tmp_path / "run").complete


def test_pictures_and_tables_beside_it(tmp_path):
    run = make_run(tmp_path / "run", metrics=["sid", "ru"], pictures=True, masks=True, networks=("a", "b"), **SMALL)
    assert write_report(run) == tmp_path / "run/report.html"
    written = {path.name for path in (tmp_path / "run").iterdir()}
    sheets = {f"{name}{number}.png" for name in ("maps", "maps_ru", "reconstructions") for number in ("", "-2")}
    assert written >= {"layers.png", "summary.csv", "values.csv", "report.html"} | sheets
    summary, values = (pd.read_csv(tmp_path / "run" / f"{name}.csv") for name in ("summary", "values"))
    np.testing.assert_allclose(summary["sid"], run.summary()["sid"], rtol=1e-6)
    np.testing.assert_allclose(values["sid"], run.to_dataframe()["sid"], rtol=1e-6)


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    for write in (write_report, write_page):
        with pytest.raises(InfodiscardError, match="memory"):
            write(shared_run(**SMALL))
        with pytest.raises(InfodiscardError, match="measured"):
            write(shared_run(units=0, **SMALL), tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(InfodiscardError, match="Could not write"):
        write_report(shared_run(**SMALL), tmp_path / "file")
    with pytest.raises(InfodiscardError, match="Could not write"):
        write_page(shared_run(**SMALL), tmp_path / "file/page.html")
    with pytest.raises(InfodiscardError, match="does not exist"):
        write_page(tmp_path / "nowhere", tmp_path / "page.html")
    alike = {"a/b": shared_run(**SMALL), "a": shared_run(networks=("b", "c"), **SMALL)}
    with pytest.raises(InfodiscardError, match="Two networks would be called 'a/b'"):
        write_page(alike, tmp_path / "page.html")
    lines = Run.create(type(make_plan())(**vars(make_plan(**SMALL)) | {"kind": "tokens", "height": 1}))
    with pytest.raises(InfodiscardError, match="different kinds"):
        write_page({"a": shared_run(**SMALL), "b": lines}, tmp_path / "page.html")


@pytest.mark.parametrize("write", [write_page, write_report, write_texts])
def test_a_run_that_has_no_directory_here_says_so(write, tmp_path):
    run = make_run(f"memory://{tmp_path}/run", **SMALL)
    with pytest.raises(InfodiscardError, match=r"is in 'memory:/.*run', not in a directory; say where to write its"):
        write(run)
    with pytest.raises(InfodiscardError, match="is in memory only; say where to write its"):
        write(shared_run(**SMALL))


def test_only_texts_are_written_as_texts(tmp_path):
    with pytest.raises(InfodiscardError, match="not of texts"):
        write_texts(shared_run(**SMALL), tmp_path / "texts.html")
    assert not list(tmp_path.iterdir())
    write_report(run_of_texts(), tmp_path)
    assert (tmp_path / "texts.html").read_bytes() == write_texts(run_of_texts(), tmp_path / "own.html").read_bytes()
