"""Store of a run: one labelled Zarr group, which xarray opens by itself."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from ..core.files import PARTIAL, translate_os_errors
from ..core.kinds import IMAGE
from ..core.metrics import variables_for
from ..core.metrics.variable import FAILURES, MASK, PICTURE, Variable
from ..core.settings import Settings
from ..errors import InfodiscardError
from .arrays import Arrays
from .locks import LOCK
from .places import LOG, STATUS, UNFINISHED, as_place, is_local, names_in, read_whole, remove, zarr_store
from .plan import Plan, shorten

STORE = "run.zarr"
BESIDE = (LOCK, LOG, STATUS, UNFINISHED)
"""Names in a run's directory beside the store."""

PICTURES = 4 << 20
"""Bytes of images or masks in one chunk, before compression: a remote place takes about as long for one as for few."""

FORMAT = 3
"""Of the store. 1 had no checksums and no `failure`, 2 no corrected values."""

LABELS = {"labels": "label", "tokens": "text", "words": "word"}
"""Of a plan → the coordinate that holds it."""

Coord = tuple[str | tuple[str, ...], np.ndarray, dict[str, str]]
"""The labels of a dimension, or of several: dimension, values, attributes."""


def _allocate(
    group: Any,
    variables: Mapping[str, Variable],
    coords: Mapping[str, Coord],
    block: int,
) -> None:
    """Creates every array of a run, unfilled; each chunk carries a checksum, so that a damaged one cannot be read.

    Args:
        group: the Zarr group.
        variables: what the run holds.
        coords: name → (dimension, values, attributes).
        block: samples per chunk; a chunk holds one network and one layer, and whole maps. Images and masks, which are
            not written unit by unit, have chunks of their own size.
    """
    from zarr.codecs import Crc32cCodec, ZstdCodec

    sizes = {name: len(values) for name, (_, values, _) in coords.items()}
    chunks = {**sizes, "network": 1, "layer": 1, "sample": block}
    for name, item in variables.items():
        picture = PICTURES // (np.dtype(item.dtype).itemsize * math.prod(sizes[dim] for dim in item.dims[1:]))
        chunk = chunks if item.dims[0] == "network" else {**sizes, "sample": max(1, picture)}
        flags = {"flag_values": list(range(len(FAILURES))), "flag_meanings": " ".join(FAILURES)}
        group.create_array(
            name,
            shape=tuple(sizes[dim] for dim in item.dims),
            chunks=tuple(min(chunk[dim], sizes[dim]) for dim in item.dims),
            dtype=item.dtype,
            compressors=[ZstdCodec(), Crc32cCodec()],
            fill_value=np.nan if item.dtype.startswith("float") else 0,
            dimension_names=item.dims,
            attributes={
                "units": item.units,
                "long_name": item.long_name,
                **(flags if name == "failure" else {}),
            },
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


def create_store(
    store: Any, plan: Plan, images: np.ndarray | None, masks: np.ndarray | None, most: int | None = None
) -> None:
    """Creates the arrays of `plan` in a Zarr store, and fills in the images and masks, at most `most` chunks of each.

    Its consolidated metadata comes last and makes it a run: until then, `is_made` says that it is none.
    """
    import zarr

    settings = plan.settings
    variables = variables_for(settings.metrics, masks is not None, settings.sigma == "unit", plan.layout)
    inputs = {"image": (PICTURE, images), "mask": (MASK.of_kind(plan.layout), masks)}
    sizes = {"sample": len(plan.samples), "channel": plan.channels, "y": plan.height, plan.layout.dims[-1]: plan.width}
    for name, (item, array) in inputs.items():
        if array is not None:
            shape = tuple(sizes[dim] for dim in item.dims)
            if array.shape != shape:
                raise InfodiscardError(f"The {name}s have shape {array.shape}; this run needs {shape}.")
            variables[name] = item
    group: Any = zarr.create_group(store, zarr_format=3, attributes=_attributes(plan))
    _allocate(group, variables, _coords(plan), plan.block)
    Arrays(group, plan).put_pictures(images, masks, most)
    with warnings.catch_warnings():
        # Zarr warns that its version 3 has not standardised this yet; without it, xarray.open_zarr(path) warns instead.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store)


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
    return {
        "infodiscard_format": FORMAT,
        **({"coordinates": " ".join(labels)} if labels else {}),  # the CF way to say that these are coordinates
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": json.dumps(kept),
        "settings": plan.settings.to_json(),
        "seed": plan.settings.seed,
        "hashes": json.dumps(plan.hashes),
        "versions": json.dumps(versions),
    }


def is_made(path: Any) -> bool:
    """Whether the store in a run's directory was created to the end."""
    metadata = read_whole(path / STORE / "zarr.json")
    try:
        return metadata is not None and "consolidated_metadata" in json.loads(metadata)
    except ValueError:
        return True  # damaged, which the reader reports; not to be overwritten


def holds_run(place: Any) -> bool:
    """Whether a directory, or its URL, holds a run, finished or not."""
    place = as_place(place)
    with translate_os_errors("read the run in", place):
        return is_made(place)


def read_plan(path: Any) -> Plan:
    """Returns the plan of the run in `path`; raises InfodiscardError if it cannot be read."""
    import zarr

    try:
        group: Any = zarr.open_group(zarr_store(path / STORE), mode="r", use_consolidated=True)
        parts = {key: json.loads(str(group.attrs[key])) for key in ("plan", "hashes")}
        settings = Settings.from_json(str(group.attrs["settings"]))
        parts["plan"] |= {name: group[coord][:].tolist() for name, coord in LABELS.items() if coord in group}
        samples = tuple(group["sample"][:].tolist())
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise InfodiscardError(
            f"'{path / STORE}' cannot be read as a run ({error}); it may be damaged: delete it, or give another one."
        ) from error
    plan = parts.pop("plan")
    return Plan(**plan, **parts, samples=samples, settings=settings)


def check_free(path: Any) -> None:
    """Raises InfodiscardError unless `path` holds a run, is empty, or is not there."""
    if path.exists() and not path.is_dir():
        raise InfodiscardError(f"'{path}' is a file; a run needs a directory: give another out.")
    others = [name for name in names_in(path) if not name.startswith(BESIDE)]
    if others and STORE not in others:
        raise InfodiscardError(f"'{path}' holds other files ({shorten(tuple(others))}) and no run; give another out.")


def check_same(path: Any, plan: Plan, former: Plan | None = None) -> None:
    """Raises InfodiscardError if the run in `path` has neither plan, or cannot be continued."""
    stored = read_plan(path)
    different = stored.differences(plan)
    if different and (former is None or stored.differences(former)):
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise InfodiscardError(
            f"'{path}' holds a different run: {'; '.join(different[:3])}{more}; give another out, or delete it first."
        )
    made = json.loads(read_whole(path / STORE / "zarr.json") or b"{}")["attributes"]["infodiscard_format"]
    if made != FORMAT:
        raise InfodiscardError(
            f"'{path}' was made by another version of infodiscard, which can be read but not continued (format {made}, "
            f"now {FORMAT}); give another out."
        )


def build(path: Any, plan: Plan, images: np.ndarray | None, masks: np.ndarray | None) -> None:
    """Creates the store, after removing one whose creation was interrupted; call it with the lock held."""
    if (path / STORE).exists():
        remove(path / STORE)
    create_store(zarr_store(path / STORE), plan, images, masks)


def sweep(path: Any) -> None:
    """Removes unfinished files of a killed writer; call it with the lock held."""
    if not is_local(path):  # objects in a bucket are whole or absent
        return
    for leftover in path.rglob(f"*{PARTIAL}"):
        leftover.unlink()
