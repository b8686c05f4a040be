"""The page: one file of HTML with its style, script and data inside, that asks for nothing from anywhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from . import html_tables, map_sections
from .content import Content
from .network_views import glance
from .packed_maps import Maps
from .payload import payload
from .provenance import recipes
from .rendering import asset, render
from .sentences import answer, findings, trusting
from .stylesheet import stylesheet
from .svg_curves import Curve, layer_curve
from .word_shading import shaded_runs


class Section(NamedTuple):
    """A section: its name, which is also that of its template, its title, and what the template shows."""

    name: str
    title: str
    view: object


def render_page(content: Content, maps: Maps) -> str:
    """Returns the whole page."""
    curves = {scalar.name: layer_curve(content, scalar) for scalar in content.scalars}
    slot = next(iter(curves.values())).slot * len(content.layers)
    style, script = stylesheet(plot=slot), asset("script.js")
    return render(
        "page.html.j2",
        policy=policy(script, style),
        title=f"Information discarding of {', '.join(entry.name for entry in content.entries)}",
        style=style,
        script=script,
        lead=_lead(content),
        content=content,
        maps=maps,
        sections=_sections(content, maps, curves),
        data=payload(content, maps),
    )


def policy(script: str, style: str) -> str:
    """Returns the Content-Security-Policy: this script, this style, pictures that are on the page, and nothing else."""
    script, style = (b64encode(sha256(text.encode()).digest()).decode() for text in (script, style))
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _lead(content: Content) -> str:
    """Returns how much was measured."""
    runs = content.runs.values()
    sizes = dict.fromkeys(f"{len(run.plan.samples)} samples of {run.plan.size}" for run in runs)
    many = len(content.layers)
    right = {entry.name: list(entry.correct.values()) for entry in content.entries}
    shares = [f"{sum(row)} of {len(row)} by {name}" for name, row in right.items() if row]
    return (
        f"{'; '.join(sizes)}, {many} layer{'s' * (many != 1)}, measured layer by layer and "
        f"{content.layout.unit} by {content.layout.unit}."
        + (f" Classified as labelled: {', '.join(shares)}." if shares else "")
    )


def _maps(content: Content, maps: Maps, bars: Mapping[str, map_sections.Scale]) -> tuple[object, ...]:
    """Returns what the sheets of maps show: sentences, colour bars, those of one scale for all layers, and sheets."""
    sheets = map_sections.sheets(content, maps)
    return map_sections.about(content, maps), bars, map_sections.whole_scales(content, maps), sheets


def _sections(content: Content, maps: Maps, curves: Mapping[str, Curve]) -> list[Section]:
    """Returns the sections that this page has something to show in, in their order."""
    tables, solver = (
        [made(content, name) for name in content.metrics] for made in (html_tables.values, html_tables.solver)
    )
    bars = map_sections.scales(content, maps)
    every = [
        Section("answer", "In short", answer(content)),
        Section("network", "The network" + "s" * (len(content.entries) > 1), glance(content)),
        Section("curves", "By layer", curves),
        Section("findings", "Findings", findings(content)),
        Section("values", "Values", tables),
        Section("differences", "Differences", html_tables.differences(content)),
        Section("words", "By word", content.texts and shaded_runs(content.texts)),
        Section("maps", "Maps", _maps(content, maps, bars)),
        Section("over", "Over the image", bars if content.wide else {}),
        Section("map-differences", "Differences of maps", map_sections.difference_scales(content, maps)),
        Section("restored", "Reconstructions", map_sections.reconstructions(content, maps)),
        Section("solver", "Solver", (trusting(content), solver)),
        Section("reading", "How to read it", content),
        Section("made", "How it was made", recipes(content.runs)),
    ]
    return [section for section in every if section.view]
