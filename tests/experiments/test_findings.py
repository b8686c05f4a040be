"""Findings: tables of means, and the files of a study."""

import json
import re
from dataclasses import asdict, replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from infodiscard.core.metrics import corrected
from infodiscard.experiments.figures import curves, panels
from infodiscard.experiments.findings import GIVEN, Findings, layer_means, mean_of
from infodiscard.experiments.record import claims_table, markdown, parts, read, table_row, write
from infodiscard.experiments.verdicts import HOLDS, UNKNOWN, Claim, direction
from studying import said, trained
from synthetic import make_run, shared_run

ABOUT = {"profile": "quick", "command": "infodiscard reproduce x", "seconds": 1.4}


def test_means_are_those_of_the_runs():
    sid, both = shared_run(samples=8, size=8, masks=True), shared_run(samples=8, size=8, metrics=("sid", "ru"), seed=1)
    table = layer_means(trained(), sid, both, extra={"epoch": 3})
    assert (table[["network", "seed", "accuracy", "epoch"]] == ["resnet20", 1, 0.5, 3]).all(axis=None)
    assert set(table["measure"]) == {"sid", "concentration", "ru", "ru_floor"}
    layers = list(sid.plan.layers["resnet20"])
    for run, measures in ((sid, ("sid", "concentration")), (both, ("ru",))):
        summary = run.summary().set_index("layer")
        for measure in measures:
            rows = table[table["measure"] == measure].iloc[: len(layers)].set_index("layer")
            assert list(rows.index) == layers and list(rows["position"]) == list(range(len(layers)))
            value = corrected(measure) or measure
            np.testing.assert_allclose(rows["mean"], summary[value][layers], rtol=1e-5)
            np.testing.assert_allclose(rows["se"], summary[f"{value}_se"][layers], rtol=1e-4)
            np.testing.assert_allclose(rows["reached"], summary[measure][layers], rtol=1e-5)
            assert (rows["n"] == 8).all() and set(rows["basis"]) == {"corrected" if corrected(measure) else ""}
    warnings = table[table["measure"] == "sid"].set_index("layer")["warning"].iloc[: len(layers)]
    assert "not converged for 25%" in warnings["fc"] and not warnings["conv1"]
    assert not table.loc[table["measure"] == "ru_floor", "warning"].any()


def test_means_of_some_layers_only():
    run = shared_run(samples=8, size=8)
    every, some = layer_means(trained(), run), layer_means(trained(), run, layers=("fc", "layer1.0", "layer9"))
    assert list(some["layer"]) == ["layer1.0", "fc"] and list(some["position"]) == [0, 1]
    same = ["layer", "measure", "mean", "se", "n", "warning"]
    wanted = every[every["layer"].isin(["layer1.0", "fc"])][same].reset_index(drop=True)
    pd.testing.assert_frame_equal(some[same], wanted)


def test_a_single_image_has_a_mean_and_no_error():
    row = layer_means(trained(), make_run(samples=1, size=4, layers=("conv1",))).iloc[0]
    assert row["n"] == 1 and np.isfinite(row["mean"]) and np.isnan(row["se"])


def test_the_mean_of_one_network_its_training_and_layers():
    run = shared_run(samples=8, size=8)
    other = shared_run(samples=8, size=8, shift=1.0)
    parts = [layer_means(trained(seed=0), run), layer_means(trained(seed=1), other)]
    parts += [layer_means(trained("other", None), other)]
    table = pd.concat(parts, ignore_index=True)
    values = run.summary().set_index("layer")["sid_corrected"]
    assert mean_of(table, "resnet20", 0, "sid") == pytest.approx(values.mean(), abs=1e-6)
    assert mean_of(table, "resnet20", 1, "sid") == pytest.approx(values.mean() + 1, abs=1e-5)
    assert mean_of(table, "other", None, "sid") == pytest.approx(values.mean() + 1, abs=1e-5)
    some = mean_of(table, "resnet20", 0, "sid", ["fc", "conv1"])
    assert some == pytest.approx(values[["fc", "conv1"]].mean(), abs=1e-6)
    for absent in (("no", 0, "sid"), ("resnet20", 2, "sid"), ("resnet20", None, "sid"), ("resnet20", 0, "ru")):
        assert np.isnan(mean_of(table, *absent))
    assert np.isnan(mean_of(table, "resnet20", 0, "sid", ["layer9"]))


CLAIMS = (
    Claim("A holds.", HOLDS, "|a − b| of `x|y` and p(a|b) is +0.100"),
    Claim("An odd ` tick and *stars*.", UNKNOWN, "first\nsecond line, 95 % 0 … 1"),
    Claim("A | B", "does not hold", "\\| was there"),
)


def findings(claims=CLAIMS):
    run = shared_run(samples=3, size=4)
    figure, axes = panels(1)
    table = layer_means(trained(), run)
    curves(axes[0], table, "sid", ["resnet20"])
    return Findings("study", "is it so?", claims, table, {"first": figure, "second": figure}, ("Note 1.", "Note 2."))


def cells(page):
    """The text of every row of the tables in a page, by a parser of its own."""
    html = MarkdownIt("commonmark").enable("table").render(page)
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.S)
    return [[re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row, re.S)] for row in rows]


def test_the_page_has_every_claim_whatever_is_in_its_words():
    head, *rows = cells("\n".join(claims_table({"claims": [asdict(claim) for claim in CLAIMS]})))
    assert head == ["claim", "here", "statistic", "what would change it"]
    assert [row[1] for row in rows] == [claim.verdict for claim in CLAIMS] and all(len(row) == 4 for row in rows)
    assert rows[0][2] == "|a − b| of x|y and p(a|b) is +0.100"
    assert rows[1][0] == "An odd ` tick and stars." and rows[1][2] == "first second line, 95 % 0 … 1"
    assert rows[2][0] == "A | B" and rows[2][2].endswith("| was there")
    assert cells(f"{table_row('a|b', 'c')}\n|---|---|\n{table_row('`|`', '|')}") == [["a|b", "c"], ["|", "|"]]


def test_a_study_is_written_whole(tmp_path):
    found = findings()
    page = write(found, tmp_path / "new" / "study", ABOUT)
    assert page == tmp_path / "new" / "study" / "result.md"
    names = {"table.csv", "result.json", "result.md", "first.svg", "first.png", "second.svg", "second.png"}
    assert {path.name for path in page.parent.iterdir()} == names
    table = pd.read_csv(page.with_name("table.csv"))
    np.testing.assert_allclose(table["mean"], found.table["mean"], rtol=1e-4)
    assert list(table) == [*found.table, "evidence"] and set(table["evidence"]) == {"trained here"}
    result = json.loads(page.with_name("result.json").read_text())
    assert [Claim(**claim) for claim in result["claims"]] == list(CLAIMS) and result["notes"] == ["Note 1.", "Note 2."]
    assert markdown(result) == page.read_text() and read(page.parent) == result
    assert result["seconds"] == 1.4 and {"infodiscard", "torch", "python"} <= set(result["versions"])
    text = page.read_text()
    assert "![first](first.png)" in text and "- Note 2." in text and "`infodiscard reproduce x`, 1 s." in text
    for name in ("first", "second"):
        assert ElementTree.parse(page.with_name(f"{name}.svg")).getroot().tag.endswith("svg")
        with Image.open(page.with_name(f"{name}.png")) as picture:
            assert min(picture.size) > 100
    before = page.with_name("first.svg").read_bytes()
    write(findings(), page.parent, ABOUT)  # drawn anew, over the old one, and without the time of day in its pictures
    assert len(page.with_name("first.svg").read_bytes()) == len(before)


def test_networks_given_and_trained_share_a_record(tmp_path):
    own = replace(findings(), figures={})
    given = replace(own, claims=CLAIMS[:1], evidence=GIVEN, notes=("Of given ones.",))
    for order in ((own, given), (given, own), (own, given, own, given)):
        folder = tmp_path / str(len(order)) / order[0].evidence
        for each in order:
            write(each, folder, ABOUT | {"command": f"reproduce {each.evidence}"})
        record = read(folder)
        assert len(record["claims"]) == 3 and len(record["given"]["claims"]) == 1 and record["title"] == "is it so?"
        assert list(parts(record)) == ["trained here", "given"]
        table = pd.read_csv(folder / "table.csv")
        assert list(table["evidence"]) == ["trained here"] * len(own.table) + ["given"] * len(given.table)
        page = (folder / "result.md").read_text()
        assert page.index("Note 1.") < page.index("### Networks given") < page.index("Of given ones.")
    only = write(given, tmp_path / "only", ABOUT).parent
    assert list(parts(read(only))) == ["given"] and "Note 1." not in (only / "result.md").read_text()


def test_what_no_number_can_say_is_null(tmp_path):
    claim = direction("A.", [0.5], "a")
    record = json.loads(
        (write(replace(findings((claim,)), figures={}), tmp_path, ABOUT).with_name("result.json")).read_text()
    )
    (found,) = record["claims"]
    assert found["interval"]["se"] is None and found["interval"]["mean"] == 0.5 and found["seen"] is None


def test_a_study_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in said(write, findings(), tmp_path / "file", ABOUT)
