"""The sections of the page about values: findings, curves, tables and differences; each a view for its template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import html_tables, sentences
from .content import Content, Entry
from .scalars import IDENTITY, corrected, title
from .svg_curves import Curve, Look, layer_curve, look


@dataclass(frozen=True)
class Choice:
    """A list to choose from.

    Attributes:
        label: what it is called.
        name: what the script calls it.
        options: the value and the text of each.
    """

    label: str
    name: str
    options: list[tuple[str, str]]


@dataclass(frozen=True)
class Findings:
    """The summary in words.

    Attributes:
        groups: sentences by their heading.
        corrected: the metrics whose intervals hold the error of the correction.
        reached: the others, whose intervals do not hold the solver's gap.
    """

    groups: dict[str, list[str]]
    corrected: list[str]
    reached: list[str]


@dataclass(frozen=True)
class CurvePanel:
    """The curve of one scalar, under its title."""

    scalar: str
    title: str
    curve: Curve


@dataclass(frozen=True)
class Curves:
    """The curves by layer.

    Attributes:
        choices: the list of scalars.
        legend: networks and how they are drawn.
        panels: a curve per scalar.
        identity: whether there is a line at the identity layer's level.
        floors: metrics that have a floor.
        reached: networks whose values are not corrected, though they could be.
    """

    choices: list[Choice]
    legend: list[tuple[str, Look]]
    panels: list[CurvePanel]
    identity: bool
    floors: list[str]
    reached: list[str]


@dataclass(frozen=True)
class Differences:
    """The tables of paired differences.

    Attributes:
        choices: the lists of pairs and of scalars.
        panels: a table per pair and scalar, by what the lists say; `None` where one of both lacks the scalar.
        corrected: whether values are corrected.
        reached: the metrics of which the solver's gap is taken off first.
    """

    choices: list[Choice]
    panels: dict[str, html_tables.Table | None]
    corrected: bool
    reached: list[str]


def findings(content: Content) -> Findings:
    """Returns what the values say, in words."""
    groups = {
        "Where most is lost": sentences.losses(content),
        "What differs": sentences.changes(content),
        "What not to trust": sentences.warnings(content) or ["Nothing is known against these values."],
    }
    words = content.layout.words
    better = [name for name in content.metrics if corrected(name) and not content.reached(name)]
    return Findings(
        groups={heading: [words(text) for text in texts] for heading, texts in groups.items() if texts},
        corrected=[title(name) for name in better],
        reached=[title(name) for name in content.metrics if name not in better],
    )


def curves(content: Content) -> Curves:
    """Returns the curves and their legend."""
    return Curves(
        choices=[scalar_choice(content)],
        legend=[(entry.name, look(number)) for number, entry in enumerate(content.entries)],
        panels=[CurvePanel(each.name, content.title(each), layer_curve(content, each)) for each in content.scalars],
        identity=IDENTITY in content.metrics,
        floors=[title(metric) for metric in content.floors],
        reached=list(dict.fromkeys(name for metric in content.metrics for name in content.reached(metric))),
    )


def values(content: Content) -> list[html_tables.Table]:
    """Returns the tables of values, one for each metric."""
    return [html_tables.values(content, metric) for metric in content.metrics]


def differences(content: Content) -> Differences | None:
    """Returns the tables of paired differences; `None` if nothing was compared."""
    rows = content.pairs
    if rows.empty:
        return None
    reached = [name for name in content.metrics if (rows["metric"].eq(name) & rows["basis"].ne("corrected")).any()]
    return Differences(
        choices=[pair_choice(content), scalar_choice(content)],
        panels={
            f"{number}|{scalar.name}": html_tables.differences(content, scalar, a, b)
            for number, (a, b) in enumerate(content.compared)
            for scalar in content.scalars
        },
        corrected=bool((rows["basis"] == "corrected").any()),
        reached=[title(name) for name in reached],
    )


def scalar_choice(content: Content) -> Choice:
    """Returns the list of scalars."""
    return Choice("Measure", "metric", [(scalar.name, scalar.title) for scalar in content.scalars])


def metric_choice(content: Content) -> Choice:
    """Returns the list of what has maps."""
    return Choice("Measure", "metric", [(name, title(name)) for name in content.metrics])


def network_choice(content: Content, entries: Sequence[Entry]) -> Choice:
    """Returns the list of some networks, whose values are their numbers."""
    return Choice("Network", "network", [(str(content.entries.index(entry)), entry.name) for entry in entries])


def pair_choice(content: Content) -> Choice:
    """Returns the list of pairs."""
    return Choice("Difference", "pair", [(str(i), f"{b} − {a}") for i, (a, b) in enumerate(content.compared)])
