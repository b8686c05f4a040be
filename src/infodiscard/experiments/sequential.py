"""Looks at a study before its last training, at an error rate that holds over all of them.

A claim is judged after each number of trainings in `Preset.looks`, and is decided at the first look whose interval says
something: excludes zero, or lies within the margin of equivalence or outside it. Intervals of one look are wider than
95 %, by an alpha-spending function of O'Brien and Fleming's type (Lan & DeMets 1983), such that all of them hold
together with 95 % (repeated confidence intervals; Jennison & Turnbull 1989): of the claims on which nothing is to be
seen, one in twenty is decided at any look. Boundaries are those of normal statistics, of which the same tail of
Student's t is taken: in a simulation of looks at 4, 6 and 8 trainings that made 5.3 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np

from .verdicts import UNKNOWN, Claim

ALPHA = 0.05


@cache
def levels(looks: tuple[int, ...], alpha: float = ALPHA) -> tuple[float, ...]:
    """Returns the level of the intervals of each look, which hold together with a probability of 1 − alpha.

    Args:
        looks: trainings at each, rising; the last are all that there will be.
        alpha: the error rate over all looks, both sides together.
    """
    from scipy import optimize, stats

    shares = [look / looks[-1] for look in looks]
    spent = [4 * stats.norm.sf(stats.norm.isf(alpha / 4) / math.sqrt(share)) for share in shares]
    bounds: list[float] = []
    for number, total in enumerate(spent):
        if not number:
            bounds.append(float(stats.norm.isf(total / 2)))
            continue
        known = shares[: number + 1]
        # The statistics of looks i ≤ j correlate by √(share i / share j).
        matrix = np.array([[math.sqrt(min(one, other) / max(one, other)) for one in known] for other in known])
        excess = partial(_excess, total, tuple(bounds), matrix)
        bounds.append(float(optimize.brentq(excess, 1.0, 8.0, xtol=1e-4)))
    return tuple(1 - 2 * float(stats.norm.sf(bound)) for bound in bounds)


def _excess(spent: float, before: tuple[float, ...], matrix: np.ndarray, bound: float) -> float:
    """Returns the probability that some look's statistic is beyond its bound, if there is no effect, minus `spent`."""
    from scipy import stats

    limits = np.array([*before, bound])
    return 1 - float(stats.multivariate_normal(cov=matrix, seed=0).cdf(limits, lower_limit=-limits)) - spent


def freeze(decided: dict[str, Claim], claims: Sequence[Claim], seeds: int, looks: Sequence[int]) -> tuple[Claim, ...]:
    """Returns the claims of a look, those that were decided at an earlier one as they were then.

    Args:
        decided: by their text; those that this look decides are added.
        claims: as judged at this look.
        seeds: trainings at this look.
        looks: all numbers of trainings.
    """
    made = []
    for claim in claims:
        if claim.text not in decided and len(looks) > 1:
            when = f"look {list(looks).index(seeds) + 1} of {len(looks)}, at {seeds} trainings"
            claim = replace(claim, statistic=f"{claim.statistic}; {when}")
        if claim.verdict != UNKNOWN:
            decided.setdefault(claim.text, claim)
        made.append(decided.get(claim.text, claim))
    return tuple(made)
