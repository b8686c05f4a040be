"""Looks at a study: published boundaries, and how often one of them decides where there is nothing."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infodiscard.errors import InfodiscardError
from infodiscard.experiments import STUDIES, forecast, reproduce
from infodiscard.experiments.datasets import DataFolder
from infodiscard.experiments.findings import Findings
from infodiscard.experiments.lab import Lab, slug
from infodiscard.experiments.presets import CPU, DESK
from infodiscard.experiments.sequential import freeze, levels
from infodiscard.experiments.verdicts import HOLDS, UNKNOWN, Claim


def test_boundaries_are_those_of_lan_and_demets():
    found = [stats.norm.isf((1 - level) / 2) for level in levels((1, 2, 3))]
    assert found == pytest.approx([3.710, 2.511, 1.993], abs=2e-3)  # their function for three looks, two-sided 5 %
    assert levels((3,)) == pytest.approx((0.95,))


def test_several_looks_decide_on_nothing_as_seldom_as_one():
    """With Student's t, of which the boundaries are but the tails: 5.3 % instead of 5 %."""
    looks, trials = DESK.schedule, 20_000
    values = np.random.default_rng(0).normal(size=(trials, looks[-1]))
    decided = np.zeros(trials, bool)
    for look, level in zip(looks, levels(looks), strict=True):
        seen = values[:, :look]
        t = seen.mean(1) / (seen.std(1, ddof=1) / look**0.5)
        decided |= np.abs(t) > stats.t.isf((1 - level) / 2, look - 1)
    assert 0.045 < decided.mean() < 0.056


def test_a_profile_has_the_level_of_its_look():
    assert [DESK.at(seeds).level for seeds in DESK.schedule] == list(levels(DESK.looks))
    assert [DESK.at(seeds).seeds for seeds in DESK.schedule] == list(DESK.looks) and DESK.looks[-1] == DESK.seeds
    assert CPU.schedule == (CPU.seeds,) and CPU.at(CPU.seeds) == CPU


def test_what_is_decided_stays_as_it_was_then():
    decided = {}
    first = freeze(decided, [Claim("a", HOLDS, "at first"), Claim("b", UNKNOWN, "wide")], 4, (4, 8))
    assert [claim.verdict for claim in first] == [HOLDS, UNKNOWN] and list(decided) == ["a"]
    second = freeze(decided, [Claim("a", UNKNOWN, "later"), Claim("b", HOLDS, "narrow")], 8, (4, 8))
    assert second[0] == first[0] and second[0].statistic == "at first; look 1 of 2, at 4 trainings"
    assert second[1].statistic == "narrow; look 2 of 2, at 8 trainings"
    assert freeze({}, [Claim("a", HOLDS, "once")], 3, (3,))[0].statistic == "once"


def test_a_study_stops_at_the_look_that_decides_and_a_folder_keeps_its_profile(tmp_path, monkeypatch, capsys):
    asked = []

    def run(lab):
        asked.append((lab.preset.seeds, lab.preset.level))
        late = HOLDS if lab.preset.seeds >= 6 else UNKNOWN
        claims = Claim("early", HOLDS, "e"), Claim("late", late, "l")
        return Findings("flaws", "t", claims, pd.DataFrame({"measure": ["sid"]}))

    monkeypatch.setattr("infodiscard.experiments.studies.flaws.run", run)
    module = sys.modules["infodiscard.experiments.reproduce"]  # whose name the function bears in the package
    monkeypatch.setattr(module, "expected", lambda study, lab: 3600.0 * lab.preset.seeds)
    findings, _ = reproduce("flaws", "desk", None, tmp_path)
    assert asked == list(zip((4, 6), levels(DESK.looks)[:2], strict=True))
    assert [claim.statistic for claim in findings.claims] == [
        "e; look 1 of 3, at 4 trainings",
        "l; look 2 of 3, at 6 trainings",
    ]
    said = "flaws will take about 4.0 hours with 4 trainings of each network, and about 8.0 hours if all 8 are needed."
    assert said in capsys.readouterr().out
    (tmp_path / "profile.txt").write_text("desk\n")  # as the first training leaves it
    reproduce("flaws", "desk", None, tmp_path)
    with pytest.raises(InfodiscardError, match="begun under the profile 'desk' and cannot be continued under 'cpu'"):
        reproduce("flaws", "cpu", None, tmp_path)


@pytest.mark.parametrize("study", STUDIES)
def test_what_a_study_needs_is_foretold(study, tmp_path, monkeypatch):
    """Of every study something, and nothing once all is trained."""
    monkeypatch.setattr("infodiscard.experiments.forecast._Clock.times", lambda self, spec: (0.004, 0.004))
    lab = Lab(tmp_path, DataFolder(), DESK)
    whole = forecast.seconds(study, lab)
    assert whole > forecast.seconds(study, Lab(tmp_path, DataFolder(), CPU)) > 0
    names = [
        slug(f"{name}-seed{seed}") for work in forecast.works(study, DESK) for name in work.names for seed in range(8)
    ]
    for name in names:
        folder = tmp_path / "networks" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "epoch-001.safetensors").touch()  # a training under way
    assert forecast.seconds(study, lab) == whole
    for name in names:
        (tmp_path / "networks" / name / "network.safetensors").touch()
    assert forecast.seconds(study, lab) == 0
    assert forecast.duration(30) == "about 30 seconds" and forecast.duration(600) == "about 10 minutes"
