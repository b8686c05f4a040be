"""The tables of the page: values, paired differences, and what the solver says about itself."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from ..analysis.statistics import half_width
from ..analysis.verdict import LESS, MORE
from ..core.metrics import METRICS
from .content import Content
from .rendering import formatted
from .scalars import Scalar

Column = tuple[str, str]
"""A heading, and how to print what stands below it."""


class Cell(NamedTuple):
    """A cell: its text; "head" where it names its row, "text" or "warn" if in words; and what its row is sorted by."""

    text: str
    kind: str = ""
    sort: float | None = None


class Table(NamedTuple):
    """A table that the script makes sortable: its caption, its headings, and its rows, each with a cell a heading."""

    caption: str
    heads: list[str]
    rows: list[list[Cell]]


def values(content: Content, metric: str) -> Table:
    """Returns the means of one metric, its concentration beside it, and what speaks against a row."""
    return _by_layer(
        content, metric, _values(metric), f"{METRICS[metric].title}: means over the samples, {content.unit}"
    )


def _values(metric: str) -> dict[str, Column]:
    """Returns column of `Run.summary` → heading and how to print it; a run may lack some."""
    columns, item = {"n": ("samples", "d")}, METRICS[metric]
    named = {metric: item.title, item.floor: "floor", item.concentration: "concentration"}
    for name, heading in named.items():
        if name is None:
            continue
        if better := item.corrected.get(name):
            columns |= {better: (heading, ".3f"), f"{better}_se": ("± se", ".3f")}
            heading += " reached"
        columns |= {name: (heading, ".3f"), f"{name}_se": ("± se", ".3f")}
    return columns


def solver(content: Content, metric: str) -> Table:
    """Returns what the solver says of one metric."""
    owner = METRICS[metric]
    alphas = ", ".join(f"{alpha:g}" for alpha in sorted({entry.alpha for entry in content.entries}))
    means = f"means over the samples (gap in {content.unit}); the distance was to be α = {alphas}"
    columns = {
        "converged": ("converged", ".0%"),
        "feature_distance": ("distance reached", ".3f"),
        "gap": ("gap", ".3f"),
        "uncorrected_share": ("without corrected value", ".0%"),
        "capped_share": ("pixels at cap", ".1%"),
        "cap_matters": ("cap matters", ".0%"),
        "passes": ("passes", ".0f"),
    }
    own = {owner.own(name): item for name, item in columns.items()}
    return _by_layer(content, metric, own, f"Solver of {owner.title}: {means}")


def _by_layer(content: Content, metric: str, columns: Mapping[str, Column], caption: str) -> Table:
    """Returns a table with a row per network and layer; a last column of doubts."""
    entries = [entry for entry in content.entries if entry.has(metric)]
    kept = {name: item for name, item in columns.items() if any(entry.has(name) for entry in entries)}
    words = content.layout.words
    rows = []
    for entry in entries:
        doubts = entry.doubts(metric)
        for layer, record in zip(entry.summary.index, entry.summary.to_dict("records"), strict=True):
            numbers = [_number(record.get(name), form) for name, (_, form) in kept.items()]
            rows.append([Cell(entry.name, "text"), Cell(layer, "head"), *numbers, _trust("; ".join(doubts[layer]))])
    heads = ["network", "layer", *(words(heading) for heading, _ in kept.values()), "trust"]
    return Table(words(caption), heads, rows)


def differences(content: Content) -> dict[str, Table | None]:
    """Returns the tables of paired differences, by the number of the pair and the scalar, joined by a bar."""
    pairs = enumerate(content.compared)
    return {f"{i}|{scalar.name}": _paired(content, scalar, a, b) for i, (a, b) in pairs for scalar in content.scalars}


def _paired(content: Content, scalar: Scalar, a: str, b: str) -> Table | None:
    """Returns the paired differences of two networks; `None` if they have none of this scalar."""
    pairs = content.pairs
    records = pairs[(pairs["metric"] == scalar.name) & (pairs["a"] == a) & (pairs["b"] == b)].to_dict("records")
    if not records:
        return None
    columns: list[tuple[str, Callable[[Mapping[Hashable, Any]], float], str]] = [
        (a, lambda row: row["mean_a"], ".3f"),
        (b, lambda row: row["mean_b"], ".3f"),
        ("difference", lambda row: row["difference"], "+.3f"),
        ("± 95 %", lambda row: half_width(row["se"], row["n"]), ".3f"),
        ("gap", lambda row: row["gap"], ".3f"),
        ("samples", lambda row: row["n"], "d"),
    ]
    if all(row["basis"] == "corrected" for row in records):
        del columns[4]  # the error holds the gap
    rows = []
    for row in records:
        numbers = [_number(value(row), form) for _, value, form in columns]
        p = Cell("< 0.001" if row["p_holm"] < 0.001 else formatted(row["p_holm"]), sort=row["p_holm"])
        verdict = f"{b} {row['verdict']}" if row["verdict"] in (MORE, LESS) else row["verdict"]
        rows.append([Cell(row["layer"], "head"), *numbers, p, Cell(verdict, "text"), _trust(row["warning"])])
    heads = ["layer", *(heading for heading, _, _ in columns), "p (Holm)", "verdict", "trust"]
    reached = " (reached)" if all(row["basis"] == "reached" for row in records) else ""
    return Table(
        f"{scalar.title}{reached} of {b} minus that of {a}, over the same samples, {content.unit}", heads, rows
    )


def _number(value: float | None, form: str) -> Cell:
    """Returns a cell of a number; a dash where there is none."""
    if value is None or value != value:
        return Cell("–")
    return Cell(formatted(value, form), sort=min(float(value), 1e300))  # infinity, as of a gap, is none to the script


def _trust(doubt: str) -> Cell:
    """Returns the cell that says what speaks against a row."""
    return Cell(f"⚠ {doubt}", "warn") if doubt else Cell("✓ nothing known against it", "text")
