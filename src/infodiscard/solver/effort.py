"""Stopping criteria of the solver, and how it divides its budget of passes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .correction import GROUPS

MIN_PASSES = 96
"""Fewer do not suffice for two steps, for the feature distance before and after them, and for the correction."""

FRESH_DRAWS = 16
"""Fewest fresh draws of the correction."""

SLOPE_DRAWS = 16
"""Draws from which the slope of E along the scale of σ is measured."""


@dataclass(frozen=True)
class Effort:
    """How far to go.

    Attributes:
        tolerance: stop when the corrected value is known to this standard error, in nats per input unit; for RU, when
            the estimated gap to the optimum is below it.
        max_passes: the budget; one pass is a forward and a backward pass of one noisy input, and a forward pass alone
            counts one third.
        draws: noisy inputs per sample and step.
        precision: relative standard error wanted of every expected distance.
        distance_tolerance: a sample has converged only if its distance is this near to α, relatively, and two standard
            errors of it are no larger.
    """

    tolerance: float = 0.02
    max_passes: int = 5000
    draws: int = 16
    precision: float = 0.01
    distance_tolerance: float = 0.05

    @property
    def max_draws(self) -> int:
        """Most draws for one expected distance, so that these leave most of the passes to the search."""
        return min(1024, max(128, self.max_passes // 5))

    @property
    def fine(self) -> tuple[float, int]:
        """The precision and the most draws of an expected distance that is reported."""
        return self.precision, self.max_draws

    @property
    def coarse(self) -> tuple[float, int]:
        """The same of one that only guides the search for the scale."""
        return 4 * self.precision, self.max_draws // 4

    @property
    def check_draws(self) -> int:
        """Draws that are kept for the distance that is reported."""
        return max(2 * FRESH_DRAWS, min(4096, self.max_passes // 5))

    @property
    def fresh_draws(self) -> int:
        """Most fresh draws of the correction, a multiple of GROUPS."""
        return max(FRESH_DRAWS, min(1024, self.max_passes // 8)) // GROUPS * GROUPS

    @property
    def looks(self) -> int:
        """Most steps of the search for the scale of σ after an ascent."""
        return 2 if self.max_passes >= 2 * MIN_PASSES else 1

    @property
    def end_passes(self) -> int:
        """Passes kept for what follows the ascent: the scale, the correction and the check."""
        forwards = (self.looks + 1) * max(32, self.coarse[1]) + 4 * self.fresh_draws + self.check_draws + SLOPE_DRAWS
        return math.ceil(forwards / 3)

    def reserve(self, looks: int) -> int:
        """Passes kept for the forward passes that find δ_f², scale σ in `looks` steps, and check the result."""
        forwards = 2 * self.max_draws + (1 + looks) * self.coarse[1]
        return math.ceil(forwards / 3)
