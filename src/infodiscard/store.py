"""How a run lies on disk: one labelled Zarr store, and the lock that keeps two writers apart."""

from __future__ import annotations

import json
import os
import shutil
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InfodiscardError
from .layouts import IMAGE, Layout
from .plan import Plan, shorten

if TYPE_CHECKING:
    import pandas as pd

STORE = "run.zarr"
_UNFINISHED = ".creating."  # a store under construction is OUT/.creating.PID; a kill leaves it there, harmlessly

CELL = ("network", "layer", "sample")
LABELS = {"labels": "label", "tokens": "text", "words": "word"}  # of a plan → the coordinate that holds it
MAP = (*CELL, "y", "x")
UNIT_MAP = (*CELL, "channel", "y", "x")

Coord = tuple[str | tuple[str, ...], np.ndarray, dict[str, str]]
"""The labels of a dimension, or of several: dimension, values, attributes."""


@dataclass(frozen=True)
class Variable:
    """One quantity of a run.

    Attributes:
        dims: the names of its dimensions, in order.
        dtype: float cells start as NaN, the others as 0 or False (`done` tells which were measured).
        units: its unit, as stored in the variable's attributes.
        long_name: what it is, in words.
        needs: the metrics, and "masks", without which a run does not hold it; empty if every run does.
    """

    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str
    needs: tuple[str, ...] = ()


SID, RU = ("sid",), ("ru",)
METRICS = {"sid": "SID", "ru": "RU"}
"""What a run can measure → what it is called in print, in the order in which they are shown."""

TRUST = ("converged", "feature_distance", "gap", "capped_share", "cap_matters")

# The one place that says what a run holds. A new metric adds its rows here and nothing else changes.
VARIABLES: dict[str, Variable] = {
    "sid": Variable(CELL, "float32", "nats/pixel", "strict information discarding, mean over pixels", SID),
    "concentration": Variable(
        CELL, "float32", "nats/pixel", "mean SID of the background minus mean SID of the object", ("sid", "masks")
    ),
    "feature_distance": Variable(CELL, "float32", "1", "feature distance reached, E / δ_f², on fresh noise", SID),
    "feature_distance_se": Variable(CELL, "float32", "1", "standard error of the feature distance", SID),
    "converged": Variable(CELL, "bool", "1", "whether the solver met its tolerance", SID),
    "passes": Variable(CELL, "int32", "passes", "forward and backward passes of one noisy input", SID),
    "gap": Variable(CELL, "float32", "nats/pixel", "estimated remaining gap to the optimum", SID),
    "capped_share": Variable(CELL, "float32", "1", "share of the pixels whose σ is at the cap", SID),
    "cap_matters": Variable(CELL, "bool", "1", "whether the mean depends on the cap", SID),
    "ru": Variable(CELL, "float32", "nats/pixel", "reconstruction uncertainty, mean over pixels", RU),
    "ru_floor": Variable(CELL, "float32", "nats/pixel", "the same without noise: the decoder's own error", RU),
    "ru_concentration": Variable(
        CELL, "float32", "nats/pixel", "mean RU of the background minus mean RU of the object", ("ru", "masks")
    ),
    "ru_feature_distance": Variable(CELL, "float32", "1", "feature distance reached for RU, on fresh noise", RU),
    "ru_feature_distance_se": Variable(CELL, "float32", "1", "standard error of RU's feature distance", RU),
    "ru_converged": Variable(CELL, "bool", "1", "whether the solver met its tolerance for RU", RU),
    "ru_passes": Variable(CELL, "int32", "passes", "forward and backward passes of one noisy input for RU", RU),
    "ru_gap": Variable(CELL, "float32", "nats/pixel", "estimated remaining gap of RU to the optimum", RU),
    "sid_map": Variable(MAP, "float32", "nats/pixel", "strict information discarding of each pixel", SID),
    "sigma": Variable(MAP, "float32", "input units", "standard deviation of the noise at the optimum", SID),
    "ru_map": Variable(MAP, "float32", "nats/pixel", "reconstruction uncertainty of each pixel", RU),
    "ru_floor_map": Variable(MAP, "float32", "nats/pixel", "the same without noise: the decoder's own error", RU),
    "ru_sigma": Variable(MAP, "float32", "input units", "standard deviation of the noise that confuses most", RU),
    "reconstruction": Variable(
        UNIT_MAP, "float32", "1", "the input as the decoder restores it from the clean feature, as an image", RU
    ),
    "done": Variable(CELL, "bool", "1", "whether the cell has been measured"),
}
PICTURE = Variable(("sample", "channel", "y", "x"), "float32", "1", "the input as an image")
MASK = Variable(("sample", "y", "x"), "bool", "1", "whether the pixel belongs to the object")


def variables_for(given: set[str], per_unit: bool, layout: Layout = IMAGE) -> dict[str, Variable]:
    """Returns the variables of a run of the `given` metrics, and "masks"; σ has channels if it is `per_unit`.

    Dimensions and units are named for the kind of input.
    """
    chosen = {name: item for name, item in VARIABLES.items() if given.issuperset(item.needs)}
    if per_unit:
        chosen |= {name: replace(chosen[name], dims=UNIT_MAP) for name in ("sigma", "ru_sigma") if name in chosen}
    return {name: _of(layout, item) for name, item in chosen.items()}


def _of(layout: Layout, item: Variable) -> Variable:
    """Returns a variable as inputs of this kind have it."""
    dims = item.dims[:-2] + layout.dims if item.dims[-2:] == IMAGE.dims else item.dims
    return replace(item, dims=dims, units=layout.words(item.units), long_name=layout.words(item.long_name))


def diagnostics(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns what the solver says about a metric: RU's for `ru` and its concentration, SID's for all others.

    The floor of RU has none, since nothing is solved for it.

    Args:
        table: rows of `Run.to_dataframe`.
        metric: a scalar variable.

    Returns:
        The same rows, with those of `TRUST` that the table has; RU's `ru_gap` is called `gap` too.
    """
    names = {f"ru_{name}" if metric.startswith("ru") else name: name for name in TRUST if metric != "ru_floor"}
    return table[[name for name in names if name in table]].rename(columns=names)


def _allocate(
    store: Any,
    variables: Mapping[str, Variable],
    coords: Mapping[str, Coord],
    block: int,
    attributes: dict[str, Any],
) -> Any:
    """Creates every array of a run, unfilled.

    Args:
        store: a Zarr store or a path where there is nothing yet.
        variables: what the run holds.
        coords: name → (dimension, values, attributes).
        block: samples per chunk; a chunk holds one network and one layer, and whole maps.
        attributes: JSON-able attributes of the whole.

    Returns:
        The Zarr group.
    """
    import zarr

    group: Any = zarr.create_group(store, zarr_format=3, attributes=attributes)
    sizes = {name: len(values) for name, (_, values, _) in coords.items()}
    chunks = {**sizes, "network": 1, "layer": 1, "sample": block}
    for name, item in variables.items():
        group.create_array(
            name,
            shape=tuple(sizes[dim] for dim in item.dims),
            chunks=tuple(min(chunks[dim], sizes[dim]) for dim in item.dims),
            dtype=item.dtype,
            fill_value=np.nan if item.dtype.startswith("float") else 0,
            dimension_names=item.dims,
            attributes={"units": item.units, "long_name": item.long_name},
        )
    for name, (dim, values, attrs) in coords.items():
        text = values.dtype.kind in "UO"
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=str if text else values.dtype,
            dimension_names=(dim,) if isinstance(dim, str) else dim,
            attributes=attrs,
        )
        array[:] = values.astype(object) if text else values
    with warnings.catch_warnings():
        # Zarr warns that its version 3 has not standardised this yet; without it, xarray.open_zarr(path) warns instead.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store)
    return group


def create_store(store: Any, plan: Plan, images: np.ndarray | None, masks: np.ndarray | None) -> None:
    """Creates the arrays of `plan` in `store` and fills in the images and masks."""
    given = set(plan.settings.get("metrics", ["sid"])) | ({"masks"} if masks is not None else set())
    variables = variables_for(given, plan.settings.get("sigma") == "unit", plan.layout)
    inputs = {"image": (PICTURE, images), "mask": (_of(plan.layout, MASK), masks)}
    sizes = {"sample": len(plan.samples), "channel": plan.channels, "y": plan.height, plan.layout.dims[-1]: plan.width}
    for name, (item, array) in inputs.items():
        if array is not None:
            shape = tuple(sizes[dim] for dim in item.dims)
            if array.shape != shape:
                raise InfodiscardError(f"The {name}s have shape {array.shape}; this run needs {shape}.")
            variables[name] = item
    group = _allocate(store, variables, _coords(plan), plan.block, _attributes(plan))
    for name, (_, array) in inputs.items():
        if array is not None:
            group[name][:] = np.asarray(array).astype(group[name].dtype)


def _coords(plan: Plan) -> dict[str, Coord]:
    """Returns the labels of every dimension: name → (dimension, values, attributes)."""
    coords: dict[str, Coord] = {
        "network": ("network", np.array(plan.networks, dtype=object), {"long_name": "network"}),
        "layer": ("layer", np.array(plan.union(), dtype=object), {"long_name": "layer, in execution order"}),
        "sample": ("sample", np.array(plan.samples, dtype=object), {"long_name": "input"}),
        "channel": ("channel", np.arange(plan.channels), {"long_name": "channel of the input"}),
    }
    if plan.layout is IMAGE:
        coords["y"] = ("y", np.arange(plan.height), {"long_name": "row, from the top", "units": "pixel"})
        coords["x"] = ("x", np.arange(plan.width), {"long_name": "column, from the left", "units": "pixel"})
    else:
        (dim,), unit = plan.layout.dims, plan.layout.unit
        coords[dim] = (dim, np.arange(plan.width), {"long_name": f"number of the {unit}, from 0"})
    if plan.labels is not None:
        coords["label"] = ("sample", np.array(plan.labels, dtype=np.int64), {"long_name": "class of the input"})
    if plan.tokens:
        place = ("sample", *plan.layout.dims)
        coords["text"] = (place, np.array(plan.tokens, dtype=object), {"long_name": "what the token stands for"})
        coords["word"] = (place, np.array(plan.words, dtype=np.int64), {"long_name": "number of its word, -1: none"})
    return coords


def _attributes(plan: Plan) -> dict[str, Any]:
    """Returns how the run was made; structures as JSON texts, which every xarray backend can store."""
    import platform
    from datetime import UTC, datetime
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("infodiscard", "torch", "numpy", "xarray", "zarr"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    # The samples and labels are coordinates already.
    kept = {k: v for k, v in asdict(plan).items() if k not in ("samples", "settings", "hashes", *LABELS)}
    labels = [coord for name, coord in LABELS.items() if getattr(plan, name)]
    attributes = {
        "infodiscard_format": 1,
        **({"coordinates": " ".join(labels)} if labels else {}),  # the CF way to say that these are coordinates
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": json.dumps(kept),
        "settings": json.dumps(plan.settings),
        "hashes": json.dumps(plan.hashes),
        "versions": json.dumps(versions),
    }
    return attributes | ({"seed": plan.settings["seed"]} if "seed" in plan.settings else {})


def read_plan(path: Path) -> Plan:
    """Returns the plan of the run in `path`; raises InfodiscardError if it cannot be read."""
    import zarr

    try:
        group: Any = zarr.open_group(path / STORE, mode="r", use_consolidated=True)
        parts = {key: json.loads(str(group.attrs[key])) for key in ("plan", "settings", "hashes")}
        parts["plan"] |= {name: group[coord][:].tolist() for name, coord in LABELS.items() if coord in group}
        samples = tuple(group["sample"][:].tolist())
    except (OSError, KeyError, ValueError) as error:
        raise InfodiscardError(
            f"'{path / STORE}' cannot be read as a run ({error}); it may be damaged: delete it, or give another one."
        ) from error
    plan = parts.pop("plan")
    return Plan(**plan, **parts, samples=samples)


@contextmanager
def told(action: str, path: Path | str) -> Iterator[None]:
    """Turns a full disk, missing permission and the like into one sentence.

    Raises:
        InfodiscardError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InfodiscardError(
            f"Could not {action} '{path}': {error.strerror or error}; mend that (free space, permissions, another "
            "directory) and run the same again: what was finished is kept."
        ) from error


class Lock:
    """An exclusive lock on a directory, held until `release`, garbage collection or the end of the process.

    The operating system lets go of it however the process ends, so a killed run leaves nothing to clean up. Where the
    platform or the file system has no such locks, nothing is locked.
    """

    name = ".lock"

    def __init__(self, directory: Path) -> None:
        """Takes the lock.

        Raises:
            InfodiscardError: another writer holds it.
        """
        descriptor = os.open(directory / self.name, os.O_RDWR | os.O_CREAT, 0o644)
        self._close = weakref.finalize(self, os.close, descriptor)
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise InfodiscardError(
                f"Another process is writing the run in '{directory}'; wait until it ends, or give another out."
            ) from error
        except (ImportError, OSError):
            pass

    def release(self) -> None:
        """Lets go of the lock; a second call does nothing."""
        self._close()


def check_free(path: Path) -> None:
    """Raises InfodiscardError unless `path` holds a run, is empty, or is not there."""
    if path.exists() and not path.is_dir():
        raise InfodiscardError(f"'{path}' is a file; a run needs a directory: give another out.")
    names = sorted(item.name for item in path.iterdir()) if path.exists() else []
    others = [name for name in names if not name.startswith((Lock.name, _UNFINISHED))]
    if others and STORE not in others:
        raise InfodiscardError(f"'{path}' holds other files ({shorten(tuple(others))}) and no run; give another out.")


def check_same(path: Path, plan: Plan) -> None:
    """Raises InfodiscardError if the run in `path` has another plan."""
    different = read_plan(path).differences(plan)
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise InfodiscardError(
            f"'{path}' holds a different run: {'; '.join(different[:3])}{more}; give another out, or delete it first."
        )


def build(path: Path, plan: Plan, images: np.ndarray | None, masks: np.ndarray | None) -> None:
    """Creates the store beside its place and moves it there whole, so that a kill never leaves half of one."""
    sweep(path)
    unfinished = path / f"{_UNFINISHED}{os.getpid()}"
    create_store(unfinished, plan, images, masks)
    unfinished.rename(path / STORE)


def sweep(path: Path) -> None:
    """Removes what a killed writer left behind; call it with the lock held."""
    for leftover in path.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover)
    for leftover in (path / STORE).rglob("*.partial"):
        leftover.unlink()
