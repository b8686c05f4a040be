"""Explanations: what the numbers mean, and what the solver says about itself."""

from __future__ import annotations

from dataclasses import dataclass

from ..analysis.display import is_reached, lacking
from ..analysis.paired import DISTANCE_ERROR
from ..core.metrics.variable import diagnostics
from . import html_tables
from .content import Content, Entry
from .rendering import formatted
from .scalars import corrected, floor, long_name, title


@dataclass(frozen=True)
class Meaning:
    """A metric's title, and what it is in words."""

    title: str
    long_name: str


@dataclass(frozen=True)
class Reading:
    """What the numbers mean: of what was measured only.

    Attributes:
        metrics: by their names.
        position: what one place of an input is called.
        concentration: whether it was measured.
        corrected: metrics with corrected values.
        reached: the others.
    """

    metrics: dict[str, Meaning]
    position: str
    concentration: bool
    corrected: list[str]
    reached: list[str]


@dataclass(frozen=True)
class Solver:
    """What the solver says about itself: sentences by metric and network, and a table a metric."""

    groups: dict[str, list[str]]
    tables: list[html_tables.Table]


def reading(content: Content) -> Reading:
    """Returns what the numbers mean."""
    better = [
        metric
        for metric in content.metrics
        if corrected(metric)
        and {each.name for each in content.entries if each.has(metric)} - {*content.reached(metric)}
    ]
    return Reading(
        metrics={metric: Meaning(title(metric), content.layout.words(long_name(metric))) for metric in content.metrics},
        position=content.layout.unit,
        concentration=len(content.scalars) > len(content.metrics),
        corrected=[title(metric) for metric in better],
        reached=[title(metric) for metric in content.metrics if metric not in better],
    )


def solver(content: Content) -> Solver:
    """Returns what the solver says about itself."""
    words = content.layout.words
    groups = {
        f"{title(metric)} of {entry.name}": [words(line) for line in _trust(entry, metric)]
        for entry in content.entries
        for metric in content.metrics
        if entry.has(metric)
    }
    return Solver(groups, [html_tables.solver(content, metric) for metric in content.metrics])


def _trust(entry: Entry, metric: str) -> list[str]:
    """Returns the sentences on one metric of one network, per pixel."""
    table, alpha = entry.table.dropna(subset=[metric]), entry.alpha
    trust, lines = diagnostics(table, metric), []
    if "converged" in trust:
        lines.append(f"{trust['converged'].mean():.1%} of the {len(trust)} solutions met the solver's tolerance.")
    if "feature_distance" in trust and alpha:
        error = (trust["feature_distance"] / alpha - 1).abs()
        lines.append(
            f"The feature distance was to be α = {alpha:g}. On fresh noise it is off by {error.median():.1%} in the "
            f"median, and by more than {DISTANCE_ERROR:.0%} for {(error > DISTANCE_ERROR).mean():.1%} of the solutions."
        )
    if not is_reached(variable := entry.variable(metric)) and metric != variable:
        missing = table[variable] - table[metric]
        lines.append(
            f"Corrected values lie {formatted(missing.mean())} nats/pixel above what was reached in the mean, "
            f"{formatted(missing.max())} at most; the standard error of a single one is "
            f"{table[f'{variable}_se'].median():.3f} in the median. {lacking(table, metric):.1%} of the solutions have "
            "none."
        )
    if "gap" in trust and trust["gap"].notna().any():
        most = "at most " if metric != variable else ""
        lines.append(
            f"The solver estimates that a longer search would find {most}{formatted(trust['gap'].mean())} nats/pixel "
            f"more in the mean, {formatted(trust['gap'].max())} in the worst case."
        )
    if "capped_share" in trust:
        matters = f"{trust['cap_matters'].mean():.1%}" if "cap_matters" in trust else "an unknown share"
        lines.append(
            f"{trust['capped_share'].mean():.2%} of the pixels are at the cap on σ, where the layer hardly looks; the "
            f"mean depends on the cap for {matters} of the solutions."
        )
    if entry.has(floor(metric)):
        without = table[floor(metric)]
        lines.append(
            f"The decoders' own error, without noise, is {formatted(without.mean())} nats/pixel in the mean; "
            f"{title(metric)} is {formatted((table[metric] - without).mean())} above it. Every layer has a decoder of "
            f"its own: where the floors differ, {title(metric)} may for that reason alone."
        )
    return lines
