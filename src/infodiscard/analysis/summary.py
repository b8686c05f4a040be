"""The summary of a run: means over the samples, by network and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.metrics import METRICS
from .display import lacking, mean_error

if TYPE_CHECKING:
    import pandas as pd

    from ..results.run import StoredRun


def summarise(run: StoredRun) -> pd.DataFrame:
    """Returns one row per network and layer: means over the samples, standard errors (`_se`), shares.

    `converged`, `ru_converged` and `cap_matters` are shares of the samples. `sid` is what the search reached,
    `sid_corrected` what it is estimated to be at the optimum; the same holds for concentrations. Standard errors are
    over samples (n − 1), NaN for a single one; those of corrected means contain the systematic error of the correction.
    A sample without a corrected value is not in their mean, and `uncorrected_share` says how many are not.
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
    return table.reset_index()
