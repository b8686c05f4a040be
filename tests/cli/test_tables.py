"""What the terminal shows of a run: a table per network and metric, and doubts in words."""

import re

import numpy as np
import pytest
from rich.console import Console

from infodiscard.api.run import Run
from infodiscard.cli.tables import show_run
from synthetic import RESNET, make_plan, make_run, older, shared_run, values_of

SMALL = {"layers": (*RESNET[:2], "fc"), "samples": 16, "size": 6}


def shown(run, width=100):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        show_run(console, run)
    lines = capture.get().splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    return lines


@pytest.mark.parametrize("width", [80, 100])
def test_both_metrics_have_a_table_under_the_same_heading(width):
    run = shared_run(metrics=("sid", "ru"), masks=True, networks=("r20", "r32"), **SMALL)
    lines = shown(run, width)
    text = "\n".join(lines)
    assert "…" not in text and sum(line.rstrip().endswith(" cap") for line in lines) == 2
    marks = [word for line in lines for word in re.findall(r"^r20|^r32|SID ± se|RU ± se", line)]
    assert marks == ["r20", "SID ± se", "RU ± se", "r32", "SID ± se", "RU ± se"]
    row = run.summary().iloc[0]
    sid, ru = [line.split() for line in lines if line.startswith("conv1")][:2]
    assert sid[1:5] == [f"{row['sid_corrected']:.3f}", "±", f"{row['sid_corrected_se']:.3f}", f"{row['sid']:.3f}"]
    assert f"{row['concentration_corrected']:.2f}" in sid and f"{row['gap']:.3f}" not in sid
    assert ru[1] == f"{row['ru']:.3f}" and {f"{row['ru_floor']:.3f}", f"{row['ru_gap']:.3f}"} <= set(ru)
    assert f"{row['ru_concentration']:.2f}" in ru


def test_sentences_and_columns_are_those_of_what_was_measured():
    sid, ru = (" ".join(shown(shared_run(metrics=(metric,), **SMALL))) for metric in ("sid", "ru"))
    assert "RU" not in sid and "floor" not in sid and "discards nothing has -0.681" in sid
    assert "SID" not in ru and "discard" not in ru and "above the floor" in ru and "cap" not in ru


@pytest.mark.parametrize("width", [80, 100])
def test_what_is_not_corrected_says_that_it_is_reached(width):
    run = make_run(masks=True, old=True, **SMALL)
    lines, row = shown(run, width), run.summary().iloc[0]
    heads = [line for line in lines if line.startswith("layer ")]
    assert (
        len(heads) == 1 and heads[0].split()[:3] == ["layer", "reached", "reached"] and heads[0].rstrip()[-3:] == "cap"
    )
    cells = next(line.split() for line in lines if line.startswith("conv1"))
    assert cells[1:5] == [f"{row['sid']:.3f}", "±", f"{row['sid_se']:.3f}", f"{row['concentration']:.2f}"]
    assert f"{row['gap']:.3f}" in cells and "Gap: what a longer search" in " ".join(lines)
    assert "Gap: " not in " ".join(shown(shared_run(masks=True, **SMALL), width))


def test_samples_without_a_corrected_value_are_told():
    plan = make_plan(**SMALL)
    run = Run.create(plan)
    for unit in run.pending():
        values = values_of(plan, unit)
        missing = {"conv1": 0, "layer1.0": 4, "fc": 16}[unit.layer]
        values["sid_corrected"][:missing] = np.nan
        run.write(unit, values | {"converged": np.ones(16, bool)})
    lines = shown(run)
    left_out = "lacks corrected values for 25.0% of the samples, which are left out of the mean."
    assert f"resnet20 layer1.0: {left_out}" in " ".join(" ".join(lines).split())
    assert "  resnet20 fc: lacks corrected values altogether." in lines
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(plan.layers["resnet20"])}
    frame = run.to_dataframe()
    known = frame[frame["layer"] == "layer1.0"]["sid_corrected"].dropna()
    assert len(known) == 12 and rows["layer1.0"][1] == f"{known.mean():.3f}"
    assert rows["fc"][1] == "–" and f"{run.summary()['sid'][2]:.3f}" in rows["fc"]
    assert list(run.summary()["uncorrected_share"]) == [0, 0.25, 1]


def test_an_infinite_gap_is_printed_as_one():
    plan = make_plan(**SMALL)
    with older():
        run = Run.create(plan)
    for unit in run.pending():
        values = {name: value for name, value in values_of(plan, unit).items() if "correct" not in name}
        run.write(unit, values | {"gap": np.full(16, np.inf)})
    assert any("∞" in line for line in shown(run) if line.startswith("conv1"))


def test_doubts_say_which_metric_is_meant_where_there_are_two():
    small = SMALL | {"samples": 17}
    lines = shown(shared_run(metrics=("sid", "ru"), **small))
    assert "  SID of resnet20 fc: not converged for 24% of the samples." in lines
    assert "  RU of resnet20 fc: not converged for 18% of the samples." in lines
    assert sum(line.startswith("fc !") for line in lines) == 2
    for metric, share in (("sid", 24), ("ru", 18)):
        lines = shown(shared_run(metrics=(metric,), **small))
        assert f"  resnet20 fc: not converged for {share}% of the samples." in lines
