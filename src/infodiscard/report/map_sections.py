"""The sections of the page about maps: their sheets, one over its image, differences, reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..plots.style import CLIP
from . import colours
from .content import Content, Entry
from .packed_maps import NOTHING, RECONSTRUCTION, Maps, png
from .rendering import formatted
from .scalars import of_maps, page_scalars
from .sections import Choice, metric_choice, network_choice, pair_choice

CELL = 88  # pixels of the screen from one map to the next; the style sheet knows it, too
LINE, SHORTEST, LONGEST = 16, 120, 900  # height of a map that is a line, and the least and the most it is wide


@dataclass(frozen=True)
class Scale:
    """A colour bar: a picture of its colours, its ends, what it shows, and what its ends mean."""

    source: str
    low: str
    high: str
    text: str
    ends: tuple[str, str]


@dataclass(frozen=True)
class Row:
    """The pictures of one sample.

    Attributes:
        name: its class, where that is known, or its own name.
        sample: its name.
        input: a data URL; "" without one.
        source: that of its maps.
        alt: what they show, in words.
    """

    name: str
    sample: str
    input: str
    source: str
    alt: str


@dataclass(frozen=True)
class Sheet:
    """The pictures of one network: a row per sample, a column per layer or, where maps are lines, a line.

    Attributes:
        key: of the network's number and the metric; a row's number follows.
        title: what it shows.
        layers: their names.
        position: what the places of a line are; "" where maps are pictures.
        size: width and height of a row's picture, pixels of the screen.
        tall: height of an input.
        rows: from the top.
    """

    key: str
    title: str
    layers: tuple[str, ...]
    position: str
    size: tuple[int, int]
    tall: int
    rows: list[Row]
    cell: int = CELL

    @property
    def inputs(self) -> bool:
        """Whether inputs are shown."""
        return any(row.input for row in self.rows)


@dataclass(frozen=True)
class Panel:
    """A sheet, its title and its colours, if they have a scale."""

    title: str
    sheet: Sheet
    scale: Scale | None


@dataclass(frozen=True)
class Sheets:
    """Sheets by what the lists say that choose among them, and what was done to the maps."""

    choices: list[Choice]
    panels: dict[str, Panel]
    about: list[str]


@dataclass(frozen=True)
class OverImage:
    """The map of one layer over its image: lists, the last layer's number, scales by metric, and whether of objects."""

    choices: list[Choice]
    last: int
    scales: dict[str, Scale]
    outlines: bool


@dataclass(frozen=True)
class MapDifferences:
    """The differences of maps, which the script draws: lists, and scales by metric."""

    choices: list[Choice]
    scales: dict[str, Scale]


def sheets(content: Content, maps: Maps) -> Sheets:
    """Returns the sheets of maps, one for each network and metric."""
    scales = _scales(content, maps)
    panels = {
        f"{number}|{metric}": Panel(
            f"{of_maps(metric)} of {entry.name}", _sheet(content, maps, number, metric), scales[metric]
        )
        for number, entry in enumerate(content.entries)
        for metric in content.metrics
        if entry.has(metric)
    }
    return Sheets([network_choice(content, content.entries), metric_choice(content)], panels, _about(content, maps))


def over_image(content: Content, maps: Maps) -> OverImage | None:
    """Returns the map of one layer over the image; `None` where maps are lines."""
    if not content.wide:
        return None
    first = content.entries[0]
    samples = [(str(number), sample) for number, sample in enumerate(maps.samples[first.name])]
    choices = [network_choice(content, content.entries), metric_choice(content), Choice("Sample", "sample", samples)]
    return OverImage(choices, len(first.summary) - 1, _scales(content, maps), bool(maps.outlines))


def map_differences(content: Content, maps: Maps) -> MapDifferences | None:
    """Returns the scales of the differences of two networks' maps; `None` if there are no such pairs."""
    scales = {}
    for metric, limit in maps.limits.items():
        text = f"difference in {of_maps(metric)}, {content.unit}; one scale for all pairs"
        less, more = page_scalars()[metric].ends
        scales[metric] = _scale((-limit, limit), colours.DIVERGING, text, (f"the first named {less}", f"it {more}"))
    return MapDifferences([pair_choice(content), metric_choice(content)], scales) if scales else None


def reconstructions(content: Content, maps: Maps) -> Sheets | None:
    """Returns the sheets of what decoders restore; `None` if there are none."""
    restored = {name for name, kind, _ in maps.strips if kind == RECONSTRUCTION}
    entries = [entry for entry in content.entries if entry.name in restored]
    numbers = {str(content.entries.index(entry)): entry.name for entry in entries}
    panels = {
        number: Panel(name, _sheet(content, maps, int(number), RECONSTRUCTION), None)
        for number, name in numbers.items()
    }
    return Sheets([network_choice(content, entries)], panels, []) if panels else None


def _scales(content: Content, maps: Maps) -> dict[str, Scale]:
    """Returns the colour bar of the maps of each metric."""
    after = f", {content.unit}; one scale for all networks, layers and samples"
    return {
        metric: _scale(ends, colours.SEQUENTIAL, of_maps(metric) + after, page_scalars()[metric].ends)
        for metric, ends in maps.scales.items()
    }


def _scale(limits: tuple[float, float], table: str, text: str, ends: tuple[str, str]) -> Scale:
    picture = png(np.arange(NOTHING, dtype=np.uint8)[None].repeat(4, 0), colours.table(table))
    low, high = (formatted(value, ".2f") for value in limits)
    return Scale(picture, low, high, text, ends)


def _sheet(content: Content, maps: Maps, number: int, metric: str) -> Sheet:
    """Returns the pictures of one network."""
    entry = content.entries[number]
    samples, names, (height, width) = maps.samples[entry.name], entry.row_names, maps.sizes[entry.name]
    what = "Reconstructions" if metric == RECONSTRUCTION else of_maps(metric)
    rows, layers = [], maps.strips[entry.name, metric, samples[0]].layers
    for sample in samples:
        strip = maps.strips[entry.name, metric, sample]
        means = zip(layers, strip.means or [None] * len(layers), strict=True)
        words = ", ".join(
            layer if mean is None or mean != mean else f"{layer} {formatted(mean, '.2f')}" for layer, mean in means
        )
        small = maps.thumbnails.get((entry.name, sample), "")
        rows.append(Row(names[sample], sample, small, strip.source, f"{what} of {sample}: {words}"))
    tall, length = round(CELL * height / width), max(SHORTEST, min(LONGEST, 12 * width))
    return Sheet(
        key=f"{number}|{metric}",
        title=f"{what} of {entry.name}, {_how_many(content, entry, samples)}",
        layers=layers,
        position="" if content.wide else f"{content.layout.dims[0]}, from the first",
        size=(CELL * len(layers), tall) if content.wide else (length, LINE * len(layers)),
        tall=tall,
        rows=rows,
    )


def _about(content: Content, maps: Maps) -> list[str]:
    """Returns what was done to the maps, in words."""
    texts = [
        f"{entry.name}: {_how_many(content, entry, maps.samples[entry.name])}{_shrunk(content, entry, maps)}."
        for entry in content.entries
    ]
    for metric, (low, high) in maps.scales.items():
        texts.append(
            f"Maps of {of_maps(metric)} are kept in 8 bits, a step being {(high - low) / 254:.4f} {content.unit}; the "
            f"scale spans percentiles {CLIP[0]} to {CLIP[1]} of the values shown, and what is outside has the colour "
            "of its end, also where maps are subtracted."
        )
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
