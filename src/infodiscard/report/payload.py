"""Data for the page's script: what it needs beyond what is on the page."""

from __future__ import annotations

import math
from typing import Any

from . import colours
from .content import Content
from .packed_maps import Maps
from .scalars import of_maps
from .svg_curves import points


def payload(content: Content, maps: Maps) -> dict[str, Any]:
    """Returns the data as JSON has it; numbers that are none are null."""
    pictures = list(dict.fromkeys(maps.inputs.values()))  # the networks of a run share them
    return _finite(
        {
            "unit": content.unit,
            "layers": content.layers,
            "curves": _curves(content),
            "entries": _entries(content, maps, {url: place for place, url in enumerate(pictures)}),
            "pairs": _pairs(content),
            "pictures": pictures,
            "scales": {metric: scales._asdict() for metric, scales in maps.scales.items()},
            "limits": maps.limits,
            "diverging": colours.table(colours.DIVERGING).tolist(),
            "metrics": {metric: of_maps(metric) for metric in content.metrics},
            "wide": content.wide,
        }
    )


def _curves(content: Content) -> dict[str, list[list[str | None]]]:
    """Returns scalar → by network, the points in words."""
    return {
        scalar.name: [
            [point and point.words(content.unit) for point in points(entry, scalar.name, content.layers)]
            for entry in content.entries
        ]
        for scalar in content.scalars
    }


def _entries(content: Content, maps: Maps, places: dict[str, int]) -> list[dict[str, Any]]:
    """Returns the networks; `places`: of the pictures, by their URL."""
    entries = []
    for entry in content.entries:
        name, samples = entry.name, maps.samples[entry.name]
        means = {
            metric: [maps.strips[name, metric, sample].means for sample in samples]
            for metric in content.metrics
            if entry.has(metric)
        }
        entries.append(
            {
                "name": name,
                "layers": list(entry.summary.index),
                "samples": samples,
                "names": [entry.row_names[sample] for sample in samples],
                "size": maps.sizes[name],
                "means": means,
                "inputs": [places.get(maps.inputs.get((name, sample), "")) for sample in samples],
                "outlines": [maps.outlines.get((name, sample)) for sample in samples],
                "full": [entry.run.plan.height, entry.run.plan.width],
            }
        )
    return entries


def _pairs(content: Content) -> list[dict[str, Any]]:
    """Returns the pairs: the numbers of both networks, and each layer with its place in both."""
    names, pairs = [entry.name for entry in content.entries], []
    for a, b in content.compared:
        rows = content.pairs[(content.pairs["a"] == a) & (content.pairs["b"] == b)]
        left, right = (list(content.entry(name).summary.index) for name in (a, b))
        layers = {
            layer: (layer, left.index(first), right.index(second))
            for layer, first, second in zip(rows["layer"], rows["layer_a"], rows["layer_b"], strict=True)
        }
        pairs.append({"a": names.index(a), "b": names.index(b), "layers": list(layers.values())})
    return pairs


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
