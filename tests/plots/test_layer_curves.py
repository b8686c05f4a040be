"""The pictures: what they show is what the run holds, on one scale, with units."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from infodiscard.api.run import Run
from infodiscard.core.settings import Settings
from infodiscard.errors import InfodiscardError
from infodiscard.plots import identity_level, layer_curve, map_sheet, reconstruction_sheet
from infodiscard.plots.map_sheets import _border
from infodiscard.plots.style import short_names
from synthetic import RESNET, make_plan, make_run, shared_run

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
    np.testing.assert_allclose(lengths, 2 * 1.96 * table["sid_corrected_se"], rtol=1e-4)
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


def test_the_sheet_shows_every_map_pixel_for_pixel_on_one_scale():
    run = shared_run(pictures=True, **SMALL)
    ax, bar = map_sheet(run).axes
    assert len(ax.images) == 5 * (1 + 3)
    maps = [image for image in ax.images if image.get_array().ndim == 2]
    expected = run.dataset["sid_map"].transpose("sample", "layer", "network", "y", "x").values.reshape(-1, 6, 6)
    np.testing.assert_array_equal([image.get_array() for image in maps], expected)
    assert len({(image.norm.vmin, image.norm.vmax) for image in maps}) == 1
    assert {image.get_interpolation() for image in maps} == {"nearest"}
    assert "nats/pixel" in bar.get_ylabel()
    np.testing.assert_allclose(maps[0].norm.vmin, np.percentile(expected, 1))
    assert "clipped" in bar.get_ylabel()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["input", *RESNET[:3]]
    classes = [run.plan.classes[label] for label in run.plan.labels]
    assert [label.get_text() for label in ax.get_yticklabels()] == classes


def test_the_sheet_of_ru_shows_its_own_maps():
    run = shared_run(metrics=BOTH, pictures=True, **SMALL)
    ax, bar = map_sheet(run, metric="ru").axes
    maps = [image.get_array() for image in ax.images if image.get_array().ndim == 2]
    expected = run.dataset["ru_map"].transpose("sample", "layer", "network", "y", "x").values.reshape(-1, 6, 6)
    np.testing.assert_array_equal(maps, expected)
    assert bar.get_ylabel().startswith("RU (nats/pixel), ↑ less can be recovered")
    assert map_sheet(run).axes[1].get_ylabel().startswith("SID reached (nats/pixel), ↑ more discarded")
    only = shared_run(metrics=("ru",), **SMALL)
    assert map_sheet(only).axes[1].get_ylabel().startswith("RU")
    assert only.plot_maps(metric="ru_floor").axes[1].get_ylabel().startswith("floor of RU")
    with pytest.raises(InfodiscardError, match="'sid'"):
        map_sheet(only, metric="sid")


def test_reconstructions_stand_beside_their_inputs():
    run = shared_run(metrics=BOTH, pictures=True, **SMALL)
    (ax,) = run.plot_reconstructions().axes
    drawn = np.array([image.get_array() for image in ax.images]).reshape(5, 4, 6, 6, 3)
    data = run.dataset.isel(network=0)
    np.testing.assert_array_equal(drawn[:, 0], data["image"].values.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(drawn[:, 1:], data["reconstruction"].values.transpose(1, 0, 3, 4, 2))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["input", *RESNET[:3]]
    assert len(reconstruction_sheet(run, samples=[1, 3]).axes[0].images) == 2 * 4
    assert "resnet20" in texts(ax.figure)
    with pytest.raises(InfodiscardError, match="'ru'"):
        reconstruction_sheet(shared_run(**SMALL))


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_are_stretched_as_the_inputs_are_and_clipped(channels):
    plan = make_plan(metrics=["ru"], **SMALL | {"samples": 1, "layers": ("a", "b")})
    plan = replace(plan, channels=channels)
    ramp = np.linspace(-1, 3, channels * 36, dtype=np.float32).reshape(1, channels, 6, 6)
    run = Run.create(plan, images=ramp)
    run.write(run.pending()[0], {"ru": np.zeros(1), "reconstruction": 2 * ramp})
    run.write(run.pending()[0], {"ru": np.zeros(1)})  # no decoder's picture
    first, restored, missing = (image for image in reconstruction_sheet(run).axes[0].images)
    show = lambda images: np.moveaxis(images[0], 0, -1) if channels == 3 else images[0, 0]  # noqa: E731
    np.testing.assert_allclose(first.get_array(), show((ramp + 1) / 4), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(restored.get_array(), show(((2 * ramp + 1) / 4).clip(0, 1)), rtol=1e-5, atol=1e-6)
    assert (missing.get_array() == 1).all()
    if channels == 1:  # one scale of grey for all
        assert {(image.norm.vmin, image.norm.vmax) for image in (first, restored)} == {(0, 1)}


def test_pictures_do_not_overlap():
    ax = map_sheet(shared_run(pictures=True, **SMALL)).axes[0]
    extents = [tuple(image.get_extent()) for image in ax.images]
    assert len(set(extents)) == len(extents)
    for left, right, bottom, top in extents:
        assert right - left == pytest.approx(6) and bottom - top == pytest.approx(6)
        assert not any(left < x < right and top < y < bottom for x, _, _, y in extents)


def test_the_samples_are_chosen_by_name_or_place():
    run = shared_run(**SMALL | {"samples": 14})
    count = lambda **kwargs: len(map_sheet(run, **kwargs).axes[0].images) // 3  # noqa: E731
    assert count() == 12
    assert count(samples=[0, "test-00013"]) == 2
    for wrong in (["test-99"], [14]):
        with pytest.raises(InfodiscardError, match="No sample"):
            map_sheet(run, samples=wrong)
    with pytest.raises(InfodiscardError, match="resnet20"):
        map_sheet(run, network="resnet2")


def test_the_outline_follows_the_pixels():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:4] = True
    lines = {tuple(map(tuple, np.sort(line, axis=0))) for line in _border(mask)}
    assert lines == {
        ((1.5, 0.5), (3.5, 0.5)),
        ((1.5, 2.5), (3.5, 2.5)),
        ((1.5, 0.5), (1.5, 2.5)),
        ((3.5, 0.5), (3.5, 2.5)),
    }
    assert _border(np.zeros((4, 5), bool)) == []


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


def test_names_stay_apart():
    assert short_names(["layer1", "layer2"]) == ["layer1", "layer2"]
    long = [f"features.denseblock{i}.denselayer16.conv2" for i in range(3)]
    assert len(set(short_names(long))) == 3


def test_a_flat_sheet_and_an_unwritable_file():
    run = Run.create(shared_run(**SMALL).plan)
    for unit in run.pending():
        run.write(unit, {"sid": np.full(5, -0.68), "sid_map": np.full((5, 6, 6), -0.68)})
    norm = map_sheet(run).axes[0].images[0].norm
    assert norm.vmax - norm.vmin > 0.05
    with pytest.raises(InfodiscardError, match="write the picture"):
        run.plot_maps("/nowhere/at/all.png")


def test_no_global_state_of_matplotlib_is_touched(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # another test's library may have brought it
    shared_run(**SMALL).plot_layers()
    assert "matplotlib.pyplot" not in sys.modules
