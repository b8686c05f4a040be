"""What the terminal shows of a run: a table per network and metric, and doubts in words."""

import re

import pytest
from rich.console import Console

from infodiscard.tables import show_run
from synthetic import RESNET, shared_run

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
    assert "…" not in text
    marks = [word for line in lines for word in re.findall(r"^r20|^r32|SID ± se|RU ± se", line)]
    assert marks == ["r20", "SID ± se", "RU ± se", "r32", "SID ± se", "RU ± se"]
    row = run.summary().iloc[0]
    sid, ru = [line.split() for line in lines if line.startswith("conv1")][:2]
    assert sid[1] == f"{row['sid']:.3f}" and f"{row['gap']:.3f}" in sid
    assert ru[1] == f"{row['ru']:.3f}" and {f"{row['ru_floor']:.3f}", f"{row['ru_gap']:.3f}"} <= set(ru)
    assert f"{row['ru_concentration']:.2f}" in ru


def test_sentences_and_columns_are_those_of_what_was_measured():
    sid, ru = (" ".join(shown(shared_run(metrics=(metric,), **SMALL))) for metric in ("sid", "ru"))
    assert "RU" not in sid and "floor" not in sid and "discards nothing has -0.681" in sid
    assert "SID" not in ru and "discard" not in ru and "above the floor" in ru and "cap" not in ru


def test_doubts_say_which_metric_is_meant_where_there_are_two():
    small = SMALL | {"samples": 17}
    lines = shown(shared_run(metrics=("sid", "ru"), **small))
    assert "  SID of resnet20 fc: not converged for 24% of the samples." in lines
    assert "  RU of resnet20 fc: not converged for 18% of the samples." in lines
    assert sum(line.startswith("fc !") for line in lines) == 2
    for metric, share in (("sid", 24), ("ru", 18)):
        lines = shown(shared_run(metrics=(metric,), **small))
        assert f"  resnet20 fc: not converged for {share}% of the samples." in lines
