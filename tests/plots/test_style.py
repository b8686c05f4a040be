"""What pictures share: names, labels, colour scales and the values shown as black and white."""

import numpy as np
import pytest

from infodiscard.core.metrics import METRICS
from infodiscard.errors import InfodiscardError
from infodiscard.plots.style import (
    as_pictures,
    axis_label,
    colour_scale,
    elide,
    ends,
    layer_scales,
    measured,
    short_names,
)
from synthetic import shared_run


def test_names_stay_apart():
    assert short_names(["layer1", "layer2"]) == ["layer1", "layer2"]
    long = [f"features.denseblock{i}.denselayer16.conv2" for i in range(3)]
    assert len(set(short_names(long))) == 3


def test_a_long_name_keeps_both_ends():
    assert elide("layer1") == "layer1"
    assert elide("features.denseblock3.denselayer16.conv2", 21) == "features.d…er16.conv2"


def test_a_name_is_no_formula():
    from matplotlib.figure import Figure

    figure = Figure()
    figure.text(0, 0, elide("a$^{$b$x$"))
    figure.canvas.draw()
    assert short_names(["$a$"]) == [r"\$a\$"]


def test_every_scalar_of_a_metric_has_a_label_with_its_unit():
    for metric in METRICS.values():
        names = {*metric.scalars, *metric.means}
        assert set(metric.labels) == names and all("nats/pixel" in axis_label(name) for name in names)
    assert axis_label("capped_share") == "capped share" and axis_label("no_variable") == "no variable"


def test_the_scale_spans_percentiles_and_says_where_it_clips():
    maps = np.append(np.linspace(0, 1, 101), np.nan)
    norm, extend = colour_scale(maps)
    assert (norm.vmin, norm.vmax, extend) == (pytest.approx(0.01), pytest.approx(0.99), "both")
    assert colour_scale(maps, (0, 2))[1] == "neither" and colour_scale(maps, (0.5, 1))[1] == "min"
    assert colour_scale(maps, (0, 0.5))[1] == "max"
    flat, _ = colour_scale(np.full(4, 2.0))
    assert (flat.vmin, flat.vmax) == pytest.approx((1.95, 2.05))
    empty, extend = colour_scale(np.full(3, np.nan))
    assert (empty.vmin, empty.vmax, extend) == (0, 1, "neither")


def test_pictures_lie_between_the_ends_of_the_images():
    assert ends(np.array([0.2, 1.0])) == (0, 1) and ends(np.array([-1.0, 0.5])) == (-1, 0.5)
    colour = as_pictures(np.full((2, 3, 4, 5), 3.0), (-1, 3))
    assert colour.shape == (2, 4, 5, 3) and (colour == 1).all()
    grey = as_pictures(np.stack([np.zeros((4, 5)), np.full((4, 5), np.nan)]), (0, 1))
    assert grey.shape == (4, 5) and (grey == 0.5).all()  # nothing measured is white


def test_a_variable_that_is_not_measured_is_refused():
    run = shared_run(layers=("a",), samples=2, size=4)
    with pytest.raises(InfodiscardError, match="This run has no 'sdi'; the nearest are"):
        measured(run, "sdi")
    with pytest.raises(InfodiscardError, match="measured yet"):
        measured(shared_run(units=0, layers=("a",), samples=2, size=4), "sid")


def test_layers_have_scales_of_their_own_where_one_would_flatten_a_map():
    wide, flat = np.linspace(0, 1, 101), np.linspace(0, 0.2, 101)
    assert layer_scales({"a": wide, "b": wide + 0.9}) == {} and layer_scales({"a": flat}) == {}
    found = layer_scales({"a": wide, "b": flat - 1, "c": np.full(9, 5.0), "d": np.full(4, np.nan)})
    assert list(found) == ["a", "b", "c"]
    np.testing.assert_allclose([found["a"], found["b"], found["c"]], [(0.01, 0.99), (-0.998, -0.802), (4.95, 5.05)])
