"""The report: one page that needs nothing else, and says how far to trust it."""

import json
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from infodiscard.analysis.statistics import holm
from infodiscard.api.compare import compare
from infodiscard.api.run import Run
from infodiscard.errors import InfodiscardError
from infodiscard.report import content, write_page, write_report
from infodiscard.report import packed_maps as maps
from infodiscard.report import sentences as findings
from infodiscard.report import svg_curves as curves
from infodiscard.report.markup import element, html
from infodiscard.solver.correction import SYSTEMATIC
from synthetic import RESNET, make_images, make_plan, make_run, shared_run, values_of

SMALL = {"layers": RESNET[:3], "samples": 6, "size": 6}
VOID = ("meta", "img", "input")
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "a\"b'c",
    "\u2028$policy&amp;",
    "x\x00y",
)


class Page(HTMLParser):
    """Collects the tags and texts of a page, and checks that every tag is closed."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self.open, self.inside = [], [], [], {}
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.inside.setdefault(self.open[-1], []).append(data)
        elif data.strip():
            self.texts.append(data.strip())

    @property
    def text(self):
        return " ".join(self.texts)

    @property
    def data(self):
        """What the script reads."""
        return json.loads(self.inside["script"][0])

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def codes(url):
    """The codes of an indexed PNG, and its colours."""
    picture = Image.open(BytesIO(b64decode(url.split(",")[1])))
    return np.asarray(picture), picture


# -- the file --------------------------------------------------------------------------------------------------------


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


def test_names_stay_texts(tmp_path):
    plan = make_plan(networks=HOSTILE[:2], layers=HOSTILE, samples=5, size=6, note=HOSTILE[0])
    plan = type(plan)(**vars(plan) | {"samples": HOSTILE, "classes": HOSTILE, "labels": tuple(range(5))})
    run = Run.create(plan, images=make_images(plan)[0])
    for unit in run.pending():
        run.write(unit, values_of(plan, unit))
    page = Page(write_page(run, tmp_path / "page.html"))
    assert len(page.of("script")) == 2 and not any("onerror" in attrs for _, attrs in page.tags)
    assert all(attrs["src"].startswith("data:") for attrs in page.of("img"))
    for name in HOSTILE[:4]:
        assert any(name.strip() in text for text in page.texts)
        assert name in page.data["layers"] and name in page.data["entries"][0]["samples"]
    assert "x\ufffdy" in page.texts


def test_an_element_is_its_text():
    made = element("p", "a<b", element("i", "&"), "c", None, "d", class_="x", data_a='"', hidden=True, title=None)
    assert html(made) == '<p class="x" data-a="&quot;" hidden="">a&lt;b<i>&amp;</i>cd</p>'
    assert html(element("b", "\x00\ud800\n")) == "<b>\ufffd\ufffd\n</b>"


# -- what it says ----------------------------------------------------------------------------------------------------


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
    assert f"{command} --metrics sid,ru --alpha 1.5 --tau 0.01 --sigma pixel --seed 0" in page.texts


def test_only_what_was_measured_is_explained(tmp_path):
    sid = Page(write_page(shared_run(**SMALL), tmp_path / "sid.html")).text
    ru = Page(write_page(shared_run(metrics=("ru",), **SMALL), tmp_path / "ru.html")).text
    assert "RU" not in sid.replace("for SID and RU", "") and "econstruct" not in sid and "floor" not in sid
    assert "SID" not in ru and "identity layer" not in ru and "cap on σ" not in ru
    assert "oncentration" not in sid + ru


def test_findings_name_the_layers_that_lose_most():
    read = content.read(make_run(masks=True, metrics=["sid", "ru"], layers=RESNET, samples=8, size=8))
    sentences = findings.losses(read)
    means = read.entries[0].summary["sid_corrected"]
    assert sentences[0].startswith(f"resnet20 discards most in {means.idxmax()} (SID {means.max():.3f} ± ")
    assert f"and least in {means.idxmin()}" in sentences[0]
    assert f"from layer3.2 to fc (+{means.diff().max():.3f})" in sentences[0]
    assert "in reconstruction" in sentences[1]
    reached = content.read(make_run(old=True, layers=RESNET, samples=8, size=8))
    means = reached.entries[0].summary["sid"]
    assert f"(SID (reached) {means.max():.3f} ± " in findings.losses(reached)[0]


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
    assert (table["verdict"][~within] == content.MORE).all() and (table["verdict"][within] == content.UNKNOWN).all()
    (sentence,) = findings.changes(read)
    assert sentence.startswith("SID (reached) of b against a: significantly higher in ")
    assert sentence.endswith(f"; no significant difference in the other {within.sum()}.")
    assert "not to be trusted" not in sentence  # only the last layer is doubtful


def test_corrected_differences_are_significant_beyond_their_systematic_error():
    """The same images with 0.015 more everywhere: there is no scatter, but the corrections grow with the depth."""
    base, more = (make_run(layers=RESNET, size=6, shift=shift) for shift in (0.0, 0.015))
    table = content.read({"a": base, "b": more}).pairs.set_index("layer")
    assert (table["gap"] == 0).all() and (table["basis"] == "corrected").all()
    frame = base.to_dataframe()
    missing = (frame["sid_corrected"] - frame["sid"]).groupby(frame["layer"]).mean()
    np.testing.assert_allclose(table["se"], SYSTEMATIC * np.sqrt(2) * missing[table.index], rtol=1e-4)
    significant = holm(list(2 * stats.t.sf(table["difference"] / table["se"], table["n"] - 1)))
    np.testing.assert_allclose(table["p_holm"], significant, rtol=1e-6)
    assert set(table["verdict"]) == {content.MORE, content.UNKNOWN} and table["verdict"]["fc"] == content.UNKNOWN


def test_p_values_are_corrected_for_all_pairs_of_a_measure():
    base = make_run(networks=("a",), layers=RESNET[:4], samples=6, size=6)
    others = {
        name: make_run(networks=(name,), layers=RESNET[:4], samples=6, size=6, seed=i) for i, name in enumerate("bc", 1)
    }
    table = content.read({"a": base, **others}).pairs
    assert list(dict.fromkeys(zip(table["a"], table["b"], strict=True))) == [("a", "b"), ("a", "c"), ("b", "c")]
    excess = table["difference"].abs() - table["gap"]
    p = np.minimum(1, 2 * stats.t.sf(excess / table["se"], table["n"] - 1))
    np.testing.assert_allclose(table["p_holm"], holm(list(p)), rtol=1e-6)
    assert len(set(p)) > 3


def test_one_sample_is_never_significant():
    read = content.read({"a": make_run(samples=1, size=6), "b": make_run(samples=1, size=6, shift=2.0)})
    assert (read.pairs["p_holm"] == 1).all() and (read.pairs["verdict"] == content.UNKNOWN).all()
    assert "a: only 1 sample; one sample has no standard error." in findings.warnings(read)


def test_doubts_are_said_where_they_belong(tmp_path):
    said = findings.warnings(content.read(shared_run(**SMALL)))
    assert said == ["resnet20, SID in layer1.1: not converged for 17% of the samples."]
    run = make_run(units=2, **SMALL)
    assert findings.warnings(content.read(run)) == ["resnet20: not finished, 1 of 3 units are missing."]
    far = make_run(networks=("a",), alpha=2.0, **SMALL)
    said = findings.warnings(content.read({"a": far, "b": make_run(**SMALL | {"size": 8}), "c": run}))
    assert "a, SID in conv1, layer1.0 and layer1.1: distance off α = 2 by 25%." in said
    assert "c against a: alpha differs (2.0 and 1.5)." in said
    assert any(text.startswith("b was not compared with a: ") and "3×8×8" in text for text in said)
    page = Page(write_page(shared_run(**SMALL), tmp_path / "page.html"))
    assert page.texts.count("⚠ not converged for 17% of the samples") == 2  # beside the values, beside the solver


def test_doubts_about_ru_are_its_own():
    run = make_run(metrics=["sid", "ru"], **SMALL | {"samples": 7})
    row = run.summary().iloc[2]
    assert row["converged"] < row["ru_converged"] < 0.95
    assert findings.warnings(content.read(run)) == [
        f"resnet20, {name} in layer1.1: not converged for {1 - row[column]:.0%} of the samples."
        for name, column in (("SID", "converged"), ("RU", "ru_converged"))
    ]


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])  # which ticks there are depends on the range
def test_points_and_ticks_lie_where_they_belong(shift):
    """Against the values: a mark's height is linear in its mean, on the scale that the ticks give."""
    read = content.read(make_run(metrics=["sid", "ru"], layers=RESNET[:4], samples=6, size=8, shift=shift))
    for metric in ("sid", "ru"):
        drawn = curves.curve(read, metric)
        texts = [text for text in drawn.findall("g[@class='grid']/text")]
        heights = np.array([float(text.get("y")) - 4 for text in texts])
        values = np.array([float(text.text.replace("−", "-")) for text in texts])
        slope, start = np.polyfit(heights, values, 1)
        np.testing.assert_allclose(start + slope * heights, values, atol=2e-3)  # coordinates have one decimal
        marks = drawn.findall("g[@data-entry='0']/g")
        places = np.array([re.findall(r"[\d.]+", mark.get("transform")) for mark in marks], float)
        expected = read.entries[0].summary[{"sid": "sid_corrected"}.get(metric, metric)]
        np.testing.assert_allclose(start + slope * places[:, 1], expected, atol=0.01 * np.ptp(expected))
        assert len(set(np.diff(places[:, 0]).round())) == 1


# -- maps ------------------------------------------------------------------------------------------------------------


def test_maps_are_what_was_measured_within_half_a_step():
    run = make_run(metrics=["sid", "ru"], **SMALL)
    read = content.read(run)
    packed = maps.pack(read)
    for metric in ("sid", "ru"):
        low, high = packed.scales[metric]
        data = run.dataset[f"{metric}_map"].values[0]
        assert ((data < low).mean() < 0.011) and ((data > high).mean() < 0.011)
        for row, sample in enumerate(run.plan.samples):
            strip, picture = codes(packed.strips["resnet20", metric, sample].source)
            assert picture.mode == "P" and strip.shape == (6, 3 * (6 + maps.GAP))
            tiles = strip.reshape(6, 3, 7).transpose(1, 0, 2)
            assert (tiles[..., -1] == maps.NOTHING).all() and picture.info["transparency"] == maps.NOTHING
            values = low + tiles[..., :-1] / 254 * (high - low)
            np.testing.assert_allclose(values, data[:, row].clip(low, high), atol=0.51 * (high - low) / 254)


def test_maps_are_averaged_where_they_are_large():
    chart = np.arange(24.0).reshape(1, 4, 6)
    np.testing.assert_allclose(maps.shrunk(chart, 2, 3), [[[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]])
    np.testing.assert_allclose(maps.shrunk(chart, 3, 6).mean((1, 2)) * 3, [(2.5 + 8.5 + 17.5)])
    chart[0, 0, 0] = np.nan
    assert maps.shrunk(chart, 2, 3)[0, 0, 0] == (1 + 6 + 7) / 3
    chart[0, :2, :2] = np.nan
    assert np.isnan(maps.shrunk(chart, 2, 3)[0, 0, 0])


def test_some_samples_are_shown_and_the_page_says_which(tmp_path):
    run = make_run(samples=100, size=4, layers=RESNET[:2])
    page = Page(write_page(run, tmp_path / "page.html"))
    shown = page.data["entries"][0]["samples"]
    assert len(shown) == maps.SAMPLES and shown[0] == "test-00000" and shown[-1] == "test-00099"
    assert "resnet20: 16 of 100 samples, evenly spaced, every pixel." in page.texts
    assert len(page.of("img")) < 3 * maps.SAMPLES


def test_two_runs_show_the_samples_of_both():
    first, second = make_run(samples=40, size=4, layers=RESNET[:2]), make_run(samples=20, size=4, layers=RESNET[:2])
    packed = maps.pack(content.read({"a": first, "b": second}))
    assert packed.samples["a"] == packed.samples["b"] and packed.samples["a"][-1] == "test-00019"


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
    assert len(strips) == 3 and strip.shape == (2, 5) and (strip[:, 3:] == maps.NOTHING).all()
    assert (strip[:, :3] < maps.NOTHING).all() and "nats/token" in page.text and "nats/pixel" not in page.text
