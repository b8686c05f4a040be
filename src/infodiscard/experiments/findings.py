"""Results of a study: tables of means by layer, figures, and a verdict for each claim."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure

from ..analysis.display import basis, mean_error, shown
from ..analysis.trust import distrust
from ..api.run import Run
from ..core.files import translate_os_errors
from ..core.metrics import METRICS
from .lab import TrainedNetwork
from .verdicts import Claim


@dataclass(frozen=True)
class Findings:
    """The result of a study.

    Attributes:
        study: its name.
        title: the question.
        claims: of the paper, with a verdict each.
        table: one row per network, layer and measure.
        figures: by the name of their file.
        notes: what a reader must know besides the numbers.
    """

    study: str
    title: str
    claims: tuple[Claim, ...]
    table: pd.DataFrame = field(repr=False)
    figures: Mapping[str, Figure] = field(repr=False, default_factory=dict)
    notes: tuple[str, ...] = ()


def layer_means(
    trained: TrainedNetwork, *runs: Run, layers: Sequence[str] = (), extra: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Returns one row per layer and measure of a network: its mean over the images.

    Args:
        trained: the network.
        runs: of this network alone.
        layers: which; all that were measured if none are named.
        extra: further columns.

    Returns:
        The columns network, seed, accuracy, layer, position (0 for the first layer measured), measure (`sid`, `ru`,
        `concentration`, …), mean, se (over images, with the systematic error of a correction), n, basis (`corrected` or
        `reached`; empty for what has no such difference), reached (the mean as the search reached it), warning.
    """
    rows = []
    for run in runs:
        frame = run.to_dataframe()
        alpha = run.plan.settings.alpha
        known = [layer for layer in run.plan.layers[run.plan.networks[0]] if not layers or layer in layers]
        for measure in (name for metric in METRICS.values() for name in metric.scalars):
            if measure not in frame:
                continue
            variable = shown(measure, frame)
            for position, layer in enumerate(known):
                part = frame[frame["layer"] == layer]
                values = part[variable].dropna()
                row = {"network": trained.name, "seed": trained.seed, "accuracy": trained.accuracy, **(extra or {})}
                row |= {"layer": layer, "position": position, "measure": measure, "mean": values.mean()}
                row |= {"se": mean_error(part, variable), "n": len(values)}
                row |= {"basis": basis(variable), "reached": part[measure].mean()}
                rows.append({**row, "warning": "; ".join(distrust(part, alpha, measure))})
    return pd.DataFrame(rows)


def mean_of(table: pd.DataFrame, network: str, seed: int | None, measure: str, layers: Iterable[str] = ()) -> float:
    """Returns the mean of a measure over some layers of one trained network (over all of them if none are named)."""
    rows = table[(table["network"] == network) & (table["measure"] == measure)]
    rows = rows[rows["seed"].isna()] if seed is None else rows[rows["seed"] == seed]
    wanted = list(layers)
    return float((rows[rows["layer"].isin(wanted)] if wanted else rows)["mean"].mean())


def accuracies(table: pd.DataFrame) -> str:
    """Returns the test accuracies of the networks of a table, in words."""
    trained = table.drop_duplicates(["network", "seed"]).dropna(subset=["accuracy"])
    parts = [
        f"{name} {' / '.join(f'{share:.1%}' for share in group['accuracy'])}"
        for name, group in trained.groupby("network", sort=False)
    ]
    return "Test accuracy by seed: " + ", ".join(parts) + "."


def write(findings: Findings, folder: Path, about: Mapping[str, Any]) -> Path:
    """Writes `table.csv`, the figures as SVG and PNG, `result.json` and `result.md`; returns the last.

    Args:
        findings: of a study.
        folder: where to; made if missing.
        about: `profile`, `command` and `seconds`.

    Raises:
        InfodiscardError: the folder cannot be written.
    """
    with translate_os_errors("write the study in", folder):
        folder.mkdir(parents=True, exist_ok=True)
        findings.table.to_csv(folder / "table.csv", index=False, float_format="%.5g")
        for name, figure in findings.figures.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            figure.savefig(folder / f"{name}.png", dpi=110)
        versions = {"infodiscard": _version(), "torch": torch.__version__, "python": platform.python_version()}
        result = {
            "study": findings.study,
            "title": findings.title,
            "claims": [asdict(claim) for claim in findings.claims],
            "notes": findings.notes,
            "versions": versions,
            "date": time.strftime("%Y-%m-%d"),
            **about,
        }
        (folder / "result.json").write_text(json.dumps(result, indent=1))
        page = folder / "result.md"
        page.write_text(markdown(findings, about))
    return page


def markdown(findings: Findings, about: Mapping[str, Any]) -> str:
    """Returns the claims, figures and notes as a piece of Markdown."""
    lines = [f"## {findings.study}: {findings.title}", "", f"`{about['command']}`, {about['seconds']:.0f} s.", ""]
    lines += ["| claim | here | statistic |", "|---|---|---|"]
    lines += [table_row(claim.text, f"**{claim.verdict}**", claim.statistic) for claim in findings.claims]
    lines += ["", *(f"![{name}]({name}.png)" for name in findings.figures), ""]
    lines += [*(f"- {note}" for note in findings.notes), ""]
    return "\n".join(lines)


def table_row(*cells: str) -> str:
    """Returns a row of a table in Markdown, where a bar ends a cell, even within backticks, and a line ends the row."""
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def _version() -> str:
    try:
        return version("infodiscard")
    except PackageNotFoundError:
        return "not installed"
