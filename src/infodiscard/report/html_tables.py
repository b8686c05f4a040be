"""The tables of the page: values, paired differences, and what the solver says about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ..analysis.statistics import half_width
from ..core.metrics import METRICS
from .content import SCALARS, UNKNOWN, Content, Entry
from .markup import element, figure

Record = Mapping[Any, Any]
Column = tuple[str, str]

# Metric → column of `Run.summary` → heading and how to print it. Columns that a run lacks are left out.
COLUMNS: dict[str, dict[str, Column]] = {
    "sid": {
        "n": ("samples", "d"),
        "sid_corrected": ("SID", ".3f"),
        "sid_corrected_se": ("± se", ".3f"),
        "sid": ("SID reached", ".3f"),
        "sid_se": ("± se", ".3f"),
        "concentration_corrected": ("concentration", ".3f"),
        "concentration_corrected_se": ("± se", ".3f"),
        "concentration": ("concentration reached", ".3f"),
        "concentration_se": ("± se", ".3f"),
    },
    "ru": {
        "n": ("samples", "d"),
        "ru": ("RU", ".3f"),
        "ru_se": ("± se", ".3f"),
        "ru_floor": ("floor", ".3f"),
        "ru_concentration": ("concentration", ".3f"),
        "ru_concentration_se": ("± se", ".3f"),
    },
}
SOLVER: dict[str, dict[str, Column]] = {
    metric: {
        f"{prefix}converged": ("converged", ".0%"),
        f"{prefix}feature_distance": ("distance reached", ".3f"),
        f"{prefix}gap": ("gap", ".3f"),
        f"{prefix}uncorrected_share": ("without corrected value", ".0%"),
        f"{prefix}capped_share": ("pixels at cap", ".1%"),
        f"{prefix}cap_matters": ("cap matters", ".0%"),
        f"{prefix}passes": ("passes", ".0f"),
    }
    for metric, prefix in (("sid", ""), ("ru", "ru_"))
}


def values(content: Content, metric: str) -> Element:
    """Returns the means of one metric, its concentration beside it, and what speaks against a row."""
    unit = content.unit
    title = f"{METRICS[metric].title}: means over the samples, {unit}"
    return _by_layer(content, metric, COLUMNS[metric], title)


def solver(content: Content, metric: str) -> Element:
    """Returns what the solver says of one metric."""
    alphas = {entry.alpha for entry in content.entries if entry.alpha is not None}
    wanted = f"; the distance was to be α = {', '.join(f'{alpha:g}' for alpha in sorted(alphas))}" if alphas else ""
    title = f"Solver of {METRICS[metric].title}: means over the samples (gap in {content.unit}){wanted}"
    return _by_layer(content, metric, SOLVER[metric], title)


def _by_layer(content: Content, metric: str, columns: Mapping[str, Column], title: str) -> Element:
    """Returns a table with a row per network and layer; a last column of doubts."""
    entries = [entry for entry in content.entries if entry.has(metric)]
    kept = {
        name: item
        for name, item in columns.items()
        if any(name in entry.summary and entry.summary[name].notna().any() for entry in entries)
    }
    words = content.layout.words
    rows = []
    for entry in entries:
        doubts = entry.doubts(metric)
        for layer, record in zip(entry.summary.index, entry.summary.to_dict("records"), strict=True):
            numbers = [number(record.get(name), form) for name, (_, form) in kept.items()]
            rows.append([text(entry.name), text(layer, head=True), *numbers, trust("; ".join(doubts[layer]))])
    heads = ["network", "layer", *(words(heading) for heading, _ in kept.values()), "trust"]
    return table(words(title), heads, rows)


def differences(content: Content, metric: str, a: str, b: str) -> Element | None:
    """Returns the paired differences of two networks; `None` if they have none of this metric."""
    records = [row for row in content.pairs.to_dict("records") if (row["metric"], row["a"], row["b"]) == (metric, a, b)]
    if not records:
        return None
    columns: list[tuple[str, Callable[[Record], Any], str]] = [
        (a, lambda row: row["mean_a"], ".3f"),
        (b, lambda row: row["mean_b"], ".3f"),
        ("difference", lambda row: row["difference"], "+.3f"),
        ("± 95 %", lambda row: half_width(row["se"], row["n"]), ".3f"),
    ]
    corrected = all(row["basis"] == "corrected" for row in records)
    if not corrected:
        columns.append(("gap", lambda row: row["gap"], ".3f"))
    columns.append(("samples", lambda row: row["n"], "d"))
    rows = []
    for row in records:
        cells = [number(get(row), form) for _, get, form in columns]
        p = element("td", "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}", data_sort=row["p_holm"])
        verdict = UNKNOWN if row["verdict"] == UNKNOWN else f"{b} {row['verdict']}"
        rows.append([text(row["layer"], head=True), *cells, p, text(verdict), trust(row["warning"])])
    heads = ["layer", *(heading for heading, _, _ in columns), "p (Holm)", "verdict", "trust"]
    reached = " (reached)" if all(row["basis"] == "reached" for row in records) else ""
    title = f"{SCALARS[metric]}{reached} of {b} minus that of {a}, over the same samples, {content.unit}"
    return table(title, heads, rows)


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Element]]) -> Element:
    """Returns a table that scrolls sideways where it is too wide, and that the script makes sortable."""
    words = [column[0].get("class") in ("text", "warn") or column[0].tag == "th" for column in zip(*rows, strict=True)]
    cells = [
        element("th", heading, scope="col", class_="text" if text else None)
        for heading, text in zip(heads, words, strict=True)
    ]
    head = element("tr", *cells)
    body = [element("tr", *row) for row in rows]
    made = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *body), class_="sortable"
    )
    return scrolling(made, caption)


def scrolling(content: Element, name: str) -> Element:
    """Returns a region that scrolls sideways, also by keyboard."""
    return element("div", content, class_="scroll", role="region", tabindex=0, aria_label=name)


def text(content: str, head: bool = False) -> Element:
    """Returns a cell of words; `head`: it names its row."""
    return element("th", content, scope="row") if head else element("td", content, class_="text")


def number(value: Any, form: str) -> Element:
    """Returns a cell of a number; a dash where there is none."""
    known = value is not None and value == value
    sort = min(float(value), 1e300) if known else None  # what is infinite, such as a gap, is no number to the script
    return element("td", figure(value, form) if known else "–", data_sort=sort)


def trust(doubt: str) -> Element:
    """Returns the cell that says what speaks against a row."""
    return element("td", f"⚠ {doubt}" if doubt else "✓ nothing known against it", class_="warn" if doubt else "text")


def pairs(content: Content) -> list[tuple[str, str]]:
    """Returns the pairs of networks that were compared."""
    return list(dict.fromkeys((row["a"], row["b"]) for row in content.pairs.to_dict("records")))


def find(content: Content, name: str) -> Entry:
    """Returns the entry of a name."""
    return next(entry for entry in content.entries if entry.name == name)
