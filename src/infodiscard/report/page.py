"""The page: one file of HTML with its style, script and data inside, that asks for nothing from anywhere."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any
from xml.etree.ElementTree import Element

from ..core.metrics import METRICS
from . import colours, sections
from . import html_tables as tables
from . import sentences as findings
from . import word_shading as words
from .content import Content
from .explanations import reading, trusting
from .markup import element, html
from .packed_maps import Maps
from .provenance import provenance


def page(content: Content, maps: Maps) -> str:
    """Returns the whole page."""
    parts = [section for section in _sections(content, maps) if section is not None]
    links = [element("a", _title(part), href=f"#{part.get('id')}") for part in parts]
    names = ", ".join(entry.name for entry in content.entries)
    sheet = style() + (words.shades() if content.texts else "")
    script = _file("script.js")
    return Template(_file("page.html")).substitute(
        policy=policy(script, sheet),
        title=html(element("title", f"Information discarding of {names}")),
        style=sheet,
        script=script,
        head=html(element("h1", f"Information discarding of {names}"), element("p", _lead(content), class_="lead")),
        links=html(*links),
        main=html(*parts),
        data=as_json(sections.payload(content, maps)),
    )


def style() -> str:
    """Returns the style sheet of every page."""
    return colours.variables() + _file("style.css")


def policy(script: str, style: str) -> str:
    """Returns the Content-Security-Policy: this script, this style, pictures that are on the page, and nothing else."""
    script, style = (b64encode(sha256(text.encode()).digest()).decode() for text in (script, style))
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def as_json(value: Any) -> str:
    """Returns JSON that can stand in a script element whatever texts it holds; numbers that are none are null."""
    return json.dumps(_finite(value), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _file(name: str) -> str:
    """Returns a file of this package, with the line ends that browsers see."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _title(section: Element) -> str:
    return section[0].text or ""


def _lead(content: Content) -> str:
    """Returns how much was measured."""
    runs = content.runs.values()
    sizes = dict.fromkeys(f"{len(run.plan.samples)} samples of {run.plan.size}" for run in runs)
    many = len(content.layers)
    return (
        f"{'; '.join(sizes)}, {many} layer{'s' * (many != 1)}, measured layer by layer and "
        f"{content.layout.unit} by {content.layout.unit}."
    )


def _sections(content: Content, maps: Maps) -> list[Element | None]:
    """Returns the sections in the order of the page; `None` for those that this run has no use of."""
    wide, compared = len(content.layout.dims) == 2, not content.pairs.empty
    return [
        _section("findings", "Findings", _findings(content)),
        _section("curves", "By layer", sections.by_layer(content)),
        _section("values", "Values", [tables.values(content, metric) for metric in content.metrics]),
        _section("differences", "Differences", [_tested(content), *sections.differences(content)])
        if compared
        else None,
        _section("words", "By word", words.by_word(content.texts)),
        _section("maps", "Maps", [*sections.about_maps(content, maps), *sections.sheets(content, maps)]),
        _section("over", "Over the image", sections.over_image(content, maps)) if wide else None,
        _section("map-differences", "Differences of maps", sections.map_differences(content, maps))
        if maps.limits
        else None,
        _section("restored", "Reconstructions", _reconstructions(content, maps)),
        _section(
            "solver", "Solver", [*trusting(content), *(tables.solver(content, metric) for metric in content.metrics)]
        ),
        _section("reading", "How to read it", reading(content)),
        _section("made", "How it was made", provenance(content.runs)),
    ]


def _section(name: str, title: str, children: Sequence[Element]) -> Element | None:
    """Returns a section; `None` if there is nothing in it."""
    return element("section", element("h2", title), *children, id=name) if children else None


def _findings(content: Content) -> list[Element]:
    """Returns the summary in words."""
    parts = []
    groups = {
        "Where most is lost": findings.losses(content),
        "What differs": findings.changes(content),
        "What not to trust": findings.warnings(content) or ["Nothing is known against these values."],
    }
    for title, sentences in groups.items():
        if sentences:
            items = element("ul", *(element("li", content.layout.words(text)) for text in sentences),
                            class_="findings")  # fmt: skip
            parts += [element("h3", title), items]
    note = "Values ± half of their 95 % interval (Student's t, over the samples), which does not hold the solver's gap"
    if any(entry.has("sid") for entry in content.entries) and not content.reached("sid"):
        other = "that of RU does not hold the solver's gap" if "ru" in content.metrics else ""
        note = (
            "Values ± half of their 95 % interval (Student's t, over the samples). That of SID holds the error of its "
            f"correction{'; ' * bool(other)}{other}"
        )
    return [*parts, element("p", f"{note}.", class_="small")]


def _tested(content: Content) -> Element:
    text = (
        "Paired differences over the samples that both have, with 95 % intervals. A verdict rests on a two-sided "
        "paired t-test at 5 %, corrected by Holm's method for all rows of one measure."
    )
    rows = content.pairs
    if (rows["basis"] == "corrected").any():
        text += " Intervals of corrected values hold the errors of both corrections."
    taken = [METRICS[name].title for name in METRICS if (rows["metric"].eq(name) & rows["basis"].ne("corrected")).any()]
    if taken:
        text += f" From differences in {' and '.join(taken)} the solver's estimated gap is taken off first."
    return element("p", text, class_="small")


def _reconstructions(content: Content, maps: Maps) -> list[Element]:
    """Returns what decoders restore."""
    made = sections.restored(content, maps)
    text = "The input as a decoder restores it from each layer's feature, without noise (JPEG; layers as columns)."
    return [element("p", text, class_="small"), *made] if made else []
