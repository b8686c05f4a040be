"""Curves by layer: the mean of a metric at each layer of a run's networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.display import AS_REACHED, mean_error, plain, shown
from ..analysis.statistics import half_width
from ..analysis.trust import diagnostics
from ..core.metrics import METRICS, SID, metric_of
from .palette import GREY, network_styles
from .style import axis_label, elide, measured, paper_width, saved, short_names

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..core.settings import Settings
    from ..results.run import StoredRun

SETTLED = 0.95  # a mean is drawn hollow if fewer of its samples converged


def identity_level(settings: Settings) -> float | None:
    """Returns the SID of a layer that passes its input on unchanged, ½ log(ατ) + ½ log 2πe, in nats/pixel.

    No linear layer discards less.
    """
    return SID.at_identity(settings.alpha, settings.tau)


def layer_curve(
    run: StoredRun, metric: str | None = None, path: str | Path | None = None, ax: Axes | None = None
) -> Figure:
    """Draws `metric` by layer in execution order, one line per network, with 95 % intervals (Student's
    t) over the samples.

    SID and its concentration are drawn as corrected where the run has corrected values, else as reached, and the axis
    says so; intervals of corrected means hold the error of the correction. Faint dots are single samples, hollow ones
    those that did not converge; a mean is hollow if more than 5 % of its samples did not. A further panel shows the
    concentration if the run has it; a dashed line, an identity layer's SID; thin dotted lines, the floor of RU.

    Args:
        run: a run with something measured.
        metric: a scalar variable of the run, or `sid_reached` for SID as the search reached it; by default every
            metric of the run, a panel each.
        path: where to write the picture; the ending says the format.
        ax: Matplotlib's axes to draw in, one panel: `metric`, or the first that the run has; by default a figure is
            made. Its size, its place and its title stay yours.

    Returns:
        The figure, which pyplot knows nothing of; that of `ax` where it was given.

    Raises:
        InfodiscardError: nothing is measured yet, there is no such variable, or the file cannot be written.
    """
    panels = list(run.metrics) if metric is None else [metric]
    panels = panels if ax is None else panels[:1]
    for panel in panels:
        table = measured(run, plain(panel))
    for name in dict.fromkeys(map(_concentration, panels) if ax is None else ()):
        if name is not None and name not in panels and plain(name) in table and table[plain(name)].notna().any():
            panels.append(name)
    layers = [layer for layer in run.plan.union() if layer in set(table["layer"])]
    names = short_names(layers)
    if ax is None:
        axes, slanted = _panels(len(panels), names)
    else:
        axes, slanted = [ax], _slanted(ax.get_window_extent().width / ax.figure.dpi / len(layers), names)
    for each, panel in zip(axes, panels, strict=True):
        _curves(each, run, table, panel, layers)
    last = axes[-1]
    last.set_xticks(range(len(layers)), names, rotation=60 if slanted else 0, fontsize=8)
    if slanted:
        for label in last.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    last.set_xlim(-0.6, len(layers) - 0.4)
    last.set_xlabel("layer, in execution order")
    _legend(axes[0], run, table, panels)
    figure: Any = last.figure
    return saved(figure, path)


def _concentration(metric: str) -> str | None:
    """Returns the concentration that is drawn below a variable: as reached where the variable is."""
    owner = metric_of(plain(metric))
    name = owner.concentration if owner else None
    return f"{name}{AS_REACHED}" if name and metric.endswith(AS_REACHED) else name


def _panels(count: int, names: list[str]) -> tuple[list[Axes], bool]:
    """Returns axes one above the other in a figure wide enough for the layers, and whether names are slanted."""
    from matplotlib.figure import Figure

    longest, paper = max(map(len, names)), paper_width()
    slot = min(max(0.42, min(0.1 + 0.07 * longest, 0.8)), 14 / len(names))  # inches for one layer
    width = paper or max(5.5, 1.5 + slot * len(names))
    slanted = _slanted(slot if paper is None else (paper - 0.8) / len(names), names)
    depth = 0.3 + (0.06 * longest if slanted else 0.1)
    height = (2.6 if paper is None else 1.7) * count + depth + 0.4
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    return list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]), slanted


def _slanted(slot: float, names: list[str]) -> bool:
    """Whether the longest name does not fit into that many inches."""
    return 0.07 * max(map(len, names)) > slot


def _curves(ax: Axes, run: StoredRun, table: pd.DataFrame, metric: str, layers: list[str]) -> None:
    """Draws one panel: a curve per network."""
    place, variable = {layer: x for x, layer in enumerate(layers)}, shown(metric, table)
    owner = METRICS.get(plain(metric))  # `None` of a variable that is no metric's value
    networks = [name for name in run.plan.networks if name in set(table["network"])]
    styles = network_styles(run.plan.networks)
    for number, network in enumerate(networks):
        colour, dashes = styles[network]
        shift = 0.24 * (number / max(1, len(networks) - 1) - 0.5) if len(networks) > 1 else 0.0
        rows = table[table["network"] == network].dropna(subset=[variable])
        _dots(ax, rows, variable, place, shift, colour)
        groups = rows.groupby("layer", sort=False)
        mean = groups[variable].mean()
        # A single sample has no interval.
        half = np.nan_to_num([half_width(mean_error(each, variable), len(each)) for _, each in groups])
        x = [place[layer] + shift for layer in mean.index]
        ax.errorbar(x, mean, half, color=colour, ls=dashes, lw=1.6, capsize=2.5, elinewidth=1.2, zorder=3)
        settled = _converged(rows, metric).groupby(rows["layer"], sort=False).mean()
        faces = [colour if share >= SETTLED else "white" for share in settled]
        ax.scatter(x, mean, s=18, facecolors=faces, edgecolors=colour, lw=1.2, zorder=4)
        if owner and owner.floor:
            floor = rows.groupby("layer", sort=False)[owner.floor].mean()
            ax.plot(x, floor, color=colour, ls=":", lw=1, zorder=1)
    settings = run.plan.settings
    level = owner.at_identity(settings.alpha, settings.tau) if owner else None
    if level is not None:
        ax.axhline(level, color=GREY, ls="--", lw=1, zorder=1)
        ax.annotate("identity layer", (1, level), (-3, 3), xycoords=("axes fraction", "data"), color=GREY, fontsize=7,
                    textcoords="offset points", ha="right", va="bottom")  # fmt: skip
    if owner and owner.floor and x:  # named once, where no other network's line is in the way
        ax.annotate("floor", (x[-1], floor.iloc[-1]), (4, 0), color=GREY, fontsize=7, textcoords="offset points",
                    ha="left", va="center")  # fmt: skip
    if plain(metric) in {each.concentration for each in METRICS.values()}:
        ax.axhline(0, color=GREY, lw=0.8, zorder=1)
    ax.set_ylabel(run.plan.layout.words(axis_label(variable)))
    ax.grid(axis="y", color="#dddddd", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _dots(ax: Axes, rows: pd.DataFrame, metric: str, place: dict[str, int], shift: float, colour: str) -> None:
    """Draws the single samples, hollow where not converged; each keeps its own sideways place in every layer."""
    samples = {name: i for i, name in enumerate(dict.fromkeys(rows["sample"]))}
    spread = 0.05 * np.array([(samples[name] * 0.618) % 1 * 2 - 1 for name in rows["sample"]])
    x = np.array([place[layer] for layer in rows["layer"]]) + shift + spread
    settled = _converged(rows, metric).to_numpy(bool)
    y = rows[metric].to_numpy()
    ax.scatter(x[settled], y[settled], s=7, color=colour, alpha=0.3, lw=0, zorder=2)
    ax.scatter(x[~settled], y[~settled], s=12, facecolors="white", edgecolors=colour, alpha=0.7, lw=0.7, zorder=2)


def _converged(table: pd.DataFrame, metric: str) -> pd.Series:
    """Returns which values of `metric` converged: all, where nothing is said."""
    trust = diagnostics(table, metric)
    return trust["converged"] if "converged" in trust else table[metric].notna()


def _legend(ax: Axes, run: StoredRun, table: pd.DataFrame, panels: list[str]) -> None:
    """Puts names, and what the dots mean, above the first panel."""
    from matplotlib.lines import Line2D

    networks = [name for name in run.plan.networks if name in set(table["network"])]
    styles = network_styles(run.plan.networks)
    handles = []
    for name in networks:
        colour, dashes = styles[name]
        handles.append(Line2D([], [], color=colour, ls=dashes, marker="o", ms=4, lw=1.6, label=elide(name)))
    handles.append(Line2D([], [], color=GREY, alpha=0.5, marker="o", ms=2.7, lw=0, label="one sample"))
    if not all(_converged(table, panel).all() for panel in panels):
        handles.append(
            Line2D([], [], mfc="white", mec=GREY, marker="o", ms=3.5, mew=0.7, lw=0, label="hollow: not converged")
        )
    columns = 3 if max(map(len, networks)) <= 14 else 2
    narrow = (paper := paper_width()) is not None and paper < 5
    columns, size = min(columns - narrow, len(handles)), 7 if narrow else 8
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=size, frameon=False,
              borderaxespad=0.2, columnspacing=1.2, handletextpad=0.5)  # fmt: skip
