"""Sheets of maps: every map is what the run holds, on a scale that is said, with units."""

import numpy as np
import pytest

from infodiscard.api.run import Run
from infodiscard.errors import InfodiscardError
from infodiscard.plots import map_sheet
from synthetic import RESNET, shared_run

SMALL = {"layers": RESNET[:3], "samples": 5, "size": 6}
BOTH = ("sid", "ru")


def test_the_sheet_shows_every_map_pixel_for_pixel():
    run = shared_run(pictures=True, **SMALL)
    ax, bar = map_sheet(run).axes
    assert len(ax.images) == 5 * (1 + 3)
    maps = [image for image in ax.images if image.get_array().ndim == 2]
    expected = run.dataset["sid_map"].transpose("sample", "layer", "network", "y", "x").values.reshape(-1, 6, 6)
    np.testing.assert_array_equal([image.get_array() for image in maps], expected)
    norms = [(image.norm.vmin, image.norm.vmax) for image in maps]
    assert len(set(norms)) == 3 and norms == norms[:3] * 5  # these layers differ by more than a map
    assert {image.get_interpolation() for image in maps} == {"nearest"}
    assert "nats/pixel" in bar.get_ylabel()
    np.testing.assert_allclose(norms[1][0], np.percentile(expected[1::3], 1), rtol=1e-5)
    assert "clipped" in bar.get_ylabel()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["input", *RESNET[:3]]
    classes = [run.plan.classes[label] for label in run.plan.labels]
    assert [label.get_text() for label in ax.get_yticklabels()] == classes


def test_layers_that_differ_have_scales_of_their_own_and_the_sheet_says_so():
    run = Run.create(shared_run(**SMALL).plan)
    charts = {layer: np.linspace(0, 1, 36).reshape(6, 6) + 5 * place for place, layer in enumerate(RESNET[:3])}
    for unit in run.pending():
        run.write(unit, {"sid": np.full(5, 0.5), "sid_map": np.tile(charts[unit.layer], (5, 1, 1))})
    ax, bar = map_sheet(run).axes
    first, *others = [image.norm(image.get_array()) for image in ax.images[:3]]
    assert all(np.allclose(first, other, atol=1e-5) for other in others) and "scale for each layer" in bar.get_ylabel()
    low, high = np.percentile(np.tile(charts["layer1.0"].astype(np.float32), 5), [1, 99])
    assert f"{low:.2f}\nto {high:.2f}" in [text.get_text() for text in ax.texts]
    common = map_sheet(run, limits=(0, 11)).axes
    np.testing.assert_allclose(common[0].images[1].get_array(), charts["layer1.0"])
    assert "each layer" not in common[1].get_ylabel() and not common[0].texts


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


def test_a_flat_sheet_and_an_unwritable_file():
    run = Run.create(shared_run(**SMALL).plan)
    for unit in run.pending():
        run.write(unit, {"sid": np.full(5, -0.68), "sid_map": np.full((5, 6, 6), -0.68)})
    norm = map_sheet(run).axes[0].images[0].norm
    assert norm.vmax - norm.vmin > 0.05
    with pytest.raises(InfodiscardError, match="write the picture"):
        run.plot_maps("/nowhere/at/all.png")
