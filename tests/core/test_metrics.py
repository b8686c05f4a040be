"""The registry of metrics: every one is complete, and one more is found wherever values are shown."""

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from infodiscard.api.compare import compare
from infodiscard.api.measure import measure
from infodiscard.api.run import Run
from infodiscard.cli.tables import show_run
from infodiscard.core.kinds import IMAGE, TOKENS
from infodiscard.core.metrics import (
    METRICS,
    all_variables,
    corrected,
    metric_of,
    reached,
    variables_for,
)
from infodiscard.core.metrics.metric import DIAGNOSTICS
from infodiscard.core.metrics.variable import CELL, GENERAL
from infodiscard.measurement.unit import SOLVERS, LayerSamples, MetricSolver
from infodiscard.plots import layer_curve, map_sheet
from synthetic import make_plan, values_of
from toy_metric import TOY, toy_values


@pytest.fixture
def toy(monkeypatch):
    """The metric of the tests' own is registered, after the others."""
    monkeypatch.setitem(METRICS, TOY.name, TOY)


@pytest.fixture
def run(toy):
    """A run of SID and of the toy."""
    plan = make_plan(layers=("a", "b"), samples=6, size=4, metrics=["sid", "toy"])
    run = Run.create(plan)
    for seed, unit in enumerate(run.pending()):
        run.write(unit, values_of(plan, unit) | toy_values(unit.stop - unit.start, (4, 4), seed))
    return run


@pytest.mark.parametrize("name", [*METRICS, "toy"])
def test_a_metric_is_complete(toy, name):
    metric = METRICS[name]
    assert metric.name == name and {name, metric.map, metric.own("sigma")} <= set(metric.variables)
    assert {"converged", "feature_distance", "passes", "gap"} <= set(metric.diagnostics) <= set(DIAGNOSTICS)
    assert 0 < metric.least_passes <= metric.passes
    means = {*metric.variables, "n"}
    assert set(metric.columns) <= means and set(metric.reached_columns) <= set(metric.corrected)
    for before, after in metric.corrected.items():
        assert {before, after, f"{after}_se"} <= set(metric.variables) and before in metric.reached_columns
        assert corrected(before) == after and reached(after) == before
    assert all(metric_of(variable) is metric for variable in metric.variables)
    assert metric.needs_decoders == ("reconstruction" in metric.variables)


def test_the_names_and_defaults_of_sid_and_ru():
    sid, ru = METRICS["sid"], METRICS["ru"]
    assert [(each.passes, each.least_passes, each.passes_key) for each in (sid, ru)] == [
        (5000, 96, "max_passes"),
        (1600, 256, "ru_max_passes"),
    ]
    assert (sid.floor, sid.concentration, sid.map) == (None, "concentration", "sid_map")
    assert (ru.floor, ru.concentration, ru.map) == ("ru_floor", "ru_concentration", "ru_map")
    assert sid.means == ("sid", "sid_corrected", "concentration", "concentration_corrected")
    assert ru.scalars == ("ru", "ru_floor", "ru_concentration")
    assert sid.at_identity(1.5, 0.01) == pytest.approx(-0.6809, abs=1e-4)
    assert sid.at_identity(None, 0.01) is None and ru.at_identity(1.5, 0.01) is None
    assert ru.diagnostics["gap"] == "ru_gap"
    assert metric_of("done") is None and corrected("ru") is None and reached("sid") is None


def test_a_run_holds_the_variables_of_its_metrics(toy):
    names = list(all_variables())
    assert names[-len(GENERAL) :] == list(GENERAL)
    scalars = [name for name in names if all_variables()[name].dims == CELL and name not in GENERAL]
    assert names[: len(scalars)] == scalars
    chosen = variables_for(["toy"], masks=False, per_unit=True)
    assert set(chosen) == {*TOY.variables, *GENERAL} - {"toy_concentration"}
    assert "channel" in chosen["toy_sigma"].dims and "channel" not in chosen["toy_map"].dims
    tokens = variables_for(["sid"], True, False, TOKENS)
    assert tokens["sid_map"].dims[-1] == "token" and tokens["sid"].units == "nats/token"
    assert variables_for(["sid"], True, False, IMAGE)["sid_map"].dims[-2:] == ("y", "x")


def test_a_new_metric_is_in_the_data_frame_and_the_summary(run):
    assert run.metrics == ("sid", "toy")
    frame, table = run.to_dataframe(), run.summary().set_index("layer")
    assert set(TOY.diagnostics.values()) | {"toy"} <= set(frame)
    for layer, rows in frame.groupby("layer"):
        assert table.loc[layer, "toy"] == pytest.approx(rows["toy"].mean(), rel=1e-5)
        assert table.loc[layer, "toy_se"] == pytest.approx(rows["toy"].sem(), rel=1e-4)
    assert table["toy_converged"].tolist() == pytest.approx([5 / 6, 5 / 6]) and (table["toy_gap"] == 0.25).all()


def test_a_new_metric_is_in_the_printed_tables(run):
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        show_run(console, run)
    text = " ".join(capture.get().split())
    value = run.summary()["toy"][0]
    assert "Toy ± se" in text and f"{value:.3f} ± " in text and "Toy: higher = more of a toy." in text
    assert "Toy of resnet20 a: not converged for 17% of the samples." in text


def test_a_new_metric_has_a_curve_a_sheet_of_maps_and_paired_differences(run):
    sid, toy = layer_curve(run).axes
    means = run.summary()["toy"]
    np.testing.assert_allclose(toy.containers[0].lines[0].get_ydata().astype(float), means, rtol=1e-5)
    assert toy.get_ylabel() == TOY.labels["toy"] and sid.get_ylabel().startswith("SID")
    assert len(toy.collections[1].get_offsets()) == 2  # a hollow dot in each layer
    sheet, bar = map_sheet(run, metric="toy").axes
    np.testing.assert_array_equal(sheet.images[0].get_array(), run.dataset["toy_map"].values[0, 0, 0])
    assert bar.get_ylabel().startswith("Toy (nats/pixel)")
    rows = compare({"x": run, "y": run}, metric="toy")
    assert (rows["difference"] == 0).all() and (rows["gap"] == 0.25).all() and set(rows["basis"]) == {""}


def test_a_new_metric_is_on_the_page(run, tmp_path):
    page = run.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Toy: means over the samples, nats/pixel" in page and "Solver of Toy" in page


def test_a_new_metric_is_measured_by_the_solver_beside_it(toy, monkeypatch):
    def solve(at: LayerSamples) -> dict[str, torch.Tensor]:
        values = toy_values(len(at.part.names), at.part.shape[1:])
        return {name: torch.as_tensor(value) for name, value in values.items()}

    monkeypatch.setitem(SOLVERS, "toy", MetricSolver(solve, lambda at: pytest.fail("nothing is timed")))
    model = nn.Sequential(nn.Conv2d(3, 2, 3)).eval()
    run = measure(model, torch.rand(3, 3, 8, 8), layers=["0"], metrics=["toy"], block=3, progress=False)
    assert run.metrics == ("toy",) and run.to_dataframe()["toy"].tolist() == pytest.approx(
        toy_values(3, (8, 8))["toy"].tolist()
    )
    assert run.plan.settings.max_passes == {"toy": TOY.passes}
