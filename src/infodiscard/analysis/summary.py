"""The summary of a run: means over the samples, by network and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.metrics import METRICS
from .display import lacking, mean_error
from .trust import distrust

if TYPE_CHECKING:
    import pandas as pd

    from ..results.run import StoredRun


TRUSTED = "ok"
"""What `trust` says where nothing is known against a row."""


def summarise(run: StoredRun) -> pd.DataFrame:
    """Returns one row per network and layer: means over the samples, standard errors (`_se`), shares.

    `converged`, `ru_converged` and `cap_matters` are shares of the samples. `sid` is what the search reached,
    `sid_corrected` what it is estimated to be at the optimum; the same holds for concentrations. Standard errors are
    over samples (n − 1), NaN for a single one; those of corrected means contain the systematic error of the correction.
    A sample without a corrected value is not in their mean, and `uncorrected_share` says how many are not. `trust` is
    `TRUSTED`, or what speaks against the row's values, in words.
    """
    frame = run.to_dataframe()
    groups = frame.groupby(["network", "layer"], sort=False)
    table = groups.size().rename("n").to_frame()
    metrics = [metric for metric in METRICS.values() if metric.name in frame]
    for name in [name for metric in metrics for name in metric.means if name in frame]:
        table[name] = groups[name].mean()
        table[f"{name}_se"] = [mean_error(rows, name) for _, rows in groups]
    for metric in metrics:
        if metric.corrected.get(metric.name) in frame:
            table[metric.own("uncorrected_share")] = [lacking(rows, metric.name) for _, rows in groups]
    trust = [name for metric in metrics for name in (metric.floor, *metric.diagnostics.values()) if name]
    for name in [name for name in trust if name in frame]:
        table[name] = groups[name].mean()
    table["trust"] = [_doubts(run, rows) for _, rows in groups]
    return table.reset_index()


def _doubts(run: StoredRun, rows: pd.DataFrame) -> str:
    """Returns what speaks against the values of one network and layer, by metric where there are several."""
    alpha, several = run.plan.settings.alpha, len(run.metrics) > 1
    doubts = [
        f"{METRICS[metric].title}: {text}" if several else text
        for metric in run.metrics
        for text in distrust(rows, alpha, metric)
    ]
    return run.plan.layout.words("; ".join(doubts)) or TRUSTED
