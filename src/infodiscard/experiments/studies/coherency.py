"""Coherency (the paper's Fig. 1): a rescaling of weights that changes no output, seen by SID, RU and saliency maps."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from ...analysis.attribution import BASELINES
from ...analysis.display import shown
from ...errors import InfodiscardError
from ...networks.network import Network
from ..figures import finish, panels
from ..findings import Findings, layer_means
from ..lab import Lab, TrainedNetwork
from ..verdicts import Claim, direction, equality

NAME, TITLE = "coherency", "does a rescaling that changes no output change what is measured?"
ARCHITECTURE = "vgg16"
FACTOR = 4.0
STAGES = ("features.5", "features.12", "features.22", "features.32", "features.42")  # the last ReLU of each
CAM_LAYER = "features.43"  # the only one that a class activation map is defined for
RU_LAYER = "features.22"
MARGIN = 0.02  # nats/pixel, the solver's own tolerance
MOVED = 0.05  # of log₂ of a map's magnitude
STYLES: dict[str, dict[str, Any]] = {
    "before": {"ls": "-", "marker": "o", "ms": 5},
    "after": {"ls": "--", "marker": "x"},
}


def run(lab: Lab) -> Findings:
    """Rescales the layers around each stage's last ReLU, one stage at a time, and measures before and after."""
    before = lab.train_plain(ARCHITECTURE, 0)
    sid_before = lab.sid(before, STAGES)
    ru_before = lab.ru(before, [RU_LAYER])
    frames = [sid_before.to_dataframe().assign(state="before"), ru_before.to_dataframe().assign(state="before")]
    tables = [layer_means(before, sid_before, ru_before, extra={"state": "before"})]
    magnitudes = []
    for layer in STAGES:
        after = replace(before, name=f"{ARCHITECTURE} rescaled at {layer}", network=rescaled(before.network, layer))
        runs = [lab.sid(after, [layer])]
        if layer == RU_LAYER:
            runs.append(lab.ru(after, [layer]))
        tables.append(layer_means(after, *runs, extra={"state": "after"}))
        frames += [each.to_dataframe().assign(state="after") for each in runs]
        magnitudes.append(_magnitudes(lab, before, after, layer))
    images, maps = pd.concat(frames, ignore_index=True), pd.concat(magnitudes, ignore_index=True)
    table = pd.concat([*tables, _means(maps, before)], ignore_index=True)
    notes = (
        "Grad-CAM weighs a feature by its gradient, Σ_k mean(∂y/∂f_k) f_k: with f/4 and 4 ∂y/∂f the product is the "
        "same. CAM weighs the last feature by the weights of the linear layer, and 4 w · f/4 is the same too. Only "
        "maps of the gradient alone can move, by the factor itself.",
        "A factor that is a power of two changes no bit of a floating-point mantissa, so here SID and RU stay to the "
        "last digit.",
    )
    return Findings(NAME, TITLE, _claims(images, maps), table, {"coherency": _figure(images, maps)}, notes)


def rescaled(network: Network, layer: str, factor: float = FACTOR) -> Network:
    """Returns a copy with the affine layer before a ReLU divided by `factor` and the one after it multiplied.

    Args:
        network: with a sequence `features` of convolutions, perhaps batch normalisations, ReLUs and poolings, and a
            `classifier` that begins with a linear layer.
        layer: address of the ReLU, `features.N`.
        factor: above 0.

    Returns:
        A network with the same output.

    Raises:
        InfodiscardError: the layer is not such a ReLU.
    """
    module: Any = copy.deepcopy(network.module)
    parts = list(getattr(module, "features", []))
    place, _, number = layer.partition(".")
    if place != "features" or not number.isdigit() or int(number) >= len(parts):
        raise InfodiscardError(f"There is no '{layer}' to rescale at; name a ReLU within 'features', as features.5.")
    at = int(number)
    if not isinstance(parts[at], nn.ReLU):
        raise InfodiscardError(f"'{layer}' is a {type(parts[at]).__name__}; name a ReLU, as features.5.")
    before = list(parts[at - 1].parameters()) if at else []
    following = (*parts[at + 1 :], *module.classifier.modules())
    second = next((each for each in following if list(each.parameters(recurse=False))), None)
    if not before or not isinstance(second, nn.Conv2d | nn.Linear):
        raise InfodiscardError(
            f"'{layer}' does not lie between a layer with weights and a convolution or linear layer; name a ReLU that "
            "does."
        )
    with torch.no_grad():
        for parameter in before:
            parameter /= factor
        second.weight *= factor
    return replace(network, module=module)


def _magnitudes(lab: Lab, before: TrainedNetwork, after: TrainedNetwork, layer: str) -> pd.DataFrame:
    """Returns the mean absolute value of each map of each image, before and after."""
    inputs = before.network.normalise(lab.images.images)
    labels = lab.images.labels
    assert labels is not None
    rows = []
    for measure, method in BASELINES.items():
        if measure == "cam" and layer != STAGES[-1]:
            continue
        where = CAM_LAYER if measure == "cam" else layer
        pair = [method(each.network, where, inputs, labels).abs().flatten(1).mean(1) for each in (before, after)]
        for state, values in zip(("before", "after"), pair, strict=True):
            for name, value in zip(lab.images.names, values.tolist(), strict=True):
                rows.append({"measure": measure, "layer": layer, "sample": name, "state": state, "value": value})
    return pd.DataFrame(rows)


def _means(maps: pd.DataFrame, trained: TrainedNetwork) -> pd.DataFrame:
    groups = maps.groupby(["measure", "layer", "state"], sort=False)["value"]
    table = groups.agg(["mean", "sem", "size"]).reset_index().rename(columns={"sem": "se", "size": "n"})
    return table.assign(network=trained.name, seed=trained.seed, position=table["layer"].map(STAGES.index))


def _claims(images: pd.DataFrame, maps: pd.DataFrame) -> tuple[Claim, ...]:
    claims = []
    for measure in ("sid", "ru"):
        value = shown(measure, images)
        wide = images.dropna(subset=[value]).pivot_table(index=["sample", "layer"], columns="state", values=value)
        largest = (wide["after"] - wide["before"]).abs().dropna().groupby("sample").max()
        claims.append(
            equality(f"{measure.upper()} stays.", largest.tolist(), MARGIN,
                     f"largest change of {measure.upper()} over layers", of="images")
        )  # fmt: skip
    for measure, name in (
        ("cam", "CAM"),
        ("grad_cam", "Grad-CAM"),
        ("gradient", "The gradient map"),
        ("jacobian", "The Jacobian map"),
    ):
        wide = maps[maps["measure"] == measure].pivot_table(index=["sample", "layer"], columns="state", values="value")
        wide = wide[(wide > 0).all(axis=1)]  # Grad-CAM may be zero everywhere
        change = (wide["after"] / wide["before"]).map(math.log2).abs().groupby("sample").mean()
        claims.append(
            direction(f"{name} moves.", change.tolist(), "absolute log₂ of its magnitude after by before",
                      above=MOVED, unit="", of="images")
        )  # fmt: skip
    return tuple(claims)


def _figure(images: pd.DataFrame, maps: pd.DataFrame) -> Figure:
    """Draws the magnitude of each measure by layer, before and after."""
    names = {
        "sid": "SID",
        "ru": "RU",
        "gradient": "gradient map",
        "jacobian": "Jacobian map",
        "grad_cam": "Grad-CAM",
        "cam": "CAM",
    }
    figure, axes = panels(len(names), 2.6, 2.8)
    for ax, (measure, title) in zip(axes, names.items(), strict=True):
        own = maps[maps["measure"] == measure]
        if own.empty:
            value = shown(measure, images)
            own = images.dropna(subset=[value]).rename(columns={value: "value"})
        for state, style in STYLES.items():
            mean = own[own["state"] == state].groupby("layer")["value"].mean()
            place = [STAGES.index(layer) + 1 for layer in mean.index]
            order = np.argsort(place)
            ax.plot(np.array(place)[order], mean.to_numpy()[order], label=state, **style)
        ax.set_xticks(range(1, len(STAGES) + 1))
        ax.set_xlabel("stage", fontsize=8)
        finish(ax, measure, title)
        ax.set_ylabel("nats/pixel" if measure in ("sid", "ru") else "mean of |map|", fontsize=8)
    axes[0].legend(fontsize=7, frameon=False)
    return figure
