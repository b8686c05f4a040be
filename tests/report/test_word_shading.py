"""Texts shaded word by word: one scale, a title a word, and names that stay texts."""

import numpy as np
import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.report import write_texts
from infodiscard.report.word_shading import shaded_runs
from pages import HOSTILE, SMALL, Page, run_of_texts
from synthetic import shared_run


def test_words_are_the_means_of_their_tokens():
    run = run_of_texts()
    shaded = shaded_runs({"a": run})
    values = run.dataset["sid_map"].values[0, 0, 0]
    (first, second, *_) = next(iter(shaded.runs["a"].values()))["conv1"]
    assert (first.text, first.special, second.text) == ("[CLS]", True, "splendid")
    assert f"splendid: {values[1:3].mean():.2f} nats/token (splen {values[1]:.2f}, did" in second.title.replace(
        "−", "-"
    )
    assert shaded.unit == "token" and (shaded.shown, shaded.total) == (12, 3)


def test_one_scale_for_all_runs_and_as_many_texts_as_asked_for():
    shaded = shaded_runs({"a": run_of_texts(), "b": run_of_texts(("c", "d"))}, 1)
    assert [list(texts) for texts in shaded.runs.values()] == [[f"1: splendid {HOSTILE[1]}"]] * 2
    assert list(next(iter(shaded.runs["b"].values()))) == ["c conv1", "c layer1.0", "d conv1", "d layer1.0"]
    assert shaded.shown == 1


def test_layers_that_differ_have_scales_of_their_own_which_the_page_says(tmp_path):
    shaded = shaded_runs({"a": run_of_texts()})
    assert shaded.ends == {} and float(shaded.low.replace("−", "-")) < float(shaded.high)
    run = run_of_texts()
    far = type(run).create(run.plan)
    for place, unit in enumerate(far.pending()):
        values = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32) + 20 * place
        far.write(unit, {"sid": values.mean(1), "sid_map": values, "converged": np.ones(3, bool)})
    shaded = shaded_runs({"a": far})
    assert [*shaded.ends] == ["conv1", "layer1.0"] and (shaded.low, shaded.high) == ("low", "high")
    first, second = ([word.shade for word in words] for words in next(iter(shaded.runs["a"].values())).values())
    assert first == second and len({*first}) > 2
    page = Page(write_texts(far, tmp_path / "texts.html"))
    assert "A scale for each layer" in page.text and shaded.ends["layer1.0"] in page.texts


def test_words_stay_texts_and_spaces_are_where_they_were(tmp_path):
    page = Page(path := write_texts(run_of_texts(), tmp_path / "texts.html"))
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert HOSTILE[0] in page.texts and f"1: splendid {HOSTILE[1]}" in page.texts and "\ufffd" in page.texts
    text = path.read_text(encoding="utf-8")
    words = [attrs["title"].split(":")[0] for attrs in page.of("span") if "title" in attrs]
    assert words[:4] == ["[CLS], a special token", "splendid", HOSTILE[0], "[SEP], a special token"]
    line = text[text.index('<td class="line"') :].split("</td>")[0]
    assert " <span" in line and "[CLS]</span> <span" in line and "splendid</span> <span" in line and "\n" not in line


def test_runs_without_texts_or_values_are_refused():
    with pytest.raises(InfodiscardError, match="not of texts"):
        shaded_runs({"a": shared_run(**SMALL)})
    empty = run_of_texts()
    empty = type(empty).create(empty.plan)
    with pytest.raises(InfodiscardError, match="measured"):
        shaded_runs({"a": empty})
    assert np.isnan(empty.dataset["sid_map"].values).all()
