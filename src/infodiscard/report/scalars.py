"""Scalars of the page: the metrics and their concentrations, and what the page says of each."""

from __future__ import annotations

from typing import NamedTuple

from ..core.metrics.variable import CORRECTED, VARIABLES
from ..core.metrics.variable import METRICS as TITLES


class Metric(NamedTuple):
    """A metric: its names, what its diagnostics' names begin with, reached → corrected, and whether of decoders."""

    name: str
    title: str
    long_name: str
    prefix: str
    corrected: dict[str, str]
    needs_decoders: bool


METRICS = {
    name: Metric(name, title, VARIABLES[name].long_name, prefix, CORRECTED if not prefix else {}, name == "ru")
    for name, title, prefix in ((name, title, "" if name == "sid" else f"{name}_") for name, title in TITLES.items())
}

IDENTITY = "sid"
"""The metric whose value is known of a layer that passes its input on unchanged."""
ENDS = {"sid": ("keeps more", "discards more"), "ru": ("is restored better", "is restored worse")}
"""Of a metric's axis in words, lower and higher."""
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
    metrics = [Scalar(name, item.title, item, ENDS.get(name, ("lower", "higher"))) for name, item in METRICS.items()]
    ends = "on the background", "on the object"
    concentrations = [
        Scalar(concentration(name), f"Concentration{f' of {item.title}' if item.prefix else ''}", item, ends)
        for name, item in METRICS.items()
    ]
    return {scalar.name: scalar for scalar in (*metrics, *concentrations)}


def concentration(metric: str) -> str:
    """Returns the variable with the concentration of a metric."""
    return f"{METRICS[metric].prefix}concentration"


def floor(metric: str) -> str:
    """Returns the variable with what is measured without noise, which few metrics have."""
    return f"{metric}_floor"


def of_maps(metric: str) -> str:
    """Returns what maps of a metric show: they are not corrected."""
    return f"{METRICS[metric].title}{' reached' if metric in METRICS[metric].corrected else ''}"
