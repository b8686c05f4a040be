"""Scalars of the page: the metrics and their concentrations, and what the page says of each."""

from __future__ import annotations

from typing import NamedTuple

from ..core.metrics import METRICS
from ..core.metrics.metric import Metric

LOSES = {"sid": ("discards most", "keeps"), "ru": ("loses most in reconstruction", "lets a decoder restore")}
"""What a network does where a metric is highest; and what it does better with the object where that is lower."""


class Scalar(NamedTuple):
    """What has a curve: a variable, what the page calls it, its metric, and the ends of its axis in words."""

    name: str
    title: str
    metric: Metric
    ends: tuple[str, str]

    @property
    def is_metric(self) -> bool:
        """Whether it is the metric itself, not its concentration."""
        return self.name == self.metric.name


def page_scalars() -> dict[str, Scalar]:
    """Returns the scalars by name: every metric, then every concentration."""
    metrics = [Scalar(name, item.title, item, item.ends) for name, item in METRICS.items()]
    ends = "on the background", "on the object"
    concentrations = [
        Scalar(item.concentration, f"Concentration{f' of {item.title}' if item.prefix else ''}", item, ends)
        for item in METRICS.values()
        if item.concentration
    ]
    return {scalar.name: scalar for scalar in (*metrics, *concentrations)}


def of_maps(metric: str) -> str:
    """Returns what maps of a metric show: they are not corrected."""
    return f"{METRICS[metric].title}{' reached' if metric in METRICS[metric].corrected else ''}"
