"""Means of SID over parts of the inputs, as reached and corrected."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import InfodiscardError
from ..solver.correction import region
from ..solver.sigma_space import SigmaSpace

if TYPE_CHECKING:
    import pandas as pd

    from ..results.plan import Plan, Unit
    from ..results.run import StoredRun

MAPS = ("sid_map", "correction_map", "correction_se_map")


def table(run: StoredRun, masks: Any) -> pd.DataFrame:
    """Returns one row per network, layer and sample; see `Run.region`.

    Raises:
        InfodiscardError: the masks do not fit the samples, or the run has no SID.
    """
    import pandas as pd

    if "sid" not in run.metrics:
        raise InfodiscardError("This run has no SID, and so no means of it; measure with metrics=['sid'].")
    inside, left = _inside(masks, run.plan), set(run.pending())
    layers = [(network, layer) for network in run.plan.networks for layer in run.plan.layers[network]]
    place = {layer: number for number, layer in enumerate(layers)}
    units = sorted(run.plan.units(), key=lambda unit: place[unit.network, unit.layer])
    rows = [row for unit in units if unit not in left for row in _rows(run, unit, inside)]
    names = ["network", "layer", "sample", "size", "sid", "sid_corrected", "sid_corrected_se"]
    return pd.DataFrame(rows, columns=names[: None if MAPS[1] in run.arrays else 5])


def _inside(masks: Any, plan: Plan) -> np.ndarray:
    """Returns `samples × H × W`, true in the region.

    Raises:
        InfodiscardError: the masks are not one for all samples, or one each.
    """
    given, one = np.asarray(masks), (plan.height, plan.width)[2 - len(plan.layout.dims) :]
    if given.dtype != bool or given.shape not in (one, (len(plan.samples), *one)):
        sizes = " or ".join("×".join(map(str, shape)) for shape in (one, (len(plan.samples), *one)))
        raise InfodiscardError(
            f"The masks are {given.dtype} of shape {given.shape}; give booleans, true in the region, of {sizes}."
        )
    return np.broadcast_to(plan.layout.unchart(given), (len(plan.samples), plan.height, plan.width))


def _rows(run: StoredRun, unit: Unit, inside: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yields the rows of a finished unit."""
    plan, place = run.plan, (unit.network, unit.layer, unit.start, unit.stop)
    maps = {name: plan.layout.unchart(run.read(*place, name)) for name in MAPS if name in run.arrays}
    # Padding is not finite, and what could not be measured has nothing that is.
    known = np.isfinite(maps["sid_map"]).any(1)
    measured = [row for row in range(unit.stop - unit.start) if known[row].any()]
    for (first, end), group in groupby(measured, lambda row: _extent(known[row])):
        rows = list(group)
        part = {name: torch.from_numpy(np.ascontiguousarray(each[rows, :, first:end], np.float64))
                for name, each in maps.items()}  # fmt: skip
        here = torch.from_numpy(inside[unit.start : unit.stop][rows][..., first:end].copy())
        found = {"size": here.sum((1, 2)), "sid": (part["sid_map"] * here).sum((1, 2)) / here.sum((1, 2))}
        if MAPS[1] in part:
            missing = (run.read(*place, "sid_corrected") - run.read(*place, "sid"))[rows]
            gap = torch.from_numpy(missing.astype(np.float64))
            found |= _corrected(found["sid"], gap, part, here, plan.settings.sigma)
        for number, row in enumerate(rows):
            cell = {"network": unit.network, "layer": unit.layer, "sample": plan.samples[unit.start + row]}
            yield cell | {name: values[number].item() for name, values in found.items()}


def _extent(known: np.ndarray) -> tuple[int, int]:
    """Returns the first column of a sample, and the one behind its last."""
    columns = np.flatnonzero(known)
    return int(columns[0]), int(columns[-1]) + 1


def _corrected(
    reached: torch.Tensor, gap: torch.Tensor, maps: dict[str, torch.Tensor], inside: torch.Tensor, sigma: str
) -> dict[str, torch.Tensor]:
    """Returns the corrected means and their errors, NaN where a region is empty or the whole could not be corrected."""
    # A map has one value per pixel, also where σ has one per unit; on a grid, the pixels of a cell share one error.
    space = SigmaSpace.parse("pixel" if sigma == "unit" else sigma, (1, *inside.shape[1:]))
    shift, error = (space.mean(maps[name][:, None]) for name in MAPS[1:])
    missing, missing_se = region(shift, error, gap, space, inside)
    unsafe = gap.isnan()
    return {
        "sid_corrected": (reached + missing).masked_fill(unsafe, torch.nan),
        "sid_corrected_se": missing_se.masked_fill(unsafe, torch.nan),
    }
