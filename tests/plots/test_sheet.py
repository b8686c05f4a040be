"""Grids of pictures: places, samples and outlines."""

import numpy as np
import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.plots import map_sheet
from infodiscard.plots.sheet import border
from synthetic import RESNET, shared_run

SMALL = {"layers": RESNET[:3], "samples": 5, "size": 6}


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
    lines = {tuple(map(tuple, np.sort(line, axis=0))) for line in border(mask)}
    assert lines == {
        ((1.5, 0.5), (3.5, 0.5)),
        ((1.5, 2.5), (3.5, 2.5)),
        ((1.5, 0.5), (1.5, 2.5)),
        ((3.5, 0.5), (3.5, 2.5)),
    }
    assert border(np.zeros((4, 5), bool)) == []
