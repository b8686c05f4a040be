"""A run in a notebook: units, doubts and the curve; what is missing; names stay texts."""

import re

import pytest

from infodiscard.api.run import Run
from infodiscard.report.notebook import run_html
from pages import HOSTILE, SMALL, Page, hostile_run
from synthetic import RESNET, make_plan, shared_run, values_of


def test_a_notebook_shows_units_doubts_and_the_curve():
    run = shared_run(metrics=("sid", "ru"), masks=True, layers=RESNET, samples=10, size=6)
    page = Page(run._repr_html_())
    assert "nats/pixel" in page.text and "fc !" in page.text and re.search(r"not converged for \d+%", page.text)
    assert f"{run.summary()['sid'][0]:.3f}" in page.text
    (picture,) = page.of("img")
    assert picture["src"].startswith("data:image/png;base64,iVBOR") and picture["alt"]
    assert len(page.of("table")) == 2


def test_a_notebook_shows_a_run_with_nothing_in_it_and_one_that_is_not_finished():
    empty = Run.create(make_plan(**SMALL))
    assert "Nothing is measured yet." in Page(run_html(empty)).texts
    empty.write(empty.pending()[0], values_of(empty.plan, empty.pending()[0]))
    page = Page(run_html(empty))
    assert "Not finished:" in page.texts and any("2 of 3 units" in text for text in page.texts)
    assert len(page.of("img")) == 1


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_are_escaped_in_a_notebook():
    page = Page(run_html(hostile_run()))
    assert not page.of("script") and len(page.of("img")) == 1
    assert all(any(name.strip() in text for text in page.texts) for name in HOSTILE[:4])
