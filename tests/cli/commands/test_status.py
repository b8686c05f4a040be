"""The commands about a run that is under way, or has been."""

import json
import os

from typer.testing import CliRunner

from infodiscard.cli import app
from infodiscard.measurement.progress import STATUS, read_status
from infodiscard.results.places import write_whole
from synthetic import make_run
from watched_run import SMALL, watched


def test_status_says_who_works_how_fast_and_how_long(tmp_path):
    watched(tmp_path / "run", 3)
    told = read_status(tmp_path / "run") | {"state": "running", "seconds_left": 7200.0, "passes_per_second": 1234.0}
    say = CliRunner().invoke

    def status(**change):
        write_whole(tmp_path / "run" / STATUS, json.dumps(told | change).encode())
        result = say(app, ["status", str(tmp_path / "run")])
        assert result.exit_code == 0
        return result.output

    assert "6 of 16 samples × layers (38%)" in status() and "1,234 passes/s; left: 120 min" not in status()
    assert f"running on {told['host']}, process {os.getpid()}, last heard of" in status()
    assert "1,234 passes/s; left: 2 h 0 min" in status()
    assert "cut off: it ran on" in status(pid=2**22 + 1) and "The command that made it continues it" in status(
        pid=2**22 + 1
    )
    assert "last heard of 0 s ago" in status(updated="2999-01-01T00:00:00+00:00")  # somebody's clock is wrong
    assert "running on elsewhere, process" in status(host="elsewhere", pid=2**22 + 1)
    assert "interrupted on" in status(state="interrupted")
    (tmp_path / "run" / STATUS).write_text("{")
    assert "of which nothing is known but what is stored" in say(app, ["status", str(tmp_path / "run")]).output
    make_run(tmp_path / "whole", **SMALL)
    assert "16 of 16 samples × layers (100%), finished" in say(app, ["status", str(tmp_path / "whole")]).output
    assert say(app, ["status", str(tmp_path / "none")]).exit_code == 2
