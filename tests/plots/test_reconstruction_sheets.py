"""Sheets of reconstructions: what decoders restore, shown as the inputs are."""

from dataclasses import replace

import numpy as np
import pytest

from infodiscard.api.run import Run
from infodiscard.errors import InfodiscardError
from infodiscard.plots import reconstruction_sheet
from synthetic import RESNET, make_plan, shared_run

SMALL = {"layers": RESNET[:3], "samples": 5, "size": 6}
BOTH = ("sid", "ru")


def texts(figure):
    from matplotlib.text import Text

    return " ".join(text.get_text() for text in figure.findobj(Text))


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
