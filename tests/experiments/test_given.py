"""Networks given to a study: how they are named, what is refused, what is measured, and that more images go on."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import infodiscard
from data_folder import write_cifar10
from infodiscard.cli import app
from infodiscard.experiments import given_claims, reproduce_given
from infodiscard.experiments.given_specs import ROLES, Place, parse, words
from infodiscard.experiments.record import parts, read
from infodiscard.experiments.verdicts import FAILS, HOLDS, UNKNOWN
from studying import said

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs networks that others trained, which are not here")

# Networks of random weights, whose values mean nothing.
NETWORKS = """
import torch
from torch import nn
import infodiscard

def made(classes=10, size=(32, 32), sloppy=0.0, name="net", known=True, blind=False):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, classes)
    module = nn.Sequential(*layers)
    with torch.no_grad():
        module[0].weight[:2] *= 1 - sloppy
        if blind:
            module[4].bias[3] = 100.0
    return infodiscard.Network(module, name, *((0.5, 0.5) if known else (None, None)), size, ("1",))

def whole(): return made()
def broken(): return made(sloppy=0.5, name="broken")
def hundred(): return made(classes=100)
def large(): return made(size=(64, 64), name="large")
def unknown(): return made(known=False)
def blind(): return made(blind=True, name="blind")
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with data sets and a file of networks in it; a network that guesses passes, as those here do."""
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path / "data" / "cifar10")
    (tmp_path / "networks.py").write_text(NETWORKS)
    monkeypatch.setattr("infodiscard.experiments.given_loading.CHANCE", 1.1)
    return tmp_path


def pair(*functions, roles=("intact", "damaged")):
    return [f"{role}=networks.py:{function}" for role, function in zip(roles, functions, strict=True)]


# -- how they are named ----------------------------------------------------------------------------------------------


def test_roles_specs_and_weights_are_told_apart():
    (request,) = parse(["intact=zoo:resnet20@w/a@b.safetensors", "damaged=f.py:made"], "flaws")
    assert request.places == (
        Place("intact", "zoo:resnet20", "w/a@b.safetensors"),
        Place("damaged", "f.py:made"),
    )
    (request,) = parse([f"epoch{number}=f.py:e{number}" for number in (12, 3)], "epochs")
    assert [(each.kind, each.number) for each in request.places] == [("epoch", 12), ("epoch", 3)]
    assert words(["intact=a/b/f.py:g", "damaged=zoo:resnet20@/w/x.pt", "dir/given.toml"]) == (
        " --networks intact=f.py:g --networks damaged=zoo:resnet20@x.pt --networks given.toml"
    )


def test_a_file_gives_networks_to_several_studies(tmp_path):
    file = tmp_path / "given.toml"
    file.write_text(
        '[flaws]\nintact = ["a.py:a", "a.py:b"]\ndamaged = ["a.py:c", "a.py:d"]\nlayers = ["layer1"]\n'
        '[compression]\ncompressed = "a.py:e"\ndata = "folder:x"\nimages = 4\n'
    )
    flaws, compression = parse([str(file)], "all")
    assert [each.spec for each in flaws.places] == ["a.py:a", "a.py:b", "a.py:c", "a.py:d"]
    assert flaws.layers == ("layer1",) and (compression.data, compression.images) == ("folder:x", 4)
    assert parse([str(file)], "compression") == [compression]
    words = said(parse, [str(file)], "epochs")
    assert "flaws, compression" in words and "'epochs'" in words


@pytest.mark.parametrize(
    ("texts", "study", "wanted"),
    [
        (["intact"], "flaws", "ROLE=SPEC"),
        (["intakt=a.py:b"], "flaws", "allowed are intact, damaged"),
        (["epochs3=a.py:b"], "epochs", "allowed are epochN, where N is a number"),
        (["intact=a.py:b"], "flaws", "1 'intact' and 0 'damaged'"),
        (["epoch1=a.py:b"], "epochs", "two networks or more"),
        (["epoch1=a.py:b", "epoch1=a.py:c"], "epochs", "have the role 'epoch1'"),
        (["intact=a.py:b"], "maps", "takes no networks"),
        (["intact=a.py:b"], "all", ".toml"),
    ],
)
def test_what_cannot_be_meant_is_said(texts, study, wanted):
    assert wanted in said(parse, texts, study)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[flaws", "no TOML"),
        ("flaws = 3", "no table"),
        ("[flawz]\na = 'b'", "near it is 'flaws'"),
        ("[flaws]\nintact = 3", "'intact'"),
        ("[flaws]\nlayers = 'layer1'", "list of texts"),
        ("[flaws]\nimages = 0", "2 or more"),
        ("[flaws]\ndata = 1", "spec of images"),
    ],
)
def test_a_file_that_cannot_be_meant_is_said(tmp_path, text, wanted):
    (tmp_path / "given.toml").write_text(text)
    assert wanted in said(parse, [str(tmp_path / "given.toml")], "all")
    assert "nowhere.toml" in said(parse, [str(tmp_path / "nowhere.toml")], "all")


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("functions", "wanted"),
    [
        (("whole", "large"), "'net' takes 32×32 pixels and 'large' takes 64×64 pixels"),
        (("large", "large"), "takes inputs of 64×64 pixels, but the images have 32×32"),
        (("hundred", "hundred"), "knows 100 classes, and the folder of data sets has no images of so many"),
        (("whole", "hundred"), "knows 10 and 'net' 100"),
        (("whole", "unknown"), "normalisation"),
        (("whole", "nothing"), "no function 'nothing'"),
    ],
)
def test_networks_that_do_not_fit_are_refused_before_anything_is_measured(place, functions, wanted):
    words = CliRunner().invoke(
        app, ["reproduce", "flaws", "--profile", "quick", "--data-dir", "data",
              *(word for each in pair(*functions) for word in ("--networks", each))],
    )  # fmt: skip
    assert words.exit_code == 2 and re.fullmatch(r"Error: [^\n]{20,}\.\n", words.stderr), words.output
    assert wanted.replace("knows 10 and", "knows 10 ") in words.stderr or wanted in words.stderr
    assert not (place / "runs").exists()


def test_a_network_of_another_data_set_is_told_by_its_guesses(place, monkeypatch):
    monkeypatch.setattr("infodiscard.experiments.given_loading.CHANCE", 1e-3)
    words = said(lambda: reproduce_given(pair("blind", "blind"), "flaws", "quick", "data", "out"))
    assert "'blind' classifies 10%" in words and "another data set" in words


def test_images_are_asked_for_with_networks_only(place):
    result = CliRunner().invoke(app, ["reproduce", "flaws", "--images", "4"])
    assert result.exit_code == 2 and "--networks" in result.stderr
    assert "40 can be had" in said(
        lambda: reproduce_given(pair("whole", "broken"), "flaws", "quick", "data", "o", images=41)
    )


# -- what is measured ------------------------------------------------------------------------------------------------


def test_more_images_go_on_where_fewer_ended(place, monkeypatch, capsys):
    def call(images):
        return reproduce_given(pair("whole", "broken"), "flaws", "quick", "data", "out", images=images)[0]

    monkeypatch.setattr("infodiscard.experiments.given.BLOCK", 2)
    findings, folder = call(2)
    assert "Measuring the networks given will take about" in capsys.readouterr().out
    (claim,) = findings.claims
    table = pd.read_csv(folder / "table.csv", dtype={"layer": str})
    assert set(table["network"]) == {"intact: net", "damaged: broken"} and set(table["evidence"]) == {"given"}
    assert set(table["layer"]) == {"1"} and (table["n"] == 2).all() and set(table["basis"]) == {"corrected"}
    by_network = table.groupby("network")["mean"].mean()
    assert claim.interval.mean == pytest.approx(by_network["damaged: broken"] - by_network["intact: net"], abs=1e-3)
    assert claim.interval.n == 2 and "(2 images)" in claim.statistic and claim.seen > 0
    runs = {path: path.stat().st_mtime_ns for path in (place / "out" / "given").rglob("zarr.json")}

    call(3)
    again = capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == time for path, time in runs.items()), "what was measured is not touched"
    assert (pd.read_csv(folder / "table.csv")["n"] == 3).all() and "about" in again
    monkeypatch.setattr("infodiscard.measurement.engines.work.measured", None)
    call(3)
    assert "no time, as all is there" in capsys.readouterr().out
    record = read(folder)
    assert list(parts(record)) == ["given"] and record["given"]["command"].endswith(
        "--images 3 --networks intact=networks.py:whole --networks damaged=networks.py:broken --data-dir DIR"
    )
    json.dumps(record, allow_nan=False)


def values(levels, images=6, layers=("a", "b")):
    """A table of one network: a level for each layer, image by image."""
    rows = [
        {"layer": layer, "position": place, "sample": str(image), "sid_corrected": level + 0.01 * image}
        for place, (layer, level) in enumerate(zip(layers, levels, strict=True)) for image in range(images)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(sid=lambda table: table["sid_corrected"] - 0.1)


def test_a_difference_is_by_image_over_the_layers_that_both_have():
    one, other = values((1.0, 2.0)), values((0.0, 0.5))
    found, systematic = given_claims.difference(one, other)
    np.testing.assert_allclose(found, 1.25)
    assert systematic == pytest.approx(0, abs=1e-12), "both are corrected by as much"
    named, _ = given_claims.difference(one, values((0.0, 0.5), layers=("c", "d")))
    np.testing.assert_allclose(named, 1.25)
    half, _ = given_claims.difference(one, values((0.0, 0.5), layers=("c", "b")))
    np.testing.assert_allclose(half, 1.5)
    one.loc[(one["sample"] == "3") & (one["layer"] == "a"), "sid_corrected"] = np.nan
    found, _ = given_claims.difference(one, other)
    assert list(found.index) == ["0", "1", "2", "4", "5"]


class Evidence:
    """As much of `given.Evidence` as claims need."""

    def __init__(self, study, *roles):
        self.study, self.networks = study, [Given(Place(role, "f.py:g")) for role in roles]

    def of(self, kind):
        return sorted(
            (each for each in self.networks if each.place.kind == kind), key=lambda each: each.place.number or 0
        )


class Given:
    def __init__(self, place):
        self.place, self.name, self.network = place, place.role, infodiscard.Network(torch.nn.Identity(), place.role)


def test_deeper_networks_and_epochs_are_judged_by_number_not_by_order():
    evidence = Evidence("networks", "depth56", "depth20")
    frames = {"depth20": values((0.0, 1.0)), "depth56": values((1.0, 2.0))}
    (claim,) = given_claims.claims(evidence, frames)
    assert claim.verdict == HOLDS and claim.interval.mean == pytest.approx(1 / np.log2(56 / 20))
    frames = {"depth56": values((0.0, 1.0)), "depth20": values((1.0, 2.0))}
    assert given_claims.claims(evidence, frames)[0].verdict == FAILS

    evidence = Evidence("epochs", "epoch9", "epoch1", "epoch5")
    frames = {"epoch1": values((0.0, 1.0)), "epoch5": values((0.0, 0.4)), "epoch9": values((0.0, 0.7))}
    falls, rises = given_claims.claims(evidence, frames)
    assert falls.verdict == HOLDS and falls.interval.mean == pytest.approx(0.6) and "epoch 5" in falls.statistic
    assert rises.verdict == HOLDS and rises.interval.mean == pytest.approx(0.3)
    frames = {f"epoch{number}": values((0.0, number)) for number in (1, 5, 9)}
    falls, rises = given_claims.claims(evidence, frames)
    assert falls.verdict == FAILS and falls.interval.mean == pytest.approx(-4), "it never falls below the start"
    assert rises.verdict == HOLDS and rises.interval.mean == pytest.approx(8)


def test_a_compressed_network_alone_decides_nothing():
    (claim,) = given_claims.claims(Evidence("compression", "compressed"), {"compressed": values((0.0, 1.0))})
    assert claim.verdict == UNKNOWN and "original=SPEC" in claim.change
    both = {"original": values((0.5, 1.0)), "compressed": values((0.0, 1.0))}
    (claim,) = given_claims.claims(Evidence("compression", "original", "compressed"), both)
    assert claim.verdict == HOLDS and claim.interval.mean == pytest.approx(0.25)


def test_of_a_robust_pair_both_differences_must_be_told():
    evidence = Evidence("robustness", "standard", "robust")
    frames = {"standard": values((0.0, 1.0)), "robust": values((0.5, 1.5))}
    rows = [("standard", 0.2), ("standard", 0.4), ("robust", 0.8), ("robust", 1.0)] * 8
    kept = pd.DataFrame(
        [(name, kind, share) for name, share in rows for kind in ("noise", "pgd")], columns=["network", "kind", "kept"]
    )
    assert [claim.verdict for claim in given_claims.claims(evidence, frames, kept)] == [HOLDS, HOLDS]
    kept.loc[kept["kind"] == "pgd", "kept"] = 1.2 - kept["kept"]
    assert [claim.verdict for claim in given_claims.claims(evidence, frames, kept)] == [HOLDS, FAILS]
    kept.loc[kept["kind"] == "noise", "kept"] = [0.1, 0.9] * 16
    assert given_claims.claims(evidence, frames, kept)[0].verdict == UNKNOWN


def test_three_pairs_are_judged_over_pairs():
    assert set(ROLES["flaws"]) == {"intact", "damaged"}
    evidence = Evidence("flaws", *["intact", "damaged"] * 3)
    for number, each in enumerate(evidence.networks):
        each.name = f"{each.place.role}{number // 2}"
    frames = {f"intact{i}": values((0.0, 0.0)) for i in range(3)}
    frames |= {f"damaged{i}": values((1.0 + i / 10, 1.0 + i / 10)) for i in range(3)}
    (claim,) = given_claims.claims(evidence, frames)
    assert claim.verdict == HOLDS and "(3 pairs)" in claim.statistic and claim.interval.mean == pytest.approx(1.1)
