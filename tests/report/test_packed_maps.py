"""The packed maps: what was measured, in few bytes."""

import numpy as np

from infodiscard.report import content, packed_maps
from pages import SMALL, codes
from synthetic import RESNET, make_run


def test_maps_are_what_was_measured_within_half_a_step():
    run = make_run(metrics=["sid", "ru"], **SMALL)
    read = content.read(run)
    packed = packed_maps.pack(read)
    for metric in ("sid", "ru"):
        assert packed.scales[metric].own
        low, high = packed.scales[metric].of(RESNET[:3])
        data = run.dataset[f"{metric}_map"].values[0]
        for layer, chart in enumerate(data):
            assert (chart < low[layer]).mean() < 0.04 and (chart > high[layer]).mean() < 0.04
        for row, sample in enumerate(run.plan.samples):
            strip, picture = codes(packed.strips["resnet20", metric, sample].source)
            assert picture.mode == "P" and strip.shape == (6, 3 * (6 + packed_maps.GAP))
            tiles = strip.reshape(6, 3, 7).transpose(1, 0, 2)
            assert (tiles[..., -1] == packed_maps.NOTHING).all() and picture.info["transparency"] == packed_maps.NOTHING
            values = low + tiles[..., :-1] / 254 * (high - low)
            error = np.abs(values - data[:, row].clip(low, high))
            assert (error <= 0.51 * (high - low) / 254).all()


def test_maps_are_averaged_where_they_are_large():
    chart = np.arange(24.0).reshape(1, 4, 6)
    np.testing.assert_allclose(packed_maps.shrunk(chart, 2, 3), [[[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]])
    np.testing.assert_allclose(packed_maps.shrunk(chart, 3, 6).mean((1, 2)) * 3, [(2.5 + 8.5 + 17.5)])
    chart[0, 0, 0] = np.nan
    assert packed_maps.shrunk(chart, 2, 3)[0, 0, 0] == (1 + 6 + 7) / 3
    chart[0, :2, :2] = np.nan
    assert np.isnan(packed_maps.shrunk(chart, 2, 3)[0, 0, 0])


def test_two_runs_show_the_samples_of_both():
    first, second = make_run(samples=40, size=4, layers=RESNET[:2]), make_run(samples=20, size=4, layers=RESNET[:2])
    packed = packed_maps.pack(content.read({"a": first, "b": second}))
    assert packed.samples["a"] == packed.samples["b"] and packed.samples["a"][-1] == "test-00019"
