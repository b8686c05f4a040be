"""Run that users hold: what is stored, and shortcuts to its tables, pictures and pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..analysis import regions
from ..analysis.paired import check_pairing, compare_runs
from ..analysis.side import Source
from ..analysis.summary import summarise
from ..core.files import translate_os_errors
from ..plots import heat_map, layer_curve, map_sheet, network_graph, reconstruction_sheet
from ..report import write_page, write_texts
from ..report.notebook import run_html
from ..results import words
from ..results.run import StoredRun
from .citation import citation
from .text import run_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Run(StoredRun):
    """A run: what was measured, how, and how far to trust it.

    `measure` returns one and `open_run` opens one for reading. One that may write holds a lock on its directory until
    its last unit is written or `close` is called; it is a context manager.

    Attributes:
        path: its directory, which holds `run.zarr`; `None` if it is in memory only.
        plan: what defines it.
        arrays: how it is stored, unit by unit.
    """

    def summary(self) -> pd.DataFrame:
        """Returns one row per network and layer: means over the samples, standard errors (`_se`), shares.

        `converged`, `ru_converged` and `cap_matters` are shares of the samples. `sid` is what the search reached,
        `sid_corrected` what it is estimated to be at the optimum; the same for concentrations. Standard errors are
        over samples (n − 1), NaN for a single one; those of corrected means contain the systematic error of the
        correction. A sample without a corrected value is not in their mean, and `uncorrected_share` says how many are
        not. `trust` is "ok", or says in words what speaks against the row.
        """
        return summarise(self)

    def to_csv(self, path: str | Path | None = None, samples: bool = False) -> str:
        """Returns the summary as CSV, and writes it to `path` if given.

        Args:
            path: the file; one that is there is replaced.
            samples: write `to_dataframe`, a row per sample, in place of the means over them.

        Raises:
            InfodiscardError: it cannot be written.
        """
        text = (self.to_dataframe() if samples else self.summary()).to_csv(index=False)
        if path is not None:
            file = Path(path).expanduser()
            with translate_os_errors("write the table", file):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        return text

    def compare(
        self, other: Source, metric: str = "sid", by: Literal["name", "position", "auto"] = "auto"
    ) -> pd.DataFrame:
        """Returns paired differences by layer, `other` minus this run, over the samples that both have.

        Args:
            other: a run, or its directory.
            metric: as for `infodiscard.compare`, which says what the columns are.
            by: as there.

        Raises:
            InfodiscardError: as for `infodiscard.compare`.
        """
        check_pairing(by)
        theirs = other if isinstance(other, StoredRun) else open_run(other)
        names = [_called(each) for each in (self, theirs)]
        mine, other_name = names if len(set(names)) == 2 else ("this", "other")
        return compare_runs({mine: self, other_name: theirs}, metric, None, by)

    def cite(self) -> str:
        """Returns what a paper has to say of the measurement in a sentence, and BibTeX of the method and package."""
        return citation(self)

    def region(self, masks: Any) -> pd.DataFrame:
        """Returns the mean SID over a region of the inputs: one row per network, layer and sample that was measured.

        Args:
            masks: true in the region; one for all samples, of the shape of a map, or one for each (`samples × …`).

        Returns:
            The columns `network`, `layer` and `sample`; `size`, the pixels (tokens, …) of the region; `sid`, their mean
            as reached; `sid_corrected`, the estimate of the same at the optimum, and `sid_corrected_se`, its standard
            error. A region without a pixel has NaN; a run without corrected values has only what was reached. The
            error of a corrected mean shrinks with the region's size, and says little of a few pixels.

        Raises:
            InfodiscardError: the masks do not fit the samples, or the run has no SID.
        """
        return regions.table(self, masks)

    def words(self) -> pd.DataFrame:
        """Returns the SID of each word of a run of texts; see `infodiscard.results.words.table`."""
        return words.table(self)

    def write_texts(self, path: str | Path | None = None) -> Path:
        """Writes the texts with their words shaded by SID as a page of HTML; see `infodiscard.report.write_texts`."""
        return write_texts(self, path)

    def plot_layers(self, path: str | Path | None = None, metric: str | None = None, ax: Axes | None = None) -> Figure:
        """Draws the layer curve, and writes it to `path` if given; see `infodiscard.plots.layer_curve`."""
        figure = layer_curve(self, metric=metric, path=path, ax=ax)
        return _shown(figure) if ax is None else figure

    def plot_maps(
        self, path: str | Path | None = None, network: str | None = None, metric: str | None = None
    ) -> Figure:
        """Draws the sheet of maps, and writes it to `path` if given; see `infodiscard.plots.map_sheet`."""
        return _shown(map_sheet(self, network=network, metric=metric, path=path))

    def plot_network(
        self, path: str | Path | None = None, networks: Sequence[str] | None = None, metric: str | None = None
    ) -> Figure:
        """Draws the networks as graphs, coloured by layer; see `infodiscard.plots.network_graph`."""
        return _shown(network_graph(self, networks=networks, metric=metric, path=path))

    def plot_heat_map(self, path: str | Path | None = None, metric: str | None = None) -> Figure:
        """Draws networks × layers, with their means in numbers; see `infodiscard.plots.heat_map`."""
        return _shown(heat_map(self, metric=metric, path=path))

    def plot_reconstructions(self, path: str | Path | None = None, network: str | None = None) -> Figure:
        """Draws the inputs as decoders restore them; see `infodiscard.plots.reconstruction_sheet`."""
        return _shown(reconstruction_sheet(self, network=network, path=path))

    def report(self, path: str | Path | None = None) -> Path:
        """Writes one self-contained page, to `report.html` in the run's directory if not to `path`.

        See `infodiscard.report.write_page`, also for a page about several runs.
        """
        return write_page(self, path)

    def __str__(self) -> str:
        """Returns the run in one line, and its means over the samples as a table of plain columns."""
        return run_text(self)

    def _repr_html_(self) -> str:
        """Shows the summary and the layer curve in a notebook; see `infodiscard.report.notebook`."""
        return run_html(self)


def _shown(figure: Figure) -> Figure:
    """Returns a figure, which from now on shows itself in a notebook."""
    from .showing import ShownFigure  # Matplotlib, which is slow

    figure.__class__ = ShownFigure
    return figure


def _called(run: StoredRun) -> str:
    """Returns what a comparison calls a run: its networks; where its directory says more, that."""
    return "+".join(run.plan.networks) if run.path is None else str(run.path.name)


def open_run(path: str | Path) -> Run:
    """Opens a finished or unfinished run for reading.

    Raises:
        InfodiscardError: there is no run in `path`.
    """
    return Run.open(path)
