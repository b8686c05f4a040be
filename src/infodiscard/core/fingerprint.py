"""Fingerprint of a layer: a few numbers by which its features are known again, whichever machine computed them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import starmap

import numpy as np

Fingerprint = tuple[tuple[float, float], ...]
"""Numbers, and how far each may be from what another machine finds."""

ERROR, HALF_ERROR = 0.01, 0.05
"""Relative errors of features that deep networks accumulate in single precision (TensorFloat-32) and in half."""


def fingerprint(features: Sequence[np.ndarray], half: bool = False) -> Fingerprint:
    """Returns the fingerprint of a layer's features, of any shape: their sizes and projections on fixed directions.

    Args:
        features: of the same inputs every time, clean and noisy ones.
        half: whether they were computed in half precision.
    """
    numbers = []
    for feature in features:
        values = np.nan_to_num(feature.astype(np.float64).ravel(), posinf=0.0, neginf=0.0)
        size = math.sqrt(np.square(values).mean()) if values.size else 0.0
        direction = np.random.RandomState(0).standard_normal(values.size)  # whose numbers no version of NumPy changes
        error = (HALF_ERROR if half else ERROR) * size
        # A projection of n values that vary independently, or of their errors, grows like √n.
        projection = float(direction @ values) / math.sqrt(max(values.size, 1))
        numbers += [(float(f"{number:.7g}"), float(f"{error:.3g}")) for number in (size, projection)]
    return tuple(numbers)


def alike(old: Fingerprint, new: Fingerprint) -> bool:
    """Whether two fingerprints are of the same features, but for the errors of two machines."""
    return len(old) == len(new) and all(starmap(_near, zip(old, new, strict=True)))


def _near(old: tuple[float, float], new: tuple[float, float]) -> bool:
    return abs(old[0] - new[0]) <= max(old[1], new[1])
