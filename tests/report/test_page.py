"""The page: it needs nothing else, names stay texts in it, and it says how its values were made."""

import dataclasses
from base64 import b64encode
from hashlib import sha256

import numpy as np
import pytest

from infodiscard.api.run import Run
from infodiscard.report import content, packed_maps, write_page
from infodiscard.report.rendering import render
from infodiscard.report.scalars import METRICS, Scalar
from pages import HOSTILE, SMALL, Page, codes, hostile_run, run_of_lines
from synthetic import RESNET, make_plan, make_run, shared_run


def test_the_page_needs_nothing_else_and_allows_nothing_else(tmp_path):
    page = Page(write_page(shared_run(**SMALL), tmp_path / "page.html"))
    assert not {"link", "iframe", "form", "object", "base"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        assert attrs.get("src", "data:").startswith("data:") and attrs.get("href", "#").startswith("#")
    assert "http:" not in (text := (tmp_path / "page.html").read_text(encoding="utf-8")) and "https:" not in text
    policy = page.of("meta")[1]["content"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "img-src data:;" in policy
    for kind, source in (("script", page.inside["script"][1]), ("style", page.inside["style"][0])):
        assert f"{kind}-src 'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'" in policy


def test_names_stay_texts(tmp_path):
    page = Page(write_page(hostile_run(), tmp_path / "page.html"))
    assert len(page.of("script")) == 2 and not any("onerror" in attrs for _, attrs in page.tags)
    assert all(attrs["src"].startswith("data:") for attrs in page.of("img"))
    for name in HOSTILE[:4]:
        assert any(name.strip() in text for text in page.texts)
        assert name in page.data["layers"] and name in page.data["entries"][0]["samples"]
    assert "x\ufffdy" in page.texts


def test_the_values_and_how_they_were_made(tmp_path):
    run = make_run(tmp_path / "run", metrics=["sid", "ru"], pictures=True, masks=True, **SMALL)
    page = Page(run.report())
    row = run.summary().iloc[2]
    corrected = ("sid_corrected", "sid_corrected_se", "concentration_corrected", "concentration_corrected_se")
    for column in (*corrected, "sid", "concentration", "gap", "ru", "ru_floor", "ru_concentration", "ru_gap"):
        assert f"{row[column]:.3f}".replace("-", "−") in page.texts, column
    for name in (*RESNET[:3], "alpha", "tau", "seed", "weights/resnet20", "torch", "ab" * 32):
        assert name in page.texts
    assert "mean SID or RU of the background" in page.text
    command = "infodiscard measure NETWORK --data SPEC --name resnet20 --samples 6 --layers conv1,layer1.0,layer1.1"
    settings = "--alpha 1.5 --tau 0.01 --sigma pixel --seed 0 --tolerance 0.02 --start uniform --precision full"
    assert f"{command} --metrics sid,ru {settings} --cap range" in page.texts  # passes: those that each has by default


def test_only_what_was_measured_is_explained(tmp_path):
    sid = Page(write_page(shared_run(**SMALL), tmp_path / "sid.html")).text
    ru = Page(write_page(shared_run(metrics=("ru",), **SMALL), tmp_path / "ru.html")).text
    assert "RU" not in sid.replace("for SID and RU", "") and "econstruct" not in sid and "floor" not in sid
    assert "SID" not in ru and "identity layer" not in ru and "cap on σ" not in ru
    assert "oncentration" not in sid + ru


def text_of(read):
    """How to read it."""
    return Page(render("sections/reading.html.j2", content=read)).text


def test_convergence_is_explained_as_each_metric_has_it():
    both = text_of(content.read(shared_run(metrics=("sid", "ru"), **SMALL)))
    assert "SID has converged if the corrected value" in both and "RU has converged if its gap" in both
    assert "A value has converged if its gap" in text_of(content.read(make_run(old=True, **SMALL)))
    corrected = text_of(content.read(shared_run(**SMALL)))
    assert "has converged if its gap" not in corrected and "(of SID from above)" in corrected


def test_the_words_are_those_of_the_kind_of_input():
    text = text_of(content.read(run_of_lines()))
    assert "Every token is given" in text and "averaged over tokens" in text and "pixel" not in text


def test_a_metric_without_an_explanation_of_its_own_has_its_long_name(monkeypatch):
    read = content.read(shared_run(**SMALL))
    toy = dataclasses.replace(METRICS["ru"], name="toy", title="TOY", long_name="a <toy> of each pixel")
    monkeypatch.setitem(METRICS, "toy", toy)
    scalar = Scalar("toy", "TOY", toy, ("lower", "higher"))
    text = text_of(dataclasses.replace(read, scalars=(*read.scalars, scalar)))
    assert "TOY : a <toy> of each pixel, in nats per pixel." in text and "strict information discarding" in text


def test_some_samples_are_shown_and_the_page_says_which(tmp_path):
    run = make_run(samples=100, size=4, layers=RESNET[:2])
    page = Page(write_page(run, tmp_path / "page.html"))
    shown = page.data["entries"][0]["samples"]
    assert len(shown) == packed_maps.SAMPLES and shown[0] == "test-00000" and shown[-1] == "test-00099"
    assert "resnet20: 16 of 100 samples, evenly spaced, every pixel." in page.texts
    assert len(page.of("img")) < 3 * packed_maps.SAMPLES


@pytest.mark.parametrize("size", [32, pytest.param(224, marks=pytest.mark.slow)])
def test_a_large_run_stays_below_eight_megabytes(tmp_path, size):
    """4 networks, 12 layers, 16 samples, SID and RU, reconstructions and inputs."""
    plan = make_plan([f"stage{i}.block" for i in range(12)], 16, tuple("abcd"), size, metrics=["sid", "ru"])
    rng = np.random.default_rng(0)  # noise cannot be packed: nothing is larger
    pictures = rng.random((16, 3, size, size), dtype=np.float32)
    run = Run.create(plan, images=pictures)
    for unit in run.pending():
        charts = {f"{name}_map": rng.normal(size=(16, size, size)).astype(np.float32) for name in ("sid", "ru")}
        means = {name.removesuffix("_map"): chart.mean((1, 2)) for name, chart in charts.items()}
        restored = rng.permuted(pictures, axis=-1)
        run.write(unit, charts | means | {"ru_floor": np.zeros(16), "reconstruction": restored})
    path = write_page(run, tmp_path / "page.html")
    assert path.stat().st_size < 8_000_000
    text = Page(path).text
    assert (f"maps averaged from {size}×{size} to 40×40 pixels" in text) == (size == 224)
    print(f"{size}×{size}: {path.stat().st_size / 1e6:.1f} MB")


def test_maps_that_are_lines_are_shown_one_below_the_other(tmp_path):
    plan = make_plan(samples=3, size=5, layers=RESNET[:2])
    run = Run.create(type(plan)(**vars(plan) | {"kind": "tokens", "height": 1}))
    values = np.linspace(0, 1, 15, dtype=np.float32).reshape(3, 5)
    values[1, 3:] = np.nan
    for unit in run.pending():
        run.write(unit, {"sid": np.nanmean(values, 1), "sid_map": values, "converged": np.ones(3, bool)})
    page = Page(write_page(run, tmp_path / "page.html"))
    strips = [attrs for attrs in page.of("img") if "data-strip" in attrs]
    strip, _ = codes(strips[1]["src"])
    assert len(strips) == 3 and strip.shape == (2, 5) and (strip[:, 3:] == packed_maps.NOTHING).all()
    assert (strip[:, :3] < packed_maps.NOTHING).all() and "nats/token" in page.text and "nats/pixel" not in page.text
