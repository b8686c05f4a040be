"""The run that users hold: its shortcuts are the functions that they stand for."""

import pickle

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from infodiscard import InfodiscardError, Run, measure, open_run, plots
from infodiscard.analysis.summary import summarise
from probing import Lambda
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


def test_a_run_in_print_has_its_table_and_what_speaks_against_it():
    run = shared_run(networks=("r20", "r32"), metrics=("sid", "ru"), **SMALL | {"samples": 17})
    lines = str(run).splitlines()
    assert lines[0] == repr(run) and sum(line.startswith(("SID ", "RU ")) for line in lines) == 2
    row = run.summary().iloc[0]
    assert any(line.split()[:3] == ["r20", "conv1", f"{row['sid_corrected']:.3f}"] for line in lines)
    assert "r32 fc !" in str(run) and "! fc: SID: not converged for 24% of the samples; RU: not converged" in str(run)
    assert str(Run.create(run.plan)).endswith("Nothing is measured yet.") and not set(str(run)) & set("─│┃")


def test_trust_is_a_column_of_the_summary():
    trust = shared_run(**SMALL | {"samples": 17}).summary().set_index("layer")["trust"]
    assert trust["conv1"] == "ok" and trust["fc"] == "not converged for 24% of the samples"


def test_tables_as_csv(tmp_path):
    run = shared_run(**SMALL)
    text = run.to_csv(tmp_path / "new" / "means.csv")
    assert (tmp_path / "new" / "means.csv").read_text() == text and text.count("\n") == 3
    assert run.to_csv(samples=True).count("\n") == 9
    (tmp_path / "file").write_text("")
    with pytest.raises(InfodiscardError, match="Could not write the table"):
        run.to_csv(tmp_path / "file" / "x.csv")


def test_runs_are_compared_under_names_that_tell_them_apart(tmp_path):
    run, other = shared_run(**SMALL), make_run(tmp_path / "deep", **SMALL)
    table = run.compare(tmp_path / "deep")
    assert set(table["a"]) == {"resnet20"} and set(table["b"]) == {"deep"} and list(table["layer"]) == ["conv1", "fc"]
    pd.testing.assert_frame_equal(table, run.compare(other))
    assert set(run.compare(run)["b"]) == {"other"} and (run.compare(run)["difference"] == 0).all()


def test_a_citation_says_what_was_measured():
    said = shared_run(metrics=("sid", "ru"), **SMALL).cite()
    assert "strict information discarding (SID) and reconstruction uncertainty (RU)" in said
    assert "of resnet20 at 2 layers on 4 inputs of 3×6×6" in said and "arXiv:1906.04109" in said and "@software" in said


def test_figures_are_pictures_in_notebooks():
    run = make_run(pictures=True, **SMALL)
    for figure in (run.plot_layers(), run.plot_maps()):
        assert figure._repr_png_().startswith(b"\x89PNG") and pickle.loads(pickle.dumps(figure)).axes
    own = Figure()
    assert run.plot_layers(ax=own.subplots()) is own and type(own) is Figure


def test_reprs_fit_a_line():
    from infodiscard import data, zoo

    for each in (zoo.load("demo"), data.load("demo"), shared_run(**SMALL)):
        assert len(repr(each)) < 120 and "\n" not in repr(each)
    assert repr(zoo.load("demo")) == "<Network resnet20: CifarResNet, images of 32×32, demo>"
    assert repr(data.load("demo", 2)) == "<ImageSet of 2 images of 3×32×32, demo, 10 classes, masks>"


def test_notebooks_show_the_sentence_and_the_line_that_led_to_it():
    def forward(x):
        return x @ torch.zeros(7, 7)

    network = Lambda(forward).eval()
    with pytest.raises(InfodiscardError) as caught:
        measure(network, torch.rand(1, 3, 4, 4), progress=False)
    lines = caught.value._render_traceback_()
    assert lines[0].startswith("InfodiscardError: 'Lambda' cannot be measured") and len(lines) == 3
    assert lines[1].endswith("measure(network, torch.rand(1, 3, 4, 4), progress=False)")
    assert lines[2].startswith("  raised at") and lines[2].endswith("return x @ torch.zeros(7, 7)")
