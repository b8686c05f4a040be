"""Random pictures, and their files."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image


def pixels(seed: int = 0, height: int = 8, width: int = 10, channels: int = 3) -> np.ndarray:
    """Returns a random picture, uint8 `height × width × channels`."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(picture: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(picture.squeeze()).save(stream, "PNG")
    return stream.getvalue()
