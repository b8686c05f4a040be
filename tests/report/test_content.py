"""The content of the page: differences are those of compare, and significant where they are beyond their errors."""

from itertools import product

import numpy as np
from scipy import stats

from infodiscard.analysis.statistics import holm
from infodiscard.analysis.verdict import MIXED, MORE, SAME, UNKNOWN
from infodiscard.api.compare import compare
from infodiscard.report import content, html_tables, sentences
from pages import SMALL
from synthetic import RESNET, make_run, shared_run


def test_differences_are_those_of_compare_and_significant_beyond_the_gap():
    # Everywhere the same but 0.015 more: beyond the gap of the first layers, within that of the last.
    base, more = (make_run(old=True, layers=RESNET, size=6, shift=shift) for shift in (0.0, 0.015))
    read = content.read({"a": base, "b": more})
    table = read.pairs.set_index("layer")
    expected = compare({"a": base, "b": more}).set_index("layer")
    for name in ("difference", "se", "n", "gap"):
        np.testing.assert_array_equal(table[name], expected[name])
    within = table["gap"] > 0.015
    assert within.any() and not within.all()
    assert (table["verdict"][~within] == MORE).all() and (table["verdict"][within] == SAME).all()
    (sentence,) = sentences.changes(read)
    assert sentence.startswith("SID (reached) of b against a: significantly higher in ")
    assert within.sum() == 1 and "; the same within ±0." in sentence and "in 1 layer (+0.015 ± 0.000 in fc)" in sentence
    assert "not to be trusted" not in sentence  # only the last layer is doubtful


def test_corrected_differences_have_the_verdicts_of_compare():
    base, more = (make_run(layers=RESNET, size=6, samples=8, seed=seed) for seed in (0, 1))
    table = content.read({"a": base, "b": more}).pairs.set_index("layer")
    expected = compare({"a": base, "b": more}).set_index("layer")
    for name in ("verdict", "p_holm", "allowed", "spread", "noise"):
        assert list(table[name]) == list(expected[name])
    assert (table["gap"] == 0).all() and (table["basis"] == "corrected").all()


def test_p_values_are_corrected_for_all_pairs_of_a_measure():
    base = make_run(networks=("a",), layers=RESNET[:4], samples=6, size=6)
    others = {
        name: make_run(networks=(name,), layers=RESNET[:4], samples=6, size=6, seed=i) for i, name in enumerate("bc", 1)
    }
    table = content.read({"a": base, **others}).pairs
    assert list(dict.fromkeys(zip(table["a"], table["b"], strict=True))) == [("a", "b"), ("a", "c"), ("b", "c")]
    p = np.minimum(1, 2 * stats.t.sf(table["difference"].abs() / table["se"], table["n"] - 1))
    family = [*p, *(0.0 for _ in p)]  # beside every mean, single images were tested, which differ here without doubt
    mean = table["verdict"] != MIXED
    np.testing.assert_allclose(table["p_holm"][mean], np.array(holm(family))[: len(p)][mean], rtol=1e-6)
    assert len(set(p)) > 3 and (table["p_holm"][~mean] < 1e-6).all()


def test_one_sample_is_never_significant():
    read = content.read({"a": make_run(samples=1, size=6), "b": make_run(samples=1, size=6, shift=2.0)})
    assert (read.pairs["p_holm"] == 1).all() and (read.pairs["verdict"] == UNKNOWN).all()
    assert "a: only 1 sample; one sample has no standard error." in sentences.warnings(read)


def test_lists_and_panels_have_the_same_keys():
    read = content.read({name: make_run(metrics=["sid", "ru"], seed=seed, **SMALL) for seed, name in enumerate("abc")})
    keys = {name: [value for value, _ in options] for name, options in read.options.items()}
    assert list(html_tables.differences(read)) == ["|".join(each) for each in product(keys["pair"], keys["scalar"])]
    assert [text for _, text in read.options["pair"]] == ["b − a", "c − a", "c − b"]
    assert keys["scalar"] == keys["metric"] == ["sid", "ru"] and keys["network"] == ["0", "1", "2"]


def test_what_is_corrected_and_what_has_a_floor():
    read = content.read(shared_run(metrics=("sid", "ru"), **SMALL))
    assert read.floors == ["RU"] and read.as_reached == [] and read.titles == ["SID", "RU"]
    assert read.corrected(throughout=True) == read.corrected(throughout=False) == ["SID"]
    runs = {"old": make_run(old=True, **SMALL), "new": make_run(**SMALL)}
    mixed = content.read(runs)
    assert mixed.as_reached == ["old"] and mixed.less_gap == ["SID"]
    assert mixed.corrected(throughout=True) == [] and mixed.corrected(throughout=False) == ["SID"]
    assert content.read(runs["old"]).corrected(throughout=False) == []
