"""What is annotated in one picture, whatever file it was read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from ....errors import InfodiscardError
from ...masks import Box, checked_mask

Annotation = Callable[[str, int, int], torch.Tensor]
"""From a picture's name, height and width to the mask of its objects, bool `height × width`."""


class Annotations(NamedTuple):
    """The annotations of a set.

    Attributes:
        file: file or folder that they are in, for messages.
        by_name: picture as that file writes it → its annotation.
    """

    file: str
    by_name: Mapping[str, Annotation]


@dataclass(frozen=True)
class Objects:
    """The objects of one picture.

    Attributes:
        file: that they were read from, for messages.
        boxes: in the picture's pixels.
        regions: functions from height and width to a bool array `height × width`.
        size: (height, width) of the picture that was annotated, if the file says it.
    """

    file: str
    boxes: tuple[Box, ...] = ()
    regions: tuple[Callable[[int, int], np.ndarray], ...] = ()
    size: tuple[int, int] | None = None

    def mask(self, name: str, height: int, width: int) -> torch.Tensor:
        """Returns where the picture shows any of the objects, bool `height × width`.

        Raises:
            InfodiscardError: another picture was annotated, by its size, or a box is not in pixels of this one.
        """
        if self.size not in (None, (height, width)):
            raise InfodiscardError(
                f"'{name}' has {height}×{width} pixels, but '{self.file}' describes a picture of "
                f"{self.size[0]}×{self.size[1]}; give the pictures that were annotated, neither resized nor turned."
            )
        united = torch.zeros(height, width, dtype=torch.bool)
        for box in self.boxes:
            united |= checked_mask(box, height, width, f"A box of '{name}' in '{self.file}'")
        for region in self.regions:
            united |= torch.from_numpy(region(height, width))
        return united


def numbers(values: Any, count: int, what: str) -> tuple[float, ...]:
    """Returns numbers, or texts of numbers, as floats.

    Args:
        values: as read from a file.
        count: how many there must be.
        what: they are, for the message, such as "a box of 'a.png' in 'boxes.csv'".

    Raises:
        InfodiscardError: they are none, or not that many.
    """
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        found = ()
    if len(found) != count:
        raise InfodiscardError(f"{what} is {values!r:.80}; give {count} numbers, in pixels.")
    return found
