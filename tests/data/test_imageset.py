"""Image sets: their parts fit together, and stay together."""

from __future__ import annotations

import pytest
import torch

from infodiscard.data import ImageSet
from infodiscard.data.imageset import unique
from infodiscard.errors import InfodiscardError


def test_take_keeps_the_parts_together() -> None:
    images = ImageSet(torch.rand(4, 3, 2, 2), torch.arange(4), torch.ones(4, 2, 2, dtype=torch.bool), tuple("abcd"))
    few = images.take(2)
    assert len(few) == 2 and few.names == ("a", "b") and few.labels is not None and few.masks is not None
    assert few.labels.tolist() == [0, 1] and few.masks.shape == (2, 2, 2)
    assert len(images.take(9)) == 4


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"images": torch.rand(3, 2, 2)}, "samples × channels"),
        ({"names": ("a", "a")}, "1 different names"),
        ({"labels": torch.arange(3)}, "one label per image"),
        ({"labels": torch.tensor([0, 2]), "classes": ("x", "y")}, "0 to 2"),
        ({"masks": torch.ones(2, 3, 3)}, r"\(2, 2, 2\)"),
    ],
)
def test_parts_that_do_not_fit(parts: dict, message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        ImageSet(**({"images": torch.rand(2, 3, 2, 2)} | parts))


def test_take_nothing() -> None:
    with pytest.raises(InfodiscardError, match="1 or more"):
        ImageSet(torch.rand(2, 3, 2, 2)).take(0)


def test_repeated_names_are_marked() -> None:
    assert unique(["a", "b", "a", "a", "a#2"]) == ("a", "b", "a#2", "a#3", "a#2#2")


@pytest.mark.parametrize("labels", [[0.1, 0.7], [0.0, float("nan")], [float("inf"), 1.0]])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(InfodiscardError, match="The labels are not whole numbers"):
        ImageSet(torch.rand(2, 3, 4, 4), labels=torch.tensor(labels))
