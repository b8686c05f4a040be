"""Sentences on runs: where most is lost, what differs, what not to trust."""

import numpy as np

from infodiscard.report import content, sentences, write_page
from pages import SMALL, Page
from synthetic import RESNET, make_run, shared_run


def test_findings_name_the_layers_that_lose_most():
    read = content.read(make_run(masks=True, metrics=["sid", "ru"], layers=RESNET, samples=8, size=8))
    texts = sentences.losses(read)
    means = read.entries[0].summary["sid_corrected"]
    assert texts[0].startswith(f"resnet20 discards most in {means.idxmax()} (SID {means.max():.3f} ± ")
    assert f"and least in {means.idxmin()}" in texts[0]
    assert f"from layer3.2 to fc (+{means.diff().max():.3f} ± " in texts[0]
    assert "in reconstruction" in texts[1]
    reached = content.read(make_run(old=True, layers=RESNET, samples=8, size=8))
    means = reached.entries[0].summary["sid"]
    assert f"(SID (reached) at least {means.max():.3f} nats/pixel)" in sentences.losses(reached)[0]


def test_the_page_opens_with_three_sentences_at_most():
    alone = content.read(make_run(layers=RESNET[:2], samples=8, size=6))
    first, second = sentences.answer(alone)
    mean = alone.entries[0].means("sid")["layer1.0"]
    assert first.startswith(
        f"resnet20 discards most in layer1.0: there the input may vary {np.exp(mean.value + 0.6808):.1f}"
    )
    assert second == "resnet20, SID in layer1.0: not converged for 25% of the samples."
    same = {name: shared_run(**SMALL) for name in "abc"}
    said = sentences.answer(content.read(same))
    assert said[0] == "SID of b is the same as that of a in all 3 layers. 2 more pairs are compared below."
    changed = {name: make_run(shift=shift, **SMALL) for name, shift in (("a", 0.0), ("b", 0.2))}
    said = sentences.answer(content.read(changed))
    assert len(said) <= 3 and said[0].startswith(
        "b differs from a. SID of b against a: more in conv1, layer1.0 and layer1.1"
    )
    assert "The largest change is in " in said[0] and "+0.200 ± 0.000 nats/pixel." in said[0]


def test_doubts_are_said_where_they_belong(tmp_path):
    said = sentences.warnings(content.read(shared_run(**SMALL)))
    assert said == ["resnet20, SID in layer1.1: not converged for 17% of the samples."]
    run = make_run(units=2, **SMALL)
    assert sentences.warnings(content.read(run)) == ["resnet20: not finished, 1 of 3 units are missing."]
    far = make_run(networks=("a",), alpha=2.0, **SMALL)
    said = sentences.warnings(content.read({"a": far, "b": make_run(**SMALL | {"size": 8}), "c": run}))
    assert "a, SID in conv1, layer1.0 and layer1.1: distance off α = 2 by 25%." in said
    assert "c against a: alpha differs (2.0 and 1.5)." in said
    assert any(text.startswith("b was not compared with a: ") and "3×8×8" in text for text in said)
    page = Page(write_page(shared_run(**SMALL), tmp_path / "page.html"))
    assert page.texts.count("⚠ not converged for 17% of the samples") == 2  # beside the values, beside the solver


def test_doubts_about_ru_are_its_own():
    run = make_run(metrics=["sid", "ru"], **SMALL | {"samples": 7})
    row = run.summary().iloc[2]
    assert row["converged"] < row["ru_converged"] < 0.95
    assert sentences.warnings(content.read(run)) == [
        f"resnet20, {name} in layer1.1: not converged for {1 - row[column]:.0%} of the samples."
        for name, column in (("SID", "converged"), ("RU", "ru_converged"))
    ]


def test_the_solver_speaks_of_each_network_and_metric():
    groups = sentences.trusting(content.read({"a": shared_run(**SMALL), "b": shared_run(metrics=("ru",), **SMALL)}))
    assert list(groups) == ["SID of a", "RU of b"]
    assert any("The decoders' own error" in sentence for sentence in groups["RU of b"])
    assert not any("decoder" in sentence for sentence in groups["SID of a"])
