"""Maps for the page, packed: of some samples, one picture per network and sample with all layers side by side."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..core.metrics import METRICS
from ..plots.sheet import border
from ..plots.style import CLIP, as_pictures, ends, layer_scales, widened
from . import colours
from .content import Content, Entry

SAMPLES = 16  # most that are shown
BYTES = 2_500_000  # of all maps before they are packed
LEAST_SIDE = 32  # pixels: fewer samples are shown before maps get smaller than that
LONGEST = 1024  # positions of a map that is a line
GAP = 1  # pixels between maps
NOTHING = 255  # the code of what is not measured
RECONSTRUCTION = "reconstruction"
QUALITY = 85  # of JPEG
THUMBNAIL, INPUT = 64, 224  # most pixels of a side of an input: in the sheets, and under a map


@dataclass(frozen=True)
class Strip:
    """All maps of one sample of one network, as one picture.

    Attributes:
        source: a data URL.
        layers: whose maps they are, in order.
        means: of each map, before it was packed.
    """

    source: str
    layers: tuple[str, ...]
    means: tuple[float, ...]


class Scales(NamedTuple):
    """What the codes 0 and 254 of a metric's maps mean, nats/pixel.

    Attributes:
        whole: on the one scale of all layers.
        layers: layer → on its own, which its maps are kept on; the whole one for all, where that serves them all.
        own: whether layers have scales of their own.
    """

    whole: tuple[float, float]
    layers: dict[str, tuple[float, float]]
    own: bool

    @property
    def step(self) -> float:
        """The most that a step of the codes is, nats/pixel."""
        return max(high - low for low, high in self.layers.values()) / 254

    def of(self, layers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lower and the upper ends of layers, `layers × 1 × 1` each."""
        low, high = np.array([self.layers[layer] for layer in layers]).T[..., None, None]
        return low, high


@dataclass(frozen=True)
class Maps:
    """The maps of the page.

    Attributes:
        samples: entry's name → names of the samples shown.
        sizes: entry's name → height and width of one map on the page.
        scales: metric → what the codes of its maps mean.
        limits: metric → the largest difference between two networks that has a colour of its own.
        strips: (entry's name, metric or "reconstruction", sample) → the picture.
        thumbnails: (entry's name, sample) → data URL of the input, small.
        inputs: the same, larger.
        outlines: (entry's name, sample) → the object's border, a path of SVG in pixels of the input.
    """

    samples: dict[str, tuple[str, ...]]
    sizes: dict[str, tuple[int, int]]
    scales: dict[str, Scales]
    limits: dict[str, float]
    strips: dict[tuple[str, str, str], Strip]
    thumbnails: dict[tuple[str, str], str]
    inputs: dict[tuple[str, str], str]
    outlines: dict[tuple[str, str], str]


def pack(content: Content) -> Maps:
    """Returns the maps of a page; they are read a layer at a time, and of the samples shown only."""
    layers = sum(len(entry.summary) * sum(map(entry.has, content.metrics)) for entry in content.entries)
    most = max(1, min(SAMPLES, BYTES // (layers * LEAST_SIDE**2)))
    samples = _chosen(content.entries, most)
    area = BYTES / max(1, sum(len(entry.summary) * len(samples[entry.name]) for entry in content.entries) * len(
        content.metrics))  # fmt: skip
    sizes = {entry.name: _size(entry, area) for entry in content.entries}
    charts: dict[tuple[str, str], np.ndarray] = {
        (entry.name, metric): _charts(entry, f"{metric}_map", samples[entry.name], sizes[entry.name])
        for metric in content.metrics
        for entry in content.entries
        if entry.has(metric)
    }
    scales = {metric: _scales(content, charts, metric) for metric in content.metrics}
    strips = {}
    for (name, metric), chart in charts.items():
        for row, sample in enumerate(samples[name]):
            strips[name, metric, sample] = _strip(content.entry(name), metric, sample, chart[:, row], scales[metric])
    images = content.entries if content.wide else []
    for entry in images:
        strips |= _restored(entry, samples[entry.name], sizes[entry.name])
    thumbnails, inputs = (_inputs(images, samples, side) for side in (THUMBNAIL, INPUT))
    outlines = {key: path for entry in images for key, path in _outlines(entry, samples[entry.name]).items()}
    return Maps(samples, sizes, scales, _limits(content, charts, samples), strips, thumbnails, inputs, outlines)


def _chosen(entries: Sequence[Entry], most: int) -> dict[str, tuple[str, ...]]:
    """Returns the samples to show of each entry: evenly spaced among those of all, or its own where none are shared."""
    own = {entry.name: list(dict.fromkeys(entry.table["sample"])) for entry in entries}
    shared = set.intersection(*map(set, own.values()))
    chosen = {}
    for name, measured in own.items():
        pool = [sample for sample in measured if sample in shared] or measured
        places = np.unique(np.linspace(0, len(pool) - 1, min(most, len(pool))).round().astype(int))
        chosen[name] = tuple(pool[place] for place in places)
    return chosen


def _size(entry: Entry, area: float) -> tuple[int, int]:
    """Returns the height and width of a map that is to have at most `area` pixels."""
    plan = entry.run.plan
    height, width = (plan.height, plan.width) if len(plan.layout.dims) == 2 else (1, plan.width)
    if height == 1:
        return 1, max(1, min(width, LONGEST, int(area)))
    shrink = min(1.0, math.sqrt(area / (height * width)))
    return max(1, int(height * shrink)), max(1, int(width * shrink))


def _charts(entry: Entry, variable: str, samples: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Returns `layers × samples × height × width` in the page's size."""
    data = entry.run.dataset[variable].sel(network=entry.network)
    layout = entry.run.plan.layout
    rows = []
    for layer in entry.summary.index:
        chart = data.sel(layer=layer, sample=list(samples)).transpose("sample", *layout.dims).values
        rows.append(shrunk(layout.unchart(chart), *size))
    return np.stack(rows)


def shrunk(charts: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shrinks `… × H × W` to `… × height × width`, each value the mean of what it covers; NaN for nothing measured."""
    if charts.shape[-2:] == (height, width):
        return charts
    known = np.isfinite(charts)
    total, count = np.where(known, charts, 0), known.astype(np.float32)
    for axis, size in ((-2, height), (-1, width)):
        starts = np.arange(size) * charts.shape[axis] // size
        total, count = (np.add.reduceat(each, starts, axis=axis) for each in (total, count))
    with np.errstate(invalid="ignore"):
        return total / count


def _scales(content: Content, charts: Mapping[tuple[str, str], np.ndarray], metric: str) -> Scales:
    """Returns the scales of a metric's maps: one for all, or one for each layer, the same in all networks."""
    parts: dict[str, list[np.ndarray]] = {}
    for (name, own), chart in charts.items():
        if own == metric:
            for layer, each in zip(content.entry(name).summary.index, chart, strict=True):
                parts.setdefault(layer, []).append(each[np.isfinite(each)])
    by_layer = {layer: np.concatenate(each) for layer, each in parts.items()}
    values = np.concatenate(list(by_layer.values()))
    whole = widened(*(float(end) for end in np.percentile(values, CLIP))) if values.size else (0.0, 1.0)
    own_scales = layer_scales(by_layer)
    return Scales(whole, dict.fromkeys(by_layer, whole) | own_scales, bool(own_scales))


def _limits(
    content: Content, charts: dict[tuple[str, str], np.ndarray], samples: dict[str, tuple[str, ...]]
) -> dict[str, float]:
    """Returns the ends of the scales of differences."""
    limits: dict[str, float] = {}
    rows = {entry.name: list(entry.summary.index) for entry in content.entries}
    for pair in content.pairs.to_dict("records"):
        a, b, metric = pair["a"], pair["b"], pair["metric"]
        left, right = charts.get((a, metric)), charts.get((b, metric))
        if left is None or right is None or left.shape[2:] != right.shape[2:] or samples[a] != samples[b]:
            continue
        difference = right[rows[b].index(pair["layer_b"])] - left[rows[a].index(pair["layer_a"])]
        far = np.abs(difference[np.isfinite(difference)])
        if far.size:
            limits[metric] = max(limits.get(metric, 0.05), float(np.percentile(far, CLIP[1])))
    return limits


def _strip(entry: Entry, metric: str, sample: str, charts: np.ndarray, scales: Scales) -> Strip:
    """Returns the maps of one sample, `layers × height × width`, as an indexed PNG: side by side, lines one below."""
    low, high = scales.of([str(layer) for layer in entry.summary.index])
    with np.errstate(invalid="ignore"):
        codes = np.where(np.isfinite(charts), ((charts - low) / (high - low)).clip(0, 1) * 254, NOTHING)
    codes = codes.round().astype(np.uint8)
    if charts.shape[1] == 1:
        picture = codes[:, 0]
    else:
        picture = np.concatenate(list(np.pad(codes, ((0, 0), (0, 0), (0, GAP)), constant_values=NOTHING)), axis=1)
    table = entry.table
    rows = table[table["sample"] == sample].set_index("layer")[metric]
    means = tuple(float(rows.get(layer, math.nan)) for layer in entry.summary.index)
    return Strip(png(picture, colours.table(colours.SEQUENTIAL)), tuple(entry.summary.index), means)


def png(codes: np.ndarray, table: np.ndarray) -> str:
    """Returns a picture of codes 0 … 254 into a table of colours, 255 being transparent, as a data URL."""
    from PIL import Image

    picture = Image.frombytes("P", codes.shape[::-1], codes.tobytes())
    picture.putpalette(np.concatenate([table, [[0, 0, 0]]]).astype(np.uint8).tobytes())
    return _url(picture, "PNG", transparency=NOTHING, optimize=False)


def _restored(entry: Entry, samples: Sequence[str], size: tuple[int, int]) -> dict[tuple[str, str, str], Strip]:
    """Returns the reconstructions of each sample, side by side."""
    data = entry.run.dataset
    if RECONSTRUCTION not in data or not any(
        METRICS[metric].needs_decoders and entry.has(metric) for metric in entry.run.metrics
    ):
        return {}
    chosen = data[RECONSTRUCTION].sel(network=entry.network, layer=list(entry.summary.index), sample=list(samples))
    limits = ends(data["image"].sel(sample=list(samples)).values) if "image" in data else (0.0, 1.0)
    strips = {}
    layers = tuple(map(str, entry.summary.index))
    for sample in samples:
        charts = chosen.sel(sample=sample).transpose("layer", "channel", "y", "x").values
        tiles = _bytes(shrunk(charts, *size), limits)
        wide = np.concatenate([np.pad(tile, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for tile in tiles], axis=1)
        strips[entry.name, RECONSTRUCTION, sample] = Strip(_picture(wide), layers, ())
    return strips


def _inputs(entries: Sequence[Entry], samples: dict[str, tuple[str, ...]], side: int) -> dict[tuple[str, str], str]:
    """Returns the inputs, of at most `side` pixels a side."""
    inputs: dict[tuple[str, str], str] = {}
    for entry in entries:
        data, shown = entry.run.dataset, list(samples[entry.name])
        if "image" not in data:
            continue
        images = data["image"].sel(sample=shown).transpose("sample", "channel", "y", "x").values
        shrink = min(1.0, side / max(images.shape[2:]))
        height, width = (max(1, round(length * shrink)) for length in images.shape[2:])
        tiles = _bytes(shrunk(images, height, width), ends(images))
        inputs |= {(entry.name, sample): _picture(tile) for sample, tile in zip(shown, tiles, strict=True)}
    return inputs


def _outlines(entry: Entry, samples: Sequence[str]) -> dict[tuple[str, str], str]:
    """Returns the border of each sample's object as a path."""
    data, outlines = entry.run.dataset, {}
    for sample in samples if "mask" in data else ():
        lines = [line + 0.5 for line in border(data["mask"].sel(sample=sample).values)]
        outlines[entry.name, sample] = "".join(f"M{a:g},{b:g}L{c:g},{d:g}" for (a, b), (c, d) in lines)
    return outlines


def _bytes(images: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Converts `n × channels × H × W` to `n × H × W × 3` bytes."""
    shown = as_pictures(images, limits)
    shown = shown if shown.ndim == 4 else np.repeat(shown[..., None], 3, -1)
    return (shown * 255).round().astype(np.uint8)


def _picture(pixels: np.ndarray) -> str:
    """Returns `H × W × 3` bytes as a data URL of a JPEG."""
    from PIL import Image

    return _url(Image.fromarray(pixels), "JPEG", quality=QUALITY, subsampling=0)


def _url(picture: Any, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{b64encode(file.getvalue()).decode('ascii')}"
