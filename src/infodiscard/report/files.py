"""A run's pictures and tables as files, beside the page."""

from __future__ import annotations

from pathlib import Path

from ..analysis.summary import summarise
from ..core.files import translate_os_errors
from ..plots import layer_curve, map_sheet, reconstruction_sheet
from ..results.run import StoredRun
from .word_shading import PAGE, write_texts

SHEETS = {"sid": "maps", "ru": "maps_ru"}


def write_files(run: StoredRun, folder: Path) -> None:
    """Writes `layers.png`, the sheets of maps and reconstructions, `summary.csv` and `values.csv`.

    A run of several networks gets one sheet of each kind for every network: `maps.png`, `maps-2.png`, …, in the order
    of its plan. Files of these names are replaced.

    Raises:
        InfodiscardError: nothing is measured, or they cannot be written.
    """
    values, summary = run.to_dataframe(), summarise(run)
    with translate_os_errors("write the report in", folder):
        folder.mkdir(parents=True, exist_ok=True)
        layer_curve(run, path=folder / "layers.png")
        measured = [name for name in run.plan.networks if name in set(summary["network"])]
        for number, network in enumerate(measured, start=1):
            suffix = f"-{number}" if number > 1 else ""
            for metric in run.metrics:
                map_sheet(run, network=network, metric=metric, path=folder / f"{SHEETS[metric]}{suffix}.png")
            if "ru" in run.metrics:
                reconstruction_sheet(run, network=network, path=folder / f"reconstructions{suffix}.png")
        if run.plan.tokens:
            write_texts(run, folder / PAGE)
        summary.to_csv(folder / "summary.csv", index=False)
        values.to_csv(folder / "values.csv", index=False)
