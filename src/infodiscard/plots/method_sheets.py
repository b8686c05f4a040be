"""Maps of a run beside those of Captum's methods, for the same network and images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..analysis import attribution
from ..errors import InfodiscardError, nearest
from ..networks.network import Network, weights_hash
from .palette import DIFFERENCE_MAP, MAP, SALIENCY_MAP
from .sheet import chosen_data, row_names
from .style import axis_label, colour_scale, elide, paper_width, saved, short_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results.run import StoredRun

METHODS = {
    "saliency": "Saliency",
    "integrated_gradients": "Integrated\nGradients",
    "occlusion": "Occlusion",
    "grad_cam": "Grad-CAM",
}
"""What Captum's methods are called here → in print."""
SIGNED = {"integrated_gradients", "occlusion"}
SIGNED_LABEL = "no common unit\npurple against,\nbrown for the class"
LABEL = "no common unit\n↑ matters more\nto the class"
ROWS = 4


def method_sheet(
    run: StoredRun,
    network: Network,
    samples: Sequence[str | int] | None = None,
    layers: Sequence[str] | None = None,
    methods: Sequence[str] = tuple(METHODS),
    targets: Sequence[int] | None = None,
    metric: str = "sid",
    path: str | Path | None = None,
) -> Figure:
    """Draws the maps of some layers and, to their right, what Captum's methods say of the same images and network.

    The maps of the layers share one scale in nats per pixel, on which high means *discarded*. Every other method has a
    scale of its own, from 0 (or about 0, where it has a sign) to the largest value of its column, on which high means
    that the pixel *matters to the class*. These have no unit in common with each other or with SID.

    Args:
        run: measured on images in [0, 1], of which it holds pictures.
        network: the one that was measured, under its name in the run, with the normalisation.
        samples: names or positions; by default the first 4 that have anything measured.
        layers: of those measured; by default all.
        methods: of `METHODS`, in the order of the columns. Grad-CAM is of the last layer of the run whose feature has
            maps; `grad_cam:LAYER` names another.
        targets: the class to explain of each sample; by default what the network predicts.
        metric: one that the run measured.
        path: where to write the picture; the ending says the format.

    Raises:
        InfodiscardError: another network or other images than were measured, an unknown layer, method or sample, or
            Captum is missing.
    """
    chosen = {name: layer for name, _, layer in (method.partition(":") for method in methods)}
    if unknown := [name for name in chosen if name not in METHODS]:
        raise InfodiscardError(f"There is no method '{unknown[0]}'; choose from {', '.join(map(repr, METHODS))}.")
    data = chosen_data(run, network.name, samples, metric, f"{metric}_map")
    data = data if samples is not None else data.isel(sample=slice(ROWS))
    known = [str(name) for name in data["layer"].values]
    for layer in layers or ():
        if layer not in known:
            raise InfodiscardError(f"Layer '{layer}' is not measured; the nearest are {nearest(layer, known)}.")
    inputs = _inputs(run, network, [str(name) for name in data["sample"].values])
    classes = _classes(network, inputs, targets)
    method_maps = {
        name: _map_of(name, network, inputs, classes, layer or None, known) for name, layer in chosen.items()
    }
    data = data.sel(layer=list(layers or known))
    maps = data[f"{metric}_map"].transpose("sample", "layer", "y", "x").values
    pictures = np.moveaxis(data["image"].values, 1, -1)
    label = axis_label(metric).replace("\n", ", ")
    shown = short_names([str(name) for name in data["layer"].values])
    rows = row_names(run, [str(name) for name in data["sample"].values])
    return saved(_drawn(pictures, maps, method_maps, rows, shown, label, elide(network.name, 60)), path)


def _inputs(run: StoredRun, network: Network, samples: list[str]) -> torch.Tensor:
    """Returns the images as the network takes them; raises InfodiscardError unless both were measured."""
    hashes, data = run.plan.hashes, run.dataset
    if hashes.get(f"weights/{network.name}") not in (None, weights_hash(network.module)):
        raise InfodiscardError(f"The weights of '{network.name}' are not those that were measured; give that network.")
    if run.plan.normalisation.get(network.name) not in (None, network.normalisation(run.plan.channels)):
        raise InfodiscardError(f"'{network.name}' was measured with another mean or std; give the network as it was.")
    whole = data["image"].values if "image" in data else None
    if whole is None or hashes.get("images") not in (None, hashlib.sha256(whole.tobytes()).hexdigest()):
        raise InfodiscardError(
            "This run does not hold the images as they were measured, in [0, 1]; measure a Network that knows its "
            "normalisation on such images."
        )
    return network.normalise(torch.from_numpy(data["image"].sel(sample=samples).values))


def _classes(network: Network, inputs: torch.Tensor, targets: Sequence[int] | None) -> torch.Tensor:
    """Returns the classes to explain: those given, or those that the network predicts."""
    if targets is not None:
        return torch.as_tensor(list(targets), dtype=torch.int64)
    with torch.no_grad():
        return network.module(inputs.clone()).argmax(1)


def _map_of(
    method: str,
    network: Network,
    inputs: torch.Tensor,
    classes: torch.Tensor,
    layer: str | None,
    layers: list[str],
) -> np.ndarray:
    """Returns the maps of one method, `n × H × W`."""
    if method != "grad_cam":
        of_input: Callable[..., torch.Tensor] = getattr(attribution, method)
        return of_input(network, inputs, classes).numpy()
    for name in [layer] if layer is not None else reversed(layers):
        try:
            maps = attribution.grad_cam(network, name, inputs, classes)
        except InfodiscardError:
            if name in (layer, layers[0]):
                raise
            continue  # a layer without positions, such as the logits
        return attribution.upsampled(maps, inputs.shape[2:]).numpy()
    raise AssertionError("a run has at least one layer")


def _drawn(
    pictures: np.ndarray,
    maps: np.ndarray,
    found: dict[str, np.ndarray],
    rows: list[str],
    layers: list[str],
    label: str,
    title: str,
) -> Figure:
    """Draws input, layers and methods, and under each scale's columns its bar."""
    from matplotlib.figure import Figure

    count, paper = 1 + len(layers) + len(found), paper_width()
    cell = 1.15 if paper is None else paper / (count + 0.6)
    figure = Figure(figsize=(cell * count + 0.6 * cell, cell * len(rows) + 1.5), dpi=150, layout="constrained")
    axes = figure.subplots(len(rows), count, squeeze=False)
    headings = ["input", *layers, *(METHODS[name] for name in found)]
    for ax, heading in zip(axes[0], headings, strict=True):
        ax.set_title(heading, fontsize=7)
    for ax, name in zip(axes[:, 0], rows, strict=True):
        ax.set_ylabel(name, fontsize=7)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for ax, picture in zip(axes[:, 0], pictures, strict=True):
        ax.imshow(picture if picture.shape[-1] == 3 else picture[..., 0], cmap="gray", vmin=0, vmax=1)
    norm, extend = colour_scale(maps)
    sid = axes[:, 1 : 1 + len(layers)]
    for own, row in zip(sid, maps, strict=True):
        for ax, chart in zip(own, row, strict=True):
            image = ax.imshow(chart, cmap=MAP, norm=norm)
    clipped = "" if extend == "neither" else "\nclipped at percentiles 1 and 99"
    _bar(figure, image, sid, label + clipped, extend)
    for column, (name, values) in zip(axes[:, 1 + len(layers) :].T, found.items(), strict=True):
        top = float(np.abs(values).max()) or 1.0
        low, colours = (-top, DIFFERENCE_MAP) if name in SIGNED else (0.0, SALIENCY_MAP)
        for ax, chart in zip(column, values, strict=True):
            image = ax.imshow(chart, cmap=colours, vmin=low, vmax=top)
        _bar(figure, image, column, SIGNED_LABEL if name in SIGNED else LABEL)
    figure.suptitle(title, x=0.01, ha="left", fontsize=8)
    return figure


def _bar(figure: Figure, image: Any, axes: np.ndarray, label: str, extend: str = "neither") -> None:
    """Draws the colour bar under some columns."""
    bar = figure.colorbar(image, ax=axes.ravel().tolist(), location="bottom", extend=extend, aspect=10, pad=0.02)
    bar.set_label(label, fontsize=6)
    bar.ax.tick_params(labelsize=6)
    bar.ax.locator_params(nbins=3)
