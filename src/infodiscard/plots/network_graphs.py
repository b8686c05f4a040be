"""Networks as graphs: each layer in the colour of what it discards, and with skips and branches as a run knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..analysis.display import plain, shown
from ..analysis.paired import compare_runs
from ..analysis.summary import summarise
from ..analysis.trust import distrust
from ..core.metrics import METRICS, metric_of
from ..core.numbers import printed
from ..core.settings import Settings
from ..errors import InfodiscardError, nearest
from .graph_layout import Layout, layout
from .palette import GREY, GROUND, MAP, ink
from .style import axis_label, elide, measured, paper_width, saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..results.run import StoredRun

MOST = 6
"""Networks beside each other, where none are named."""

ROW, NARROW = 0.3, 0.2  # inches: of a layer, and of a stage that was not measured
BOX, TRACK, BAR = 0.55, 0.1, 0.95  # widths of a layer's box, of a track, and of the colour bar with its label
DOT, APART = 0.045, 0.04  # radius of a grey stage; how far below its middle a skip begins, and above which it ends
LETTER, LEGIBLE, LONGEST = 0.062, 10, 26  # width of one of a name; least of what was not measured, and most of any
LEAST_SPAN = 0.05  # of the scale, nats: where all layers are alike


class Mark(NamedTuple):
    """A layer in the picture: its mean, what speaks against it, and what is known of its difference from the first."""

    mean: float
    doubts: str
    verdict: str

    @property
    def text(self) -> str:
        """The mean in print; `!` where something speaks against it."""
        return f"{printed(self.mean, '.2f').replace('-', '−')}{' !' if self.doubts else ''}"


def colour_limits(means: Sequence[float], metric: str, settings: Settings) -> tuple[float, float]:
    """Returns the ends of the scale of layers' means: from a layer that passes all on, or the least, to the largest.

    Args:
        means: of all layers shown, nats/pixel.
        metric: theirs.
        settings: of the run, or of the first of several.
    """
    low, high = min(means), max(means)
    level = METRICS[metric].at_identity(settings.alpha, settings.tau) if metric in METRICS else None
    low = low if level is None else min(low, level)
    return low, max(high, low + LEAST_SPAN)


def network_graph(
    run: StoredRun, networks: Sequence[str] | None = None, metric: str | None = None, path: str | Path | None = None
) -> Figure:
    """Draws networks beside each other, from the input down: layers in the colour of their mean, the rest in grey.

    Lines are what is computed from what, with skip connections and branches beside the stages; of a run that does not
    hold it (of an earlier version, or of a network that autograd cannot follow), layers are a chain, and the picture
    says so. Where there are several networks, a layer bears the verdict on its difference from the first.

    Args:
        run: a run with something measured.
        networks: of it, the first being the one compared with; by default all, up to 6.
        metric: a scalar variable of the run; by default SID, as corrected where the run has that.
        path: where to write the picture; the ending says the format.

    Returns:
        The figure, which pyplot knows nothing of.

    Raises:
        InfodiscardError: nothing is measured yet, there is no such network or variable, or the file cannot be written.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    metric = metric or run.metrics[0]
    variable, marks = read_marks(run, networks, metric)
    means = [mark.mean for each in marks.values() for mark in each.values()]
    scale = Normalize(*colour_limits(means, plain(metric), run.plan.settings))
    layouts = {name: layout(run.plan, name) for name in marks}
    heights = {name: _places(each)[1] for name, each in layouts.items()}
    panels = {name: _width(each) for name, each in layouts.items()}
    full = sum(panels.values()) + BAR
    shrink = 1.0 if (paper := paper_width()) is None else min(1.0, (paper - BAR) / (full - BAR))
    size = (sum(panels.values()) * shrink + BAR, max(heights.values()) + 0.75)
    figure = Figure(figsize=size, dpi=150)
    left = 0.0
    for name, each in layouts.items():
        ax = figure.add_axes((left / size[0], 0, panels[name] * shrink / size[0], 1))
        ax.set(xlim=(0, panels[name] * shrink), ylim=(size[1], 0))
        ax.set_axis_off()
        _draw(ax, each, marks[name], name, scale)
        left += panels[name] * shrink
    tall = min(2.4, max(heights.values()))
    bar = figure.add_axes(
        ((size[0] - BAR + 0.08) / size[0], 1 - (0.4 + tall) / size[1], 0.12 / size[0], tall / size[1])
    )
    figure.colorbar(ScalarMappable(scale, MAP), cax=bar)
    bar.set_ylabel(run.plan.layout.words(axis_label(variable)), fontsize=7)
    bar.tick_params(labelsize=7)
    notes = [*dict.fromkeys(each.says for each in layouts.values())]
    notes += [f"verdicts: against {elide(next(iter(marks)))}"] if len(marks) > 1 else []
    notes += (
        ["! not to be trusted as it stands"] if any(m.doubts for each in marks.values() for m in each.values()) else []
    )
    figure.text(0.1 / size[0], 0.06 / size[1], "\n".join(notes), fontsize=6, color=GREY, va="bottom", wrap=True)
    return saved(figure, path)


def read_marks(run: StoredRun, networks: Sequence[str] | None, metric: str) -> tuple[str, dict[str, dict[str, Mark]]]:
    """Returns the variable that stands for a metric, and network → layer → what is drawn of it.

    Raises:
        InfodiscardError: as for `network_graph`.
    """
    table = measured(run, plain(metric))
    for name in networks or ():
        if name not in run.plan.networks:
            raise InfodiscardError(f"No network '{name}'; the nearest are {nearest(name, run.plan.networks)}.")
    chosen = [name for name in networks or run.plan.networks if name in set(table["network"])]
    chosen = chosen if networks else chosen[:MOST]
    variable, summary = shown(metric, table), summarise(run)
    means = dict(zip(zip(summary["network"], summary["layer"], strict=True), summary[variable], strict=True))
    verdicts = _verdicts(run, chosen, metric) if len(chosen) > 1 else {}
    doubted = metric if metric_of(plain(metric)) else None
    marks: dict[str, dict[str, Mark]] = {name: {} for name in chosen}
    for (network, layer), rows in table.groupby(["network", "layer"], sort=False):
        if network in marks and (mean := float(means[network, layer])) == mean:
            doubts = "; ".join(distrust(rows, run.plan.settings.alpha, doubted)) if doubted else ""
            marks[str(network)][str(layer)] = Mark(mean, doubts, verdicts.get((str(network), str(layer)), ""))
    return variable, marks


def _verdicts(run: StoredRun, networks: Sequence[str], metric: str) -> dict[tuple[str, str], str]:
    """Returns (network, layer) → the verdict on its difference from the first network's."""
    try:
        rows = compare_runs(run, metric, networks[0], "auto")
    except InfodiscardError:  # such as of layers that have no partner
        return {}
    return {
        (str(network), layer): str(verdict)
        for label, network, verdict in zip(rows["layer"], rows["b"], rows["verdict"], strict=True)
        for layer in run.plan.layers[str(network)]
        if label == layer or label.endswith(f" ~ {layer}")
    }


def _left(each: Layout) -> float:
    """Returns the inches to the left of the boxes, where the tracks are."""
    return 0.15 + TRACK * each.tracks


def _width(each: Layout) -> float:
    """Returns the inches that a network takes."""
    return _left(each) + BOX + 0.2 + LETTER * max(len(elide(row.name, LONGEST)) for row in each.rows)


def _places(each: Layout) -> tuple[list[float], float]:
    """Returns the middle of each row, in inches from the top, and where the last one ends."""
    heights = np.array([ROW if row.is_layer else NARROW for row in each.rows])
    below = 0.4 + np.cumsum(heights)
    return [float(place) for place in below - heights / 2], float(below[-1])


def _draw(ax: Axes, each: Layout, marks: Mapping[str, Mark], title: str, scale: Any) -> None:
    """Draws one network into axes in inches: connections, then stages over them."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex
    from matplotlib.patches import Circle, FancyBboxPatch

    places, left = _places(each)[0], _left(each)
    middle, beside = left + BOX / 2, left + BOX + 0.08
    letters = min(LONGEST, max(6, int((ax.get_xlim()[1] - beside) / LETTER)))
    ax.text(0.1, 0.2, elide(title, letters + 12), fontsize=9, va="center")
    for arc in each.arcs:
        start, stop = (places[place] for place in arc[:2])
        if not arc.track:
            ax.plot([middle, middle], [start, stop], color=GREY, lw=0.9, zorder=1)
            continue
        x, start, stop = left - TRACK * arc.track, start + APART, stop - APART
        end = left if each.rows[arc.stop].name in marks else middle - DOT
        ax.plot([middle, x, x, end], [start, start, stop, stop], color=GREY, lw=0.9, zorder=1)
        ax.plot(end - 0.015, stop, color=GREY, marker=">", ms=2.5, lw=0, zorder=1)
    for row, y in zip(each.rows, places, strict=True):
        mark = marks.get(row.name) if row.is_layer else None
        colour = GREY if mark is None else "black"
        name = elide(row.name, letters) if mark or letters >= min(LEGIBLE, len(row.name)) else ""
        ax.text(beside, y - (0.05 if mark and mark.verdict else 0), name, color=colour,
                fontsize=7 if mark else 6, va="center")  # fmt: skip
        if mark is None:
            ax.add_patch(Circle((middle, y), DOT, facecolor=GROUND, edgecolor=GREY, lw=0.9, zorder=2))
            continue
        ground = to_hex(colormaps[MAP](scale(mark.mean)))
        box = FancyBboxPatch((left, y - 0.11), BOX, 0.22, boxstyle="round,pad=0,rounding_size=0.05", facecolor=ground,
                             edgecolor="none", zorder=2)  # fmt: skip
        ax.add_patch(box)
        ax.text(middle, y, mark.text, color=ink(ground), fontsize=7, ha="center", va="center", zorder=3)
        ax.text(beside, y + 0.08, mark.verdict, color=GREY, fontsize=6, va="center", style="italic")
