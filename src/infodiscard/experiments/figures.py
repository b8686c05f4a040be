"""Curves by layer, a line per network: mean over its trainings, with every training as a faint dot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.metrics import corrected
from ..plots.palette import network_styles
from ..plots.style import axis_label
from ..results.plan import merged


def panels(count: int, width: float = 4.2, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """Returns a figure with `count` axes in a row."""
    figure = Figure(figsize=(width * count, height), dpi=110, layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def curves(
    ax: Axes, table: pd.DataFrame, measure: str, networks: Sequence[str], title: str = "", by: str = "layer"
) -> None:
    """Draws a measure of some networks by layer.

    Bars are standard errors: over trainings where there are several, else over images.

    Args:
        ax: to draw in.
        table: of `layer_means`.
        measure: `sid`, `ru`, `concentration`, ….
        networks: which, in the order of colours.
        title: above it.
        by: `layer`, or `position` for networks whose layers have other names.
    """
    rows = table[(table["measure"] == measure) & table["network"].isin(networks)]
    layers: list[Any] = ordered_layers(rows, networks) if by == "layer" else sorted(set(rows["position"]))
    place = {layer: x for x, layer in enumerate(layers)}
    styles = network_styles(networks)
    for number, network in enumerate(networks):
        own = rows[rows["network"] == network]
        if own.empty:
            continue
        colour, style = styles[network]
        groups = own.groupby(by, sort=False)
        mean = groups["mean"].mean()
        several = groups["mean"].count().max() > 1
        error = groups["mean"].sem() if several else groups["se"].mean()
        shift = 0.2 * (number / max(1, len(networks) - 1) - 0.5) if len(networks) > 1 else 0.0  # bars side by side
        x = np.array([place[item] for item in mean.index]) + shift
        order = np.argsort(x)
        ax.errorbar(x[order], mean.to_numpy()[order], error.fillna(0).to_numpy()[order], color=colour, ls=style, lw=1.5,
                    marker="o", ms=3.5, capsize=2, label=network, zorder=3)  # fmt: skip
        if several:
            ax.scatter([place[item] + shift for item in own[by]], own["mean"], s=7, color=colour, alpha=0.35, lw=0)
    if by == "layer":
        ax.set_xticks(range(len(layers)), layers, rotation=35, ha="right", rotation_mode="anchor", fontsize=7)
    else:
        ax.set_xticks(range(len(layers)), [str(place + 1) for place in layers])
        ax.set_xlabel("measured layer, from the input", fontsize=8)
    ax.set_xlim(-0.6, len(layers) - 0.4)
    finish(ax, shown_variable(rows, measure), title)


def shown_variable(rows: pd.DataFrame, measure: str) -> str:
    """Returns the variable of a measure that rows of `layer_means` show, by the name that labels have for it."""
    better = corrected(measure) if "basis" in rows and (rows["basis"] == "corrected").any() else None
    return better or measure


def finish(ax: Axes, measure: str, title: str) -> None:
    """Labels axes with a variable, and removes what is not needed."""
    ax.set_ylabel(axis_label(measure), fontsize=8)
    if title:
        ax.set_title(title, fontsize=9, loc="left")
    if "concentration" in measure:
        ax.axhline(0, color="#888888", lw=0.8, zorder=1)
    ax.tick_params(labelsize=7)
    ax.grid(axis="y", color="#dddddd", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def ordered_layers(rows: pd.DataFrame, networks: Sequence[str]) -> list[str]:
    """Returns the layers of all networks in one execution order."""
    orders = []
    for network in networks:
        own = rows[rows["network"] == network].sort_values("position")
        orders.append(tuple(dict.fromkeys(own["layer"])))
    return list(merged([order for order in orders if order]))
