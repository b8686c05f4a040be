"""The report: one page that needs nothing else, and says how far to trust it."""

from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.report import write_report
from infodiscard.run import Run
from synthetic import RESNET, make_run, shared_run

SMALL = {"layers": RESNET[:3], "samples": 6, "size": 6}


class Page(HTMLParser):
    """Collects the tags and texts of a page, and checks that every tag is closed."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())


def test_the_files_and_the_page(tmp_path):
    run = make_run(tmp_path / "run", pictures=True, masks=True, **SMALL)
    path = write_report(run)
    assert path == tmp_path / "run/report.html"
    assert {p.name for p in path.parent.iterdir()} >= {
        "layers.png",
        "maps.png",
        "summary.csv",
        "values.csv",
        "run.zarr",
    }
    page = Page(path)
    pictures = [b64decode(attrs["src"].split(",")[1]) for tag, attrs in page.tags if tag == "img"]
    assert pictures == [(path.parent / name).read_bytes() for name in ("layers.png", "maps.png")]
    text = " ".join(page.texts)
    for layer in RESNET[:3]:
        assert layer in text
    for name in ("alpha", "tau", "seed", "weights/resnet20", "torch", "ab" * 32):
        assert name in text
    assert f"{run.summary()['sid'][2]:.3f}" in page.texts


def test_the_page_needs_nothing_else(tmp_path):
    page = Page(write_report(shared_run(**SMALL), tmp_path))
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("src", "data:").startswith("data:") and "href" not in attrs
    assert "http" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_names_are_escaped(tmp_path):
    run = shared_run(networks=("<script>alert(1)</script>",), **SMALL | {"layers": ("a<b>", "c&d")}, note="<img src=x>")
    page = Page(write_report(run, tmp_path))
    assert "script" not in [tag for tag, _ in page.tags] and [tag for tag, _ in page.tags].count("img") == 2
    assert "a<b>" in page.texts and "<img src=x>" in page.texts


def test_the_tables_hold_the_run(tmp_path):
    run = shared_run(**SMALL)
    write_report(run, tmp_path)
    summary, values = pd.read_csv(tmp_path / "summary.csv"), pd.read_csv(tmp_path / "values.csv")
    np.testing.assert_allclose(summary["sid"], run.summary()["sid"], rtol=1e-6)
    np.testing.assert_allclose(values["sid"], run.to_dataframe()["sid"], rtol=1e-6)
    assert list(values["sample"]) == list(run.plan.samples) * 3


def test_doubts_are_said_where_they_belong(tmp_path):
    text = write_report(shared_run(**SMALL), tmp_path / "a").read_text(encoding="utf-8")
    assert text.count("not converged for") == 1  # of the last layer only
    assert "Not finished" not in text
    text = write_report(shared_run(units=2, **SMALL), tmp_path / "b").read_text(encoding="utf-8")
    assert "1 of 3 units are missing" in text and "beware" not in text


def test_a_sheet_for_every_network(tmp_path):
    page = Page(write_report(shared_run(networks=("a", "b"), **SMALL), tmp_path))
    assert (tmp_path / "maps-2.png").exists() and [tag for tag, _ in page.tags].count("img") == 3
    page = Page(write_report(shared_run(networks=("a", "<b>"), metrics=("ru",), **SMALL), tmp_path / "ru"))
    assert {p.name for p in (tmp_path / "ru").glob("*-2.png")} == {"maps_ru-2.png", "reconstructions-2.png"}
    assert sum("<b>" in attrs["alt"] for tag, attrs in page.tags if tag == "img") == 2


def test_both_metrics_are_reported_side_by_side(tmp_path):
    run = make_run(tmp_path / "run", metrics=["sid", "ru"], pictures=True, masks=True, **SMALL)
    page = Page(write_report(run))
    names = ("layers.png", "maps.png", "maps_ru.png", "reconstructions.png")
    pictures = [b64decode(attrs["src"].split(",")[1]) for tag, attrs in page.tags if tag == "img"]
    assert pictures == [(run.path / name).read_bytes() for name in names] and len(set(pictures)) == 4
    row, text = run.summary().iloc[2], " ".join(page.texts)
    for column in ("sid", "concentration", "gap", "ru", "ru_floor", "ru_concentration", "ru_gap"):
        assert f"{row[column]:.3f}" in page.texts, column
    assert page.texts.count("concentration") == 2 and page.texts.count("floor") == 2  # the column, and how to read it
    assert "reconstruction uncertainty" in text and "strict information discarding" in text
    assert "mean SID or RU of the background" in text
    assert f"{run.summary()['ru_floor'].mean():.3f} nats/pixel in the mean; RU is" in text


def test_doubts_about_ru_stand_in_its_own_table(tmp_path):
    run = make_run(metrics=["sid", "ru"], **SMALL | {"samples": 7})
    tables = write_report(run, tmp_path).read_text(encoding="utf-8").split("<table>")[1:]
    row = run.summary().iloc[2]
    assert row["converged"] < row["ru_converged"] < 0.95
    for table, converged in zip(tables, ("converged", "ru_converged"), strict=True):
        assert table.count("not converged for") == 1
        assert f"not converged for {1 - row[converged]:.0%} of" in table


def test_only_what_was_measured_is_explained(tmp_path):
    sid = " ".join(Page(write_report(shared_run(**SMALL), tmp_path / "sid")).texts)
    ru = " ".join(Page(write_report(shared_run(metrics=("ru",), **SMALL), tmp_path / "ru")).texts)
    assert "RU" not in sid and "reconstruct" not in sid and "floor" not in sid
    assert "SID" not in ru and "identity layer" not in ru and "cap on σ" not in ru
    assert "Concentration" not in sid + ru
    assert {p.name for p in (tmp_path / "ru").glob("*.png")} == {"layers.png", "maps_ru.png", "reconstructions.png"}


def test_a_report_can_be_written_again_and_the_run_still_opens(tmp_path):
    run = make_run(tmp_path / "run", **SMALL)
    assert write_report(run).read_bytes() == write_report(Run.open(tmp_path / "run")).read_bytes()
    assert Run.resume_or_create(run.plan, tmp_path / "run").complete


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(InfodiscardError, match="memory"):
        write_report(shared_run(**SMALL))
    with pytest.raises(InfodiscardError, match="measured"):
        write_report(shared_run(units=0, **SMALL), tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(InfodiscardError, match="Could not write"):
        write_report(shared_run(**SMALL), tmp_path / "file")
