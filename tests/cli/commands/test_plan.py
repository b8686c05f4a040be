"""The command that forecasts a measurement."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from infodiscard.cli import app


def call(*arguments: str | Path):
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_the_command_prints_what_it_is_made_of():
    found = call("demo", "--data", "demo", "--samples", 2, "--layers", "bn1", "--max-passes", 256,
                 "--calibrate", 30, "--workers", "1,16", "--cores", 1, "--efficiency", 0.5)  # fmt: skip
    assert found.exit_code == 0, found.output
    text = " ".join(found.output.split())
    parts = ["1 layers × 2 samples of 3×32×32: 2 problems in 1 units of 4", "bn1", "100.0%", "core-hours", "Memory: "]
    for part in [*parts, "Storage: ", "From 2 of 2 problems (100.0%)", "each worker has 1 core", "reach 50%"]:
        assert part in text, text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((), "--data SPEC for images, or --text FILE"),
        (("--data", "demo", "--workers", "1,x"), "--workers was '1,x'; give whole numbers"),
        (("--data", "demo", "--workers", "0"), "workers was 0; it must be whole numbers above 0"),
        (("--data", "demo", "--layers", "nothing"), "nothing"),
    ],
)
def test_the_command_says_what_is_wrong(given, says):
    found = call("demo", *given)
    assert found.exit_code == 2 and says in found.output and "Traceback" not in found.output
