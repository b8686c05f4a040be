"""Masks and boxes of the object: the one meaning that they have, wherever they come from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..errors import InfodiscardError

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels, from the top left corner."""

BEYOND = 0.5
"""Pixels that a box may reach beyond its image, as rounded ones do."""


def box_mask(box: Box, height: int, width: int) -> torch.Tensor:
    """Returns a bool mask, `height × width`, of the pixels whose centres are in the box."""
    x, y, w, h = box
    rows = torch.arange(height) + 0.5
    columns = torch.arange(width) + 0.5
    return ((rows >= y) & (rows < y + h))[:, None] & ((columns >= x) & (columns < x + w))[None, :]


def box_masks(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Returns bool masks, `n × height × width`, of boxes (`n × 4`) that users give; see `box_mask`.

    Raises:
        InfodiscardError: one is not x, y, width, height in pixels of its image, or holds no pixel.
    """
    masks = [checked_mask(box, height, width, f"Box {place}") for place, box in enumerate(boxes.double().tolist())]
    return torch.stack(masks) if masks else torch.zeros(0, height, width, dtype=torch.bool)


def checked_mask(box: Sequence[float], height: int, width: int, what: str) -> torch.Tensor:
    """Returns the mask of one box that a user gives, `height × width`; `what` it is, for the message.

    Raises:
        InfodiscardError: as for `box_masks`.
    """
    x, y, w, h = box
    mask = box_mask((x, y, w, h), height, width)
    inside = min(x, y) >= -BEYOND and x + w <= width + BEYOND and y + h <= height + BEYOND
    fractions = inside and x + w <= 1 and y + h <= 1 and height * width > 1
    if inside and not fractions and mask.any():
        return mask
    if not all(map(math.isfinite, box)):
        fault = "is not finite"
    elif fractions:
        fault = "is in fractions of it; multiply by its width and height"
    elif inside:
        fault = "holds none of its pixels"
    elif 0 <= x < w <= width + BEYOND and 0 <= y < h <= height + BEYOND:
        fault = "leaves it; if it is x1, y1, x2, y2, give x1, y1, x2 − x1, y2 − y1"
    else:
        fault = "leaves it"
    raise InfodiscardError(
        f"{what} is ({x:g}, {y:g}, {w:g}, {h:g}); a box is x, y, width, height in pixels of an image of "
        f"{height}×{width}, and this one {fault}."
    )


def check_object(masks: torch.Tensor) -> None:
    """Raises InfodiscardError if no mask (`n × …`, bool) has a pixel on the object; a single one may have none."""
    if not masks.any():
        raise InfodiscardError("The masks are false everywhere; give true on the object, or no masks.")


def truth(values: torch.Tensor, what: str) -> torch.Tensor:
    """Converts values that are all true or false, or 0 or 1, to bool.

    Args:
        values: of any shape and type.
        what: they are, for the error.

    Raises:
        InfodiscardError: some are neither.
    """
    other = (values != 0) & (values != 1)
    if other.any():
        raise InfodiscardError(
            f"{what} hold {values[other][0].item():g}, but may hold true and false only (or 1 and 0); say which values "
            "are meant, such as masks > 0.5 of probabilities, or masks == 1 of classes."
        )
    return values.bool()
