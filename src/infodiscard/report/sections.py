"""The sections of the page that are more than a table: curves, sheets of maps, the map over the image, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ..core.metrics import METRICS
from ..plots.style import CLIP
from . import colours
from . import html_tables as tables
from . import svg_curves as curves
from .content import MEANS, SCALARS, Content, Entry
from .markup import element, figure
from .packed_maps import NOTHING, Maps, png

CELL = 88  # pixels of the screen from one map to the next; the style sheet knows it, too
LINE, LONGEST = 16, 900  # height of a map that is a line, and the most it is wide

# What maps show, which are not corrected.
MAPPED = {name: f"{each.title} reached" if each.corrected else each.title for name, each in METRICS.items()}
Option = tuple[str, str]  # value, text


def choice(label: str, name: str, options: Sequence[Option]) -> Element:
    """Returns a list to choose from; without a choice nothing is shown but what it would be."""
    made = element("select", *(element("option", text, value=value) for value, text in options), name=name)
    return element("label", f"{label} ", made, hidden=len(options) < 2)


def controls(*children: Element) -> Element:
    """Returns a row of controls, which only the script shows."""
    return element("div", *children, class_="controls js-only")


def panel(key: str, *children: Element | None) -> Element:
    """Returns what is shown while the section's lists have these values, joined by bars; without script always."""
    return element("div", *(child for child in children if child is not None), class_="panel", data_key=key)


def chosen_panels(panels: Sequence[Element], *lists: Element) -> list[Element]:
    """Returns controls and what they choose among."""
    return [controls(*lists), *panels]


def scalars(names: Sequence[str]) -> list[Option]:
    """Returns the options of a list of scalars."""
    return [(name, SCALARS[name]) for name in names]


def by_layer(content: Content) -> list[Element]:
    """Returns the curves and their legend."""
    buttons = [
        element("li", element("button", curves.swatch(i), entry.name, type="button", aria_pressed="true", data_entry=i))
        for i, entry in enumerate(content.entries)
    ]
    legend = element("ul", *buttons, class_="legend", aria_label="networks shown")
    panels = []
    for metric in content.scalars:
        svg = curves.curve(content, metric)
        name = f"{content.said(metric)} by layer; left and right arrow keys read the values of a layer"
        region = element(
            "div", svg, class_="scroll curve", role="group", tabindex=0, aria_label=name, data_metric=metric
        )
        panels.append(panel(metric, element("h3", content.said(metric)), region,
                            element("p", class_="readout js-only", role="status")))  # fmt: skip
    text = (
        "Means and 95 % intervals (Student's t) over the samples. Hollow: more than 5 % of the samples not converged."
    )
    if "sid" in content.metrics:
        text += " Dashed: a layer that passes its input on unchanged; nothing linear discards less."
    if "ru" in content.metrics:
        text += " Dotted: the floor of RU, the decoder's own error."
    if reached := content.reached("sid"):
        text += f" As reached, not corrected: {', '.join(reached)}."
    caption = element("p", content.layout.words(text), class_="small")
    return [*chosen_panels([legend, *panels], choice("Measure", "metric", scalars(content.scalars))), caption]


def differences(content: Content) -> list[Element]:
    """Returns the tables of paired differences."""
    pairs, panels = tables.pairs(content), []
    for number, (a, b) in enumerate(pairs):
        for metric in content.scalars:
            table = tables.differences(content, metric, a, b)
            panels.append(panel(f"{number}|{metric}", table or element("p", "One of both has none of this measure.")))
    return chosen_panels(panels, pair_choice(pairs), choice("Measure", "metric", scalars(content.scalars)))


def pair_choice(pairs: Sequence[tuple[str, str]]) -> Element:
    """Returns the list of pairs."""
    return choice("Difference", "pair", [(str(i), f"{b} − {a}") for i, (a, b) in enumerate(pairs)])


def networks(entries: Sequence[Entry], content: Content) -> Element:
    """Returns the list of networks, whose values are their numbers."""
    return choice("Network", "network", [(str(content.entries.index(entry)), entry.name) for entry in entries])


def metrics(content: Content) -> Element:
    """Returns the list of what has maps."""
    return choice("Measure", "metric", [(name, METRICS[name].title) for name in content.metrics])


def bar(low: float, high: float, scale: str, text: str, ends: tuple[str, str]) -> Element:
    """Returns a colour bar with its ends, unit and meaning."""
    strip = png(np.arange(NOTHING, dtype=np.uint8)[None].repeat(4, 0), colours.table(scale))
    picture = element("img", src=strip, alt=f"colours from {low:.2f} to {high:.2f} {text}", width=255, height=14)
    left, right = (element("span", figure(value, ".2f")) for value in (low, high))
    row = element("div", left, picture, right, class_="bar")
    return element("figure", row, element("figcaption", f"{text}: left {ends[0]}, right {ends[1]}"), class_="scale")


def scale_of(content: Content, maps: Maps, metric: str) -> Element:
    """Returns the colour bar of the maps of a metric."""
    words = content.layout.words
    text = f"{MAPPED[metric]}, {content.unit}; one scale for all networks, layers and samples"
    return bar(*maps.scales[metric], colours.SEQUENTIAL, words(text), MEANS[metric])


def sheets(content: Content, maps: Maps) -> list[Element]:
    """Returns the sheets of maps, one for each network and metric."""
    panels = [
        panel(f"{i}|{metric}", element("h3", f"{MAPPED[metric]} of {entry.name}"), scale_of(content, maps, metric),
              sheet(content, maps, i, metric))
        for i, entry in enumerate(content.entries)
        for metric in content.metrics
        if entry.has(metric)
    ]  # fmt: skip
    return chosen_panels(panels, networks(content.entries, content), metrics(content))


def restored(content: Content, maps: Maps) -> list[Element]:
    """Returns the sheets of reconstructions."""
    entries = [
        entry for entry in content.entries if any(key[:2] == (entry.name, "reconstruction") for key in maps.strips)
    ]
    panels = [
        panel(str(i), element("h3", entry.name), sheet(content, maps, i, "reconstruction"))
        for i, entry in enumerate(content.entries)
        if entry in entries
    ]
    return chosen_panels(panels, networks(entries, content)) if panels else []


def sheet(content: Content, maps: Maps, number: int, metric: str) -> Element:
    """Returns the pictures of one network: a row per sample, a column per layer."""
    entry = content.entries[number]
    samples, names = maps.samples[entry.name], row_names(entry)
    first = maps.strips[entry.name, metric, samples[0]]
    what = MAPPED.get(metric, "Reconstructions")
    wide, (height, width) = len(content.layout.dims) == 2, maps.sizes[entry.name]
    inputs = wide and (entry.name, samples[0]) in maps.thumbnails
    heads = [element("th", "sample", scope="col")]
    heads += [element("th", "input", scope="col", class_="layer")] if inputs else []
    layers = first.layers if wide else ("layer", f"{content.layout.dims[0]}, from the first")
    heads += [element("th", layer, scope="col", class_="layer" if wide else None) for layer in layers]
    tall = round(CELL * height / width)
    rows = []
    for row, sample in enumerate(samples):
        strip = maps.strips[entry.name, metric, sample]
        values = zip(strip.layers, strip.means or [None] * len(strip.layers), strict=True)
        said = ", ".join(
            layer if mean is None or mean != mean else f"{layer} {figure(mean, '.2f')}" for layer, mean in values
        )
        size = (CELL * len(strip.layers), tall) if wide else (_length(width), LINE * len(strip.layers))
        picture = element("img", src=strip.source, alt=f"{what} of {sample}: {said}", width=size[0], height=size[1],
                          data_strip=f"{number}|{metric}|{row}")  # fmt: skip
        cells = [name_cell(names[sample], sample)]
        if inputs:
            thumbnail = element("img", src=maps.thumbnails[entry.name, sample], alt=f"input {sample}", width=CELL - 3,
                                height=tall)  # fmt: skip
            cells.append(element("td", thumbnail))
        if wide:
            cells.append(element("td", picture, colspan=len(strip.layers)))
        else:
            cells += [element("td", lines(strip.layers)), element("td", picture)]
        rows.append(element("tr", *cells))
    title = f"{what} of {entry.name}, {_how_many(content, entry, samples)}"
    made = element("table", element("caption", title), element("thead", element("tr", *heads)),
                   element("tbody", *rows), class_="maps" if wide else "maps lines")  # fmt: skip
    return tables.scrolling(made, title)


def lines(layers: Sequence[str]) -> Element:
    """Returns the names of layers, one beside each line of a picture."""
    return element("ul", *(element("li", layer) for layer in layers), class_="lines")


def name_cell(name: str, sample: str) -> Element:
    """Returns the cell that names a row: the class, where it is known, and the sample."""
    small = element("span", sample, class_="small") if name != sample else None
    return element("th", name, small, scope="row", class_="sample")


def row_names(entry: Entry) -> dict[str, str]:
    """Returns sample → its class where that is known, else its own name."""
    plan = entry.run.plan
    if plan.labels is None or not plan.classes:
        return {sample: sample for sample in plan.samples}
    return {sample: plan.classes[label] for sample, label in zip(plan.samples, plan.labels, strict=True)}


def over_image(content: Content, maps: Maps) -> list[Element]:
    """Returns the map of one layer over the image, with a slider through the layers."""
    entry = content.entries[0]
    slider = element(
        "input", type="range", min=0, max=len(entry.summary) - 1, value=len(entry.summary) - 1, step=1, name="layer"
    )
    opacity = element("input", type="range", min=0, max=100, value=60, step=5, name="opacity")
    samples = choice("Sample", "sample", [(str(i), sample) for i, sample in enumerate(maps.samples[entry.name])])
    row = controls(networks(content.entries, content), metrics(content), samples,
                   element("label", "Layer ", slider), element("label", "Opacity ", opacity))  # fmt: skip
    canvas = element("canvas", width=448, height=448, role="img", aria_label="map over the image")
    status = element("p", class_="readout", role="status")
    scales = [element("div", scale_of(content, maps, name), data_scale=name) for name in content.metrics]
    text = "" if not maps.outlines else "White: the object's border."
    shown = element("figure", canvas, element("figcaption", status, text), class_="js-only over")
    return [row, shown, *(_script_only(scale) for scale in scales), _needs_script()]


def map_differences(content: Content, maps: Maps) -> list[Element]:
    """Returns where the script puts the difference of two networks' maps, and their scale."""
    made = [controls(pair_choice(tables.pairs(content)), metrics(content))]
    for metric, limit in maps.limits.items():
        text = f"difference in {MAPPED[metric]}, {content.unit}; one scale for all pairs"
        scale = bar(
            -limit, limit, colours.DIVERGING, text, (f"the first named {MEANS[metric][0]}", f"it {MEANS[metric][1]}")
        )
        made.append(_script_only(element("div", scale, data_scale=metric)))
    return [*made, element("div", class_="difference js-only"), _needs_script()]


def _script_only(part: Element) -> Element:
    part.set("class", "js-only")
    return part


def _needs_script() -> Element:
    return element("noscript", element("p", "This part needs JavaScript; nothing is loaded from anywhere."))


def about_maps(content: Content, maps: Maps) -> list[Element]:
    """Returns what was done to the maps, in words."""
    words, parts = content.layout.words, []
    for entry in content.entries:
        parts.append(
            f"{entry.name}: {_how_many(content, entry, maps.samples[entry.name])}{_shrunk(content, entry, maps)}."
        )
    for metric in content.metrics:
        low, high = maps.scales[metric]
        parts.append(
            f"Maps of {MAPPED[metric]} are kept in 8 bits, a step being {(high - low) / 254:.4f} {content.unit}; the "
            f"scale spans percentiles {CLIP[0]} to {CLIP[1]} of the values shown, and what lies outside has the colour "
            "of its end, also where maps are subtracted."
        )
    return [element("ul", *(element("li", words(part)) for part in parts), class_="small")]


def _how_many(content: Content, entry: Entry, samples: Sequence[str]) -> str:
    total = entry.table["sample"].nunique()
    if len(samples) == total:
        return f"all {total} samples" if total > 1 else "its one sample"
    among = " among those that all networks have" if len(content.entries) > 1 else ""
    return f"{len(samples)} of {total} samples, evenly spaced{among}"


def _shrunk(content: Content, entry: Entry, maps: Maps) -> str:
    plan, (height, width) = entry.run.plan, maps.sizes[entry.name]
    wide = len(content.layout.dims) == 2
    if (height, width) == ((plan.height, plan.width) if wide else (1, plan.width)):
        return ", every pixel"
    if wide:
        return f", maps averaged from {plan.height}×{plan.width} to {height}×{width} pixels"
    return f", maps averaged from {plan.width} to {width} pixels"


def _length(positions: int) -> int:
    """Returns how wide a line is on the screen."""
    return max(120, min(LONGEST, 12 * positions))


def payload(content: Content, maps: Maps) -> dict[str, Any]:
    """Returns what the script needs beyond what is on the page."""
    number = {entry.name: i for i, entry in enumerate(content.entries)}
    curve = {
        metric: [
            [point and curves.shown(point, content.unit) for point in curves.points(entry, metric, content.layers)]
            for entry in content.entries
        ]
        for metric in content.scalars
    }
    pictures = list(dict.fromkeys([*maps.inputs.values(), *maps.outlines.values()]))  # the networks of a run share them
    place = {url: i for i, url in enumerate(pictures)}
    entries = [
        {
            "name": entry.name,
            "layers": list(entry.summary.index),
            "samples": list(maps.samples[entry.name]),
            "names": [row_names(entry)[sample] for sample in maps.samples[entry.name]],
            "size": list(maps.sizes[entry.name]),
            "means": {
                metric: [list(maps.strips[entry.name, metric, s].means) for s in maps.samples[entry.name]]
                for metric in content.metrics
                if entry.has(metric)
            },
            "inputs": [place.get(maps.inputs.get((entry.name, s), "")) for s in maps.samples[entry.name]],
            "outlines": [place.get(maps.outlines.get((entry.name, s), "")) for s in maps.samples[entry.name]],
        }
        for entry in content.entries
    ]
    pairs = []
    for a, b in tables.pairs(content):
        rows = [row for row in content.pairs.to_dict("records") if (row["a"], row["b"]) == (a, b)]
        places = [list(tables.find(content, name).summary.index) for name in (a, b)]
        layers = {row["layer"]: [places[0].index(row["layer_a"]), places[1].index(row["layer_b"])] for row in rows}
        pairs.append({"a": number[a], "b": number[b], "layers": [[name, *at] for name, at in layers.items()]})
    return {
        "unit": content.unit,
        "layers": list(content.layers),
        "curves": curve,
        "entries": entries,
        "pairs": pairs,
        "pictures": pictures,
        "scales": maps.scales,
        "limits": maps.limits,
        "diverging": colours.table(colours.DIVERGING).tolist(),
        "metrics": {name: MAPPED[name] for name in content.metrics},
        "wide": len(content.layout.dims) == 2,
    }
