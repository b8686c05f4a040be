"""Comparison of networks or runs, which measures what is not measured yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from ..analysis.paired import check_pairing, compare_runs
from ..analysis.side import Source
from ..errors import InfodiscardError
from ..networks.network import Network
from .measure import measure

if TYPE_CHECKING:
    import pandas as pd


def compare(
    runs: Mapping[str, Source | nn.Module | Network] | Source,
    metric: str = "sid",
    reference: str | None = None,
    by: Literal["name", "position", "auto"] = "name",
    data: Any = None,
    **options: Any,
) -> pd.DataFrame:
    """Returns paired differences by layer over the samples that both sides have.

    Args:
        runs: name → run, its directory, or a network to measure; or one run, whose networks are compared. A run of
            several networks counts as several entries named "name/network".
        metric: a scalar variable, such as "sid", "ru" or "concentration". SID and its concentration are compared as
            corrected wherever both sides have corrected values; "sid_reached" and "concentration_reached" are what the
            search reached.
        reference: the entry that the others are compared with; the first by default.
        by: pair layers of the same name, or of the same "position" in their networks; "auto": by name if two networks
            share any, else by position.
        data: what networks among `runs` are measured on, as for `infodiscard.measure`.
        options: other arguments of `infodiscard.measure` for them, such as `layers`.

    Returns:
        A table with the columns `layer`; `a` (the reference) and `b`, the entries' names; `mean_a`, `mean_b`;
        `difference`, the mean of b − a; `se`, its standard error over the n pairs (n − 1), with the systematic error of
        the corrections, as far as they differ, added in quadrature; `low`, `high`, its 95 % interval from Student's t
        with n − 1 degrees of freedom; `n`; `systematic`, the part of `se` that more samples do not make smaller;
        `spread`, the root mean square of the samples' differences, and `noise`, that of their errors (NaN if not
        known); `basis`, whether the values are "corrected" or as "reached" ("" where a metric has no such difference);
        `gap`, what counts against a difference of a metric beside its error: the larger of both sides' mean gaps to the
        optimum, as the solver estimates them, and 0 between corrected values; `allowed`, up to which size a difference
        does not count; `verdict`, "more" or "less" (significantly, of b), "mixed" (samples differ significantly, and by
        more than twice `allowed`, but not their mean), "same" (within `allowed`) or "cannot tell"; `p_holm`, of no
        difference, corrected for the number of rows by Holm's method; `warning`, why not to trust the row ("" if
        nothing is known against it). A layer with no pair measured is omitted; a sample that lacks a corrected value on
        either side is omitted from its row, which says so.

    Raises:
        InfodiscardError: fewer than two entries, an unknown reference or metric, inputs of different sizes, no shared
            samples or layers, or nothing measured on both sides.
    """
    check_pairing(by)
    if not isinstance(runs, Mapping):
        return compare_runs(runs, metric, reference, by)
    measured = {str(name): _measured(str(name), value, data, options) for name, value in runs.items()}
    return compare_runs(measured, metric, reference, by)


def _measured(name: str, value: Source | nn.Module | Network, data: Any, options: Mapping[str, Any]) -> Source:
    """Returns the run of a network, which is measured now; runs and paths as they are."""
    if not isinstance(value, nn.Module | Network):
        return value
    if data is None:
        raise InfodiscardError(f"'{name}' is a network, which is measured first; give data to measure it on.")
    return measure({name or type(value).__name__: value}, data, **options)
