"""Stored run: one labelled store, written as work completes and continued after any interruption."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..core.files import translate_os_errors
from ..core.metrics import METRICS, all_variables
from ..core.metrics.variable import CELL, FAILURES
from ..errors import InfodiscardError
from .arrays import Arrays
from .locks import Lease, Lock, lock
from .places import as_place, is_local, zarr_store
from .plan import Plan, Unit
from .store import STORE, build, check_free, check_same, create_store, is_made, read_plan, sweep

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class StoredRun:
    """A run as it is stored: what was measured, how, and how far to trust it.

    Made by `create`, `resume_or_create` (both may write) or `open` (reads only). A writer holds a lock on its
    directory until its last unit is written or `close` is called; it is a context manager.

    Attributes:
        path: its directory, which holds `run.zarr`; `None` if it is in memory only.
        plan: what defines it.
        arrays: how it is stored, unit by unit.
    """

    def __init__(
        self, plan: Plan, store: Any, path: Any | None, writable: bool, held: Lock | Lease | None = None
    ) -> None:
        """Wraps an open store; not meant to be called directly."""
        self.plan, self.path = plan, path
        self._store, self._lock = store, held
        self.arrays = Arrays.open(store, plan, writable)
        self._units = self.arrays.units
        # The only writer knows what is left; a reader looks again every time.
        self._left: set[Unit] | None = None
        self._left = set(self.pending()) if writable else None

    # -- creating and opening ----------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        plan: Plan,
        path: str | Path | None = None,
        images: np.ndarray | None = None,
        masks: np.ndarray | None = None,
    ) -> Self:
        """Creates a run with every array allocated and nothing measured.

        Args:
            plan: what it will hold.
            path: a directory or URL that is empty or absent; `None` keeps the run in memory.
            images: `samples × channels × height × width`, in [0, 1], for pictures.
            masks: `samples × height × width`, true on the object; with them the run holds concentrations.

        Raises:
            InfodiscardError: the directory holds something, cannot be written, or is being written by another process.
        """
        return cls._make(plan, path, images, masks, resume=False)

    @classmethod
    def resume_or_create(
        cls,
        plan: Plan,
        path: str | Path | None,
        images: np.ndarray | None = None,
        masks: np.ndarray | None = None,
        former: Plan | None = None,
    ) -> Self:
        """Reopens the run of this plan in `path`, or creates it there; arguments and errors as for `create`.

        Args:
            plan, path, images, masks: as for `create`.
            former: the same plan as an earlier version would have made it; its run is continued under it.

        Raises:
            InfodiscardError: also if `path` holds a different run; nothing is overwritten.
        """
        return cls._make(plan, path, images, masks, resume=True, former=former)

    @classmethod
    def _make(
        cls,
        plan: Plan,
        path: Any,
        images: np.ndarray | None,
        masks: np.ndarray | None,
        resume: bool,
        former: Plan | None = None,
    ) -> Self:
        if path is None:
            from zarr.storage import MemoryStore

            memory = MemoryStore()
            create_store(memory, plan, images, masks)
            return cls(plan, memory, None, writable=True)
        path = as_place(path)
        with translate_os_errors("write the run in", path):
            check_free(path)
            if is_local(path):
                path.mkdir(parents=True, exist_ok=True)
            held = lock(path)
            try:
                run = cls._continue_or_build(plan, path, images, masks, resume, held, former)
            except BaseException:
                held.release()
                raise
        if run.complete:
            run.close()
        return run

    @classmethod
    def _continue_or_build(
        cls,
        plan: Plan,
        path: Any,
        images: np.ndarray | None,
        masks: np.ndarray | None,
        resume: bool,
        held: Lock | Lease,
        former: Plan | None,
    ) -> Self:
        """Opens the store for writing, with the lock held."""
        there = is_made(path)
        if there and not resume:
            raise InfodiscardError(f"'{path}' holds a run already; give another out, or delete it first.")
        if there:
            check_same(path, plan, former)
        else:
            build(path, plan, images, masks)
        sweep(path)
        run = cls(read_plan(path), zarr_store(path / STORE), path, writable=True, held=held)
        if there:
            run.arrays.put_pictures(images, masks)  # those removed because they were damaged
        return run

    @classmethod
    def open(cls, path: str | Path | Any) -> Self:
        """Opens a run for reading.

        Args:
            path: its directory, or its URL, such as `s3://bucket/run`.

        Raises:
            InfodiscardError: there is no run in `path`, or it cannot be read.
        """
        path = as_place(path)
        if path.name == STORE:
            path = path.parent
        with translate_os_errors("read the run in", path):
            if not is_made(path):
                what = "is not a directory that holds a run" if path.exists() else "does not exist"
                raise InfodiscardError(f"'{path}' {what}; give the directory that was named as out when measuring.")
            return cls(read_plan(path), zarr_store(path / STORE), path, writable=False)

    def close(self) -> None:
        """Lets another process continue the run; reading still works."""
        if self._lock is not None:
            self._lock.release()
        self._lock, self._left = None, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def created(self) -> str:
        """When it was created, which distinguishes it from an earlier run in the same place."""
        return self.arrays.created

    # -- work --------------------------------------------------------------------------------------------------------

    def pending(self) -> list[Unit]:
        """Returns the remaining work, in the order of `Plan.units`."""
        left = self._left
        if left is None:
            left = set(self._units) - self.arrays.finished()
        return [unit for unit in self._units if unit in left]

    @property
    def complete(self) -> bool:
        """Whether everything planned has been measured."""
        return not (self.pending() if self._left is None else self._left)

    def write(self, unit: Unit, values: Mapping[str, np.ndarray]) -> None:
        """Stores a finished unit. A kill at any moment leaves it either finished or still pending.

        Args:
            unit: one of `pending()`.
            values: variable → array whose first dimension is the unit's samples; omitted variables stay NaN or 0.

        Raises:
            InfodiscardError: the unit, a variable or a shape is not the plan's, or the disk refuses.
        """
        if self._left is None:
            raise InfodiscardError("This run was opened for reading; continue it with the command that started it.")
        if unit not in self._left:
            raise InfodiscardError(f"{unit} is finished or not part of this run; write the units that pending() lists.")
        with translate_os_errors("write the run in", self.path or "memory"):
            self.arrays.write(unit, values)
        self.mark(unit)

    def mark(self, unit: Unit) -> None:
        """Records that a unit of `pending()` is stored, by whichever process.

        Raises:
            InfodiscardError: another process has taken over the lock.
        """
        assert self._left is not None  # only the holder of the lock calls it
        self._left.remove(unit)
        if self._lock is not None and self._lock.lost:
            raise InfodiscardError(
                f"Another process has taken over the run in '{self.path}', as this one had been silent for a while; "
                "let that one finish."
            )
        if not self._left:
            self.close()

    def read(self, network: str, layer: str, start: int, stop: int, variable: str) -> np.ndarray:
        """Returns `variable` of samples `start:stop` of one layer, samples first (NaN where not measured).

        Raises:
            InfodiscardError: the run has no such network, layer or variable.
        """
        return self.arrays.read(Unit(network, layer, start, stop), variable)

    # -- results -----------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it measures, in the order of `METRICS`."""
        return tuple(name for name in METRICS if name in self.arrays)

    @property
    def dataset(self) -> xr.Dataset:
        """Everything as labelled arrays, loaded when used; each access includes what has been written by then."""
        import xarray as xr

        data = xr.open_dataset(self._store, engine="zarr", chunks=None, consolidated=True)
        # Plain strings rather than NumPy's new ones, which not every tool downstream knows; variables in our own order.
        words = [name for name in (*CELL, "text") if name in data.coords]
        data = data.assign_coords({name: data[name].astype(object, keep_attrs=True) for name in words})
        order = [*all_variables(), *data.data_vars]
        return data[[name for name in dict.fromkeys(order) if name in data.data_vars]]

    def to_dataframe(self) -> pd.DataFrame:
        """Returns one row per network, layer and sample that was measured, with every scalar variable as a column."""
        import pandas as pd

        dataset, plan = self.dataset, self.plan
        cells, columns = self._cells(dataset, measured=True)
        if plan.labels is not None:
            columns["label"] = np.asarray(plan.labels)[cells[2]]
            if plan.classes:
                columns["class"] = [plan.classes[label] for label in columns["label"]]
        for name, item in dataset.data_vars.items():
            if item.dims == CELL and name not in ("done", "failure"):
                columns[str(name)] = item.values[cells]
        return pd.DataFrame(columns)

    @staticmethod
    def _cells(dataset: xr.Dataset, measured: bool) -> tuple[tuple[np.ndarray, ...], dict[str, Any]]:
        """Returns the places of the cells that were measured, or that could not be, and their names by dimension."""
        done = dataset["done"].values
        failed = dataset["failure"].values > 0 if "failure" in dataset else np.zeros_like(done)
        cells = np.nonzero(done & (failed != measured))
        names = zip(CELL, cells, strict=True)
        return cells, {dim: np.asarray(dataset[dim].values, dtype=object)[index] for dim, index in names}

    def failures(self) -> pd.DataFrame:
        """Returns one row per network, layer and sample that could not be measured, and `why`.

        They are omitted everywhere else. Why, in the terms of `core.metrics.variable.FAILURES`: its file cannot be
        decoded, its feature (or that of its noisy versions) is not finite or does not react to noise, the noise is
        rounded away beside it, or it does not call the layer.
        """
        import pandas as pd

        dataset = self.dataset
        cells, columns = self._cells(dataset, measured=False)
        reasons: Any = dataset["failure"].values[cells] if "failure" in dataset else []
        return pd.DataFrame(columns | {"why": [FAILURES[reason].replace("_", " ") for reason in reasons]})

    def __repr__(self) -> str:
        """Describes what the run holds and how much of it is measured."""
        plan, total = self.plan, len(self._units)
        layers = sum(map(len, plan.layers.values()))
        finished = total - len(self.pending())
        return (
            f"<Run of {', '.join(plan.networks)}: {layers} layers × {len(plan.samples)} samples of {plan.size}, "
            f"{finished} of {total} units done, {self.path or 'in memory'}>"
        )
