"""Scalars of the page: the metrics and their concentrations, and what the page says of each."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.metrics.variable import CORRECTED, METRICS, VARIABLES

IDENTITY = "sid"
"""The metric whose value is known of a layer that passes its input on unchanged."""

ENDS = {"sid": ("keeps more", "discards more"), "ru": ("is restored better", "is restored worse")}
LOSES = {"sid": ("discards most", "keeps"), "ru": ("loses most in reconstruction", "lets a decoder restore")}
"""What a network does where a metric is highest; and what it does better with the object where that is lower."""


@dataclass(frozen=True)
class Scalar:
    """A quantity that has a curve on the page.

    Attributes:
        name: its variable.
        title: what the page calls it.
        metric: the metric that it is, or whose concentration it is.
        ends: of its axis in words, lower and higher.
    """

    name: str
    title: str
    metric: str
    ends: tuple[str, str]

    @property
    def is_metric(self) -> bool:
        """Whether it is the metric itself."""
        return self.name == self.metric


def page_scalars() -> dict[str, Scalar]:
    """Returns the scalars by name: every metric, then every concentration."""
    metrics = [Scalar(name, title(name), name, ENDS.get(name, ("lower", "higher"))) for name in METRICS]
    concentrations = [
        Scalar(
            concentration(name),
            f"Concentration of {title(name)}" if prefix(name) else "Concentration",
            name,
            ("on the background", "on the object"),
        )
        for name in METRICS
    ]
    return {scalar.name: scalar for scalar in (*metrics, *concentrations)}


def title(metric: str) -> str:
    """Returns what a metric is called in print."""
    return METRICS[metric]


def long_name(metric: str) -> str:
    """Returns what a metric is, in words."""
    return VARIABLES[metric].long_name


def prefix(metric: str) -> str:
    """Returns what the names of a metric's diagnostics begin with."""
    return "" if metric == "sid" else f"{metric}_"


def needs_decoders(metric: str) -> bool:
    """Whether a metric is measured through decoders, whose reconstructions are shown."""
    return metric == "ru"


def corrected(variable: str) -> str | None:
    """Returns the variable with the estimate at the optimum; `None` where values are not corrected."""
    return CORRECTED.get(variable)


def concentration(metric: str) -> str:
    """Returns the variable with the concentration of a metric."""
    return f"{prefix(metric)}concentration"


def floor(metric: str) -> str:
    """Returns the variable with what is measured without noise, which few metrics have."""
    return f"{metric}_floor"


def of_maps(metric: str) -> str:
    """Returns what maps of a metric show: they are not corrected."""
    return f"{title(metric)} reached" if corrected(metric) else title(metric)
