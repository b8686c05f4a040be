"""Rows of a comparison: what is known of the differences at one layer."""

from __future__ import annotations

from typing import TypedDict


class Statistics(TypedDict):
    """Statistics of a variable over pairs of samples, as `compare_runs` names them."""

    mean_a: float
    mean_b: float
    difference: float
    se: float
    low: float
    high: float
    n: int
    systematic: float
    spread: float
    noise: float
    chi2: float


class Difference(Statistics):
    """A row of a comparison: one layer of two sides."""

    layer: str
    a: str
    b: str
    basis: str
    gap: float
    allowed: float
    warning: str
