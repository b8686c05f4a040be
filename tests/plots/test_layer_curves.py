"""Curves by layer: means, intervals and dots are those of the run; sizes fit."""

import sys

import numpy as np
import pytest

from infodiscard.core.settings import Settings
from infodiscard.errors import InfodiscardError
from infodiscard.plots import identity_level, layer_curve
from synthetic import RESNET, make_run, shared_run

SMALL = {"layers": RESNET[:3], "samples": 5, "size": 6}
BOTH = ("sid", "ru")


def texts(figure):
    from matplotlib.text import Text

    return " ".join(text.get_text() for text in figure.findobj(Text))


def test_the_curve_shows_means_and_intervals():
    run = shared_run(**SMALL)
    (ax,) = layer_curve(run).axes
    table = run.summary()
    curve = ax.containers[0]
    np.testing.assert_allclose(curve.lines[0].get_ydata().astype(float), table["sid_corrected"], rtol=1e-5)
    (bars,) = curve.lines[2]
    lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    assert (table["n"] == 5).all()
    np.testing.assert_allclose(lengths, 2 * 2.776445 * table["sid_corrected_se"], rtol=1e-4)  # Student's t, 4 degrees
    assert [label.get_text() for label in ax.get_xticklabels()] == list(RESNET[:3])
    assert ax.get_ylabel().startswith("SID (nats/pixel)")


@pytest.mark.parametrize(("options", "metric"), [({"old": True}, None), ({}, "sid_reached")])
def test_a_curve_of_what_was_reached_says_so(options, metric):
    run = make_run(masks=True, **options, **SMALL)
    first, *others = layer_curve(run, metric).axes
    reached = run.summary()["sid"]
    np.testing.assert_allclose(first.containers[0].lines[0].get_ydata().astype(float), reached, rtol=1e-5)
    assert first.get_ylabel().startswith("SID reached (nats/pixel)") and "identity layer" in texts(first.figure)
    assert [ax.get_ylabel().startswith("concentration reached") for ax in others] == [True]


def test_every_sample_is_a_dot_and_unconverged_ones_are_hollow():
    run = shared_run(**SMALL)
    solid, hollow, _ = layer_curve(run).axes[0].collections[:3]
    settled = run.to_dataframe()["converged"]
    assert 0 < (~settled).sum() == len(hollow.get_offsets())
    assert len(solid.get_offsets()) == settled.sum()


def test_identity_level():
    assert identity_level(Settings(alpha=1.5, tau=0.01)) == pytest.approx(-0.6809, abs=1e-4)
    run = shared_run(**SMALL)
    assert "identity layer" in texts(layer_curve(run))
    assert "identity layer" not in texts(layer_curve(run, metric="passes"))


def test_a_line_per_network_and_a_panel_for_concentration():
    run = shared_run(networks=("r20", "r32"), masks=True, **SMALL)
    figure = layer_curve(run)
    assert [len(ax.containers) for ax in figure.axes] == [2, 2]
    assert "concentration" in figure.axes[1].get_ylabel()
    assert {"r20", "r32"} <= {text.get_text() for text in figure.axes[0].get_legend().get_texts()}


def test_a_panel_for_each_metric_sid_first():
    figure = layer_curve(shared_run(metrics=BOTH, **SMALL))
    assert [ax.get_ylabel().split()[0] for ax in figure.axes] == ["SID", "RU"]
    figure = layer_curve(shared_run(metrics=BOTH, masks=True, **SMALL))
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert [label.startswith("concentration") for label in labels] == [False, False, True, True]
    assert "RU" not in labels[2] and "RU" in labels[3]
    assert len(layer_curve(shared_run(metrics=BOTH, **SMALL), metric="ru").axes) == 1
    (ax,) = layer_curve(shared_run(metrics=("ru",), **SMALL)).axes
    assert ax.get_ylabel().startswith("RU") and "identity" not in texts(ax.figure)


def test_ru_stands_on_its_floor_and_is_hollow_where_it_did_not_converge():
    run = shared_run(metrics=BOTH, networks=("r20", "r32"), **SMALL)
    table, frame = run.summary(), run.to_dataframe()
    sid, ru = layer_curve(run).axes
    floors = [line for line in ru.lines if line.get_linestyle() == ":"]
    assert len(floors) == 2 and not [line for line in sid.lines if line.get_linestyle() == ":"]
    for line, network in zip(floors, ("r20", "r32"), strict=True):
        np.testing.assert_allclose(line.get_ydata(), table[table["network"] == network]["ru_floor"], rtol=1e-5)
    assert texts(ru.figure).count("floor") == 1
    own = frame[frame["network"] == "r20"]
    assert set(own["sample"][~own["converged"]]) != set(own["sample"][~own["ru_converged"]])
    for ax, metric, converged in ((sid, "sid_corrected", "converged"), (ru, "ru", "ru_converged")):
        hollow = ax.collections[1]
        expected = own[metric][~own[converged]]
        assert len(expected) > 0
        np.testing.assert_allclose(np.sort(hollow.get_offsets()[:, 1]), np.sort(expected), rtol=1e-5)


def test_layers_without_values_are_left_out():
    run = shared_run(units=2, **SMALL)
    assert [label.get_text() for label in layer_curve(run).axes[0].get_xticklabels()] == list(RESNET[:2])
    with pytest.raises(InfodiscardError, match="measured yet"):
        layer_curve(shared_run(units=0, **SMALL))
    with pytest.raises(InfodiscardError, match="'sid'"):
        layer_curve(run, metric="sidd")


@pytest.mark.parametrize(
    "shape",
    [
        {"layers": ("layer1",), "samples": 1, "size": 4},
        {"layers": tuple(f"features.denseblock{i}.denselayer{i}.conv2" for i in range(30)), "samples": 2, "size": 4},
        {"layers": ("a", "encoder.layers.encoder_layer_0.mlp.0"), "samples": 3, "size": 8, "networks": ("x", "y")},
    ],
)
def test_awkward_sizes_are_drawn_inside_the_picture(tmp_path, shape):
    run = shared_run(pictures=True, masks=True, metrics=BOTH, **shape)
    figures = run.plot_layers(tmp_path / "layers.png"), run.plot_maps(tmp_path / "maps.png"), run.plot_reconstructions()
    for figure in figures:
        figure.canvas.draw()
        box, canvas = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 >= -0.02 and box.y0 >= -0.02
        assert box.x1 <= canvas[0] + 0.02 and box.y1 <= canvas[1] + 0.02
    assert (tmp_path / "layers.png").read_bytes()[:4] == (tmp_path / "maps.png").read_bytes()[:4] == b"\x89PNG"


def test_no_global_state_of_matplotlib_is_touched(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # another test's library may have brought it
    shared_run(**SMALL).plot_layers()
    assert "matplotlib.pyplot" not in sys.modules
