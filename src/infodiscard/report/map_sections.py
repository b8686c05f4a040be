"""The sections of the page about maps: their sheets, one over its image, differences, reconstructions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..plots.style import CLIP
from . import colours
from .content import Content, Entry
from .packed_maps import GAP, NOTHING, RECONSTRUCTION, Maps, png
from .rendering import formatted
from .scalars import of_maps, page_scalars

CELL = 88  # pixels of the screen from one map to the next; the style sheet knows it, too
LINE, SHORTEST, LONGEST = 16, 120, 900  # height of a map that is a line, and the least and the most it is wide


class Scale(NamedTuple):
    """A colour bar: a picture of its colours, its ends, what it shows, and what its ends mean."""

    source: str
    low: str
    high: str
    text: str
    ends: tuple[str, str]


class Row(NamedTuple):
    """The pictures of one sample: its class or name, its name, URLs of its input, or "", and of its maps, in words.

    `outline` is the border of its object, a path of SVG, or "".
    """

    name: str
    sample: str
    input: str
    source: str
    alt: str
    outline: str


class Sheet(NamedTuple):
    """The pictures of one network, a row per sample: a column per layer or, where maps are lines, a line.

    Attributes:
        heading: above it.
        title: what it shows.
        layers: their names.
        ends: of each layer's own scale, in print; empty where one scale serves all.
        masked: height and width of an input, in which borders are drawn.
        step: from one map to the next, in pixels of an input.
        size: width and height of a row's picture, pixels of the screen.
        tall: height of an input.
        rows: from the top.
    """

    heading: str
    title: str
    layers: tuple[str, ...]
    ends: list[str]
    masked: tuple[int, int]
    step: float
    size: tuple[int, int]
    tall: int
    rows: list[Row]


def sheets(content: Content, maps: Maps) -> dict[str, Sheet]:
    """Returns the sheets of maps, by the network's number and the metric, joined by a bar."""
    return {
        f"{i}|{metric}": _sheet(content, maps, entry, metric)
        for i, entry in enumerate(content.entries)
        for metric in content.metrics
        if entry.has(metric)
    }


def reconstructions(content: Content, maps: Maps) -> dict[str, Sheet]:
    """Returns the sheets of what decoders restore, by the network's number."""
    restored = {name for name, kind, _ in maps.strips if kind == RECONSTRUCTION}
    entries = {str(i): entry for i, entry in enumerate(content.entries) if entry.name in restored}
    return {number: _sheet(content, maps, entry, RECONSTRUCTION) for number, entry in entries.items()}


def scales(content: Content, maps: Maps) -> dict[str, Scale]:
    """Returns the colour bar of the maps of each metric."""
    bars = {}
    for metric, each in maps.scales.items():
        text, ends = f"{of_maps(metric)}, {content.unit}; ", page_scalars()[metric].ends
        if each.own:
            text += (
                "a scale for each layer, as layers differ by more than a map does: its ends are at the layer's name; "
                "colours of different layers do not compare"
            )
            bars[metric] = bar(each.whole, colours.SEQUENTIAL, text, ends)._replace(low="low", high="high")
        else:
            text += "one scale for all networks, layers and samples"
            bars[metric] = bar(each.whole, colours.SEQUENTIAL, text, ends)
    return bars


def whole_scales(content: Content, maps: Maps) -> dict[str, Scale]:
    """Returns the colour bar of one scale for all layers, of each metric whose layers have scales of their own."""
    return {
        metric: bar(each.whole, colours.SEQUENTIAL, f"{of_maps(metric)}, {content.unit}; one scale for all layers",
                    page_scalars()[metric].ends)
        for metric, each in maps.scales.items()
        if each.own
    }  # fmt: skip


def difference_scales(content: Content, maps: Maps) -> dict[str, Scale]:
    """Returns the colour bar of the differences of two networks' maps, for each metric that has some."""
    bars = {}
    for metric, limit in maps.limits.items():
        text = f"difference in {of_maps(metric)}, {content.unit}; one scale for all pairs"
        less, more = page_scalars()[metric].ends
        bars[metric] = bar((-limit, limit), colours.DIVERGING, text, (f"the first named {less}", f"it {more}"))
    return bars


def bar(limits: tuple[float, float], table: str, text: str, ends: tuple[str, str]) -> Scale:
    """Returns a colour bar: its ends in nats, Matplotlib's name of its colours, what it shows, what its ends mean."""
    picture = png(np.arange(NOTHING, dtype=np.uint8)[None].repeat(4, 0), colours.table(table))
    low, high = (formatted(value, ".2f") for value in limits)
    return Scale(picture, low, high, text, ends)


def _sheet(content: Content, maps: Maps, entry: Entry, metric: str) -> Sheet:
    """Returns the pictures of one network."""
    samples, (height, width) = maps.samples[entry.name], maps.sizes[entry.name]
    what = "Reconstructions" if metric == RECONSTRUCTION else of_maps(metric)
    rows, layers = [], maps.strips[entry.name, metric, samples[0]].layers
    for sample in samples:
        strip = maps.strips[entry.name, metric, sample]
        means = zip(layers, strip.means or [math.nan] * len(layers), strict=True)
        words = ", ".join(layer if math.isnan(mean) else f"{layer} {formatted(mean, '.2f')}" for layer, mean in means)
        small = maps.thumbnails.get((entry.name, sample), "")
        outline = maps.outlines.get((entry.name, sample), "")
        rows.append(Row(entry.row_names[sample], sample, small, strip.source, f"{what} of {sample}: {words}", outline))
    scales = maps.scales.get(metric)
    tall, length = round(CELL * height / width), max(SHORTEST, min(LONGEST, 12 * width))
    return Sheet(
        heading=entry.name if metric == RECONSTRUCTION else f"{what} of {entry.name}",
        title=f"{what} of {entry.name}, {_how_many(content, entry, samples)}",
        layers=layers,
        ends=[_ends(scales.layers[layer]) for layer in layers] if scales and scales.own else [],
        masked=(entry.run.plan.height, entry.run.plan.width),
        step=entry.run.plan.width * (width + GAP) / width,
        size=(CELL * len(layers), tall) if content.wide else (length, LINE * len(layers)),
        tall=tall,
        rows=rows,
    )


def _ends(scale: tuple[float, float]) -> str:
    """Returns the ends of a scale in print."""
    return "…".join(formatted(end, ".2f") for end in scale)


def about(content: Content, maps: Maps) -> list[str]:
    """Returns what was done to the maps, in words."""
    texts = [
        f"{entry.name}: {_how_many(content, entry, maps.samples[entry.name])}{_shrunk(content, entry, maps)}."
        for entry in content.entries
    ]
    for metric, scales in maps.scales.items():
        step = f"{'at most ' if scales.own else ''}{scales.step:.4f}"
        texts.append(
            f"Maps of {of_maps(metric)} are kept in 8 bits, a step being {step} {content.unit}; "
            f"{'each' if scales.own else 'the'} scale spans percentiles {CLIP[0]} to {CLIP[1]} of the values shown; "
            "what is outside has the colour of its end, also where maps are subtracted."
        )
    if content.wide:
        texts.append("Click a map, or press Enter on its row, to see it large.")
    return [content.layout.words(text) for text in texts]


def _how_many(content: Content, entry: Entry, samples: Sequence[str]) -> str:
    total = entry.table["sample"].nunique()
    if len(samples) == total:
        return f"all {total} samples" if total > 1 else "its one sample"
    among = " among those that all networks have" if len(content.entries) > 1 else ""
    return f"{len(samples)} of {total} samples, evenly spaced{among}"


def _shrunk(content: Content, entry: Entry, maps: Maps) -> str:
    plan, (height, width) = entry.run.plan, maps.sizes[entry.name]
    if (height, width) == ((plan.height, plan.width) if content.wide else (1, plan.width)):
        return ", every pixel"
    if content.wide:
        return f", maps averaged from {plan.height}×{plan.width} to {height}×{width} pixels"
    return f", maps averaged from {plan.width} to {width} pixels"
