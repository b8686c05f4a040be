"""The run that users hold: its shortcuts are the functions that they stand for."""

import pandas as pd
import pytest

from infodiscard import InfodiscardError, open_run, plots
from infodiscard.analysis.summary import summarise
from synthetic import make_run, shared_run

SMALL = {"layers": ("conv1", "fc"), "samples": 4, "size": 6}


def test_tables_are_those_of_the_analysis():
    run = shared_run(**SMALL)
    pd.testing.assert_frame_equal(run.summary(), summarise(run))
    assert list(run.region(run.dataset["sid_map"].values[0, 0, 0] > -9)["layer"].unique()) == ["conv1", "fc"]
    with pytest.raises(InfodiscardError, match="text"):
        run.words()


def test_pictures_and_pages_are_written_where_asked(tmp_path):
    run = make_run(tmp_path / "run", pictures=True, metrics=("sid", "ru"), **SMALL)
    for name in ("plot_layers", "plot_maps", "plot_reconstructions"):
        getattr(run, name)(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
    assert run.report() == tmp_path / "run" / "report.html" and run.report(tmp_path / "page.html").is_file()
    assert "<table" in run._repr_html_()
    assert plots.layer_curve(run) is not None


def test_a_run_is_opened_for_reading(tmp_path):
    made = make_run(tmp_path / "run", **SMALL)
    assert open_run(tmp_path / "run").plan == made.plan
    with pytest.raises(InfodiscardError, match="nowhere"):
        open_run(tmp_path / "nowhere")
