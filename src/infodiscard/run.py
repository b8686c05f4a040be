"""The result of the main job: one labelled store, written as work completes and continued after any interruption."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InfodiscardError, nearest
from .plan import Plan, Unit
from .store import (
    CELL,
    METRICS,
    STORE,
    VARIABLES,
    Lock,
    build,
    check_free,
    check_same,
    create_store,
    read_plan,
    sweep,
    told,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["Plan", "Run", "Unit", "open_run"]


class Run:
    """A run: what was measured, how, and how far to trust it.

    Made by `Run.create`, `Run.resume_or_create` (both may write) or `Run.open` (reads only). One that may write holds a
    lock on its directory until its last unit is written or `close` is called; it is a context manager.

    Attributes:
        path: its directory, which holds `run.zarr`; `None` if it is in memory only.
        plan: what defines it.
    """

    def __init__(self, plan: Plan, store: Any, path: Path | None, writable: bool, lock: Lock | None = None) -> None:
        """Wraps an open store; not meant to be called directly."""
        import zarr

        self.plan, self.path = plan, path
        self._store, self._lock = store, lock
        group: Any = zarr.open_group(store, mode="r+" if writable else "r", use_consolidated=True)
        self._arrays: dict[str, Any] = dict(group.arrays())
        place = {layer: j for j, layer in enumerate(plan.union())}
        self._at = {(n, layer): (i, place[layer]) for i, n in enumerate(plan.networks) for layer in plan.layers[n]}
        self._units = plan.units()
        # The only writer knows what is left; a reader looks again every time.
        self._left: set[Unit] | None = None
        self._left = set(self.pending()) if writable else None

    # -- making and opening ------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        plan: Plan,
        path: str | Path | None = None,
        images: np.ndarray | None = None,
        masks: np.ndarray | None = None,
    ) -> Run:
        """Creates a run with every array allocated and nothing measured.

        Args:
            plan: what it will hold.
            path: a directory that is empty or not there yet; `None` keeps the run in memory.
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
    ) -> Run:
        """Reopens the run of this plan in `path`, or creates it there; arguments and errors as for `create`.

        Raises:
            InfodiscardError: also if `path` holds a different run; nothing is overwritten.
        """
        return cls._make(plan, path, images, masks, resume=True)

    @classmethod
    def _make(
        cls, plan: Plan, path: str | Path | None, images: np.ndarray | None, masks: np.ndarray | None, resume: bool
    ) -> Run:
        if path is None:
            from zarr.storage import MemoryStore

            memory = MemoryStore()
            create_store(memory, plan, images, masks)
            return cls(plan, memory, None, writable=True)
        path = Path(path).expanduser()
        with told("write the run in", path):
            check_free(path)
            path.mkdir(parents=True, exist_ok=True)
            lock = Lock(path)
            try:
                run = cls._locked(plan, path, images, masks, resume, lock)
            except BaseException:
                lock.release()
                raise
        if run.complete:
            run.close()
        return run

    @classmethod
    def _locked(
        cls, plan: Plan, path: Path, images: np.ndarray | None, masks: np.ndarray | None, resume: bool, lock: Lock
    ) -> Run:
        if not (path / STORE).exists():
            build(path, plan, images, masks)
        elif resume:
            check_same(path, plan)
        else:
            raise InfodiscardError(f"'{path}' holds a run already; give another out, or delete it first.")
        sweep(path)
        return cls(read_plan(path), path / STORE, path, writable=True, lock=lock)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Opens a run for reading.

        Raises:
            InfodiscardError: there is no run in `path`, or it cannot be read.
        """
        path = Path(path).expanduser()
        if path.name == STORE:
            path = path.parent
        if not (path / STORE).is_dir():
            what = "is not a directory that holds a run" if path.exists() else "does not exist"
            raise InfodiscardError(f"'{path}' {what}; give the directory that was named as out when measuring.")
        return cls(read_plan(path), path / STORE, path, writable=False)

    def close(self) -> None:
        """Lets another process continue the run; reading still works."""
        if self._lock is not None:
            self._lock.release()
        self._lock, self._left = None, None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- work --------------------------------------------------------------------------------------------------------

    def pending(self) -> list[Unit]:
        """Returns the work that is left, in the order network, layer, block."""
        if self._left is not None:
            return [unit for unit in self._units if unit in self._left]
        done = self._arrays["done"][:]
        return [unit for unit in self._units if not done[self._where(unit)].all()]

    def _where(self, unit: Unit) -> tuple[int, int, slice]:
        """Returns the index of a unit in every array."""
        return (*self._at[unit.network, unit.layer], slice(unit.start, unit.stop))

    @property
    def complete(self) -> bool:
        """Whether everything planned has been measured."""
        return not (self.pending() if self._left is None else self._left)

    def write(self, unit: Unit, values: Mapping[str, np.ndarray]) -> None:
        """Stores a finished unit. A kill at any moment leaves it either finished or still pending.

        Args:
            unit: one of `pending()`.
            values: variable → array whose first dimension is the unit's samples; variables left out stay NaN or 0.

        Raises:
            InfodiscardError: the unit, a variable or a shape is not the plan's, or the disk refuses.
        """
        if self._left is None:
            raise InfodiscardError("This run was opened for reading; continue it with the command that started it.")
        if unit not in self._left:
            raise InfodiscardError(f"{unit} is finished or not part of this run; write the units that pending() lists.")
        where = self._where(unit)
        arrays = {name: self._fitting(name, unit, value) for name, value in values.items()}
        with told("write the run in", self.path or "memory"):
            for name, array in arrays.items():
                self._arrays[name][where] = array
            self._arrays["done"][where] = True  # last: this is what makes the unit count
        self._left.remove(unit)
        if not self._left:
            self.close()

    def _fitting(self, name: str, unit: Unit, value: np.ndarray) -> np.ndarray:
        """Returns `value` in the variable's type, after checking its name and shape."""
        allowed = [key for key in VARIABLES if key in self._arrays and key != "done"]
        if name not in allowed:
            raise InfodiscardError(
                f"A run has no variable '{name}' to write; the nearest are {nearest(name, allowed)}."
            )
        target, array = self._arrays[name], np.asarray(value)
        shape = (unit.stop - unit.start, *target.shape[3:])
        if array.shape != shape:
            raise InfodiscardError(f"'{name}' of {unit} has shape {array.shape}; the run holds {shape}.")
        return array.astype(target.dtype)

    def read(self, network: str, layer: str, start: int, stop: int, variable: str) -> np.ndarray:
        """Returns `variable` of samples `start:stop` of one layer, samples first (NaN where not measured).

        Raises:
            InfodiscardError: the run has no such network, layer or variable.
        """
        if (network, layer) not in self._at:
            known = [f"{n} {item}" for n, item in self._at]
            raise InfodiscardError(
                f"No layer '{layer}' of '{network}'; nearest: {nearest(f'{network} {layer}', known)}."
            )
        if variable not in self._arrays:
            raise InfodiscardError(f"No variable '{variable}'; nearest: {nearest(variable, list(self._arrays))}.")
        return np.asarray(self._arrays[variable][self._where(Unit(network, layer, start, stop))])

    # -- results -----------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it measures: `sid`, `ru` or both, SID first."""
        return tuple(name for name in METRICS if name in self._arrays)

    @property
    def dataset(self) -> xr.Dataset:
        """Everything as labelled arrays, loaded when used; each access sees what has been written until then."""
        import xarray as xr

        data = xr.open_dataset(self._store, engine="zarr", chunks=None, consolidated=True)
        # Plain strings rather than NumPy's new ones, which not every tool downstream knows; our own order of variables.
        data = data.assign_coords({name: data[name].astype(object, keep_attrs=True) for name in CELL})
        order = [*VARIABLES, *data.data_vars]
        return data[[name for name in dict.fromkeys(order) if name in data.data_vars]]

    def to_dataframe(self) -> pd.DataFrame:
        """Returns one row per network, layer and sample that was measured, with every scalar variable as a column."""
        import pandas as pd

        dataset, plan = self.dataset, self.plan
        cells = np.nonzero(dataset["done"].values)
        columns: dict[str, Any] = {
            dim: np.asarray(dataset[dim].values, dtype=object)[index] for dim, index in zip(CELL, cells, strict=True)
        }
        if plan.labels is not None:
            columns["label"] = np.asarray(plan.labels)[cells[2]]
            if plan.classes:
                columns["class"] = [plan.classes[label] for label in columns["label"]]
        for name, item in dataset.data_vars.items():
            if item.dims == CELL and name != "done":
                columns[str(name)] = item.values[cells]
        return pd.DataFrame(columns)

    def summary(self) -> pd.DataFrame:
        """Returns one row per network and layer: means over the samples, standard errors (`_se`), shares.

        `converged`, `ru_converged` and `cap_matters` are shares of the samples; `sid`, `ru` and their concentrations
        have standard errors over samples (n − 1), NaN for a single one.
        """
        frame = self.to_dataframe()
        groups = frame.groupby(["network", "layer"], sort=False)
        table = groups.size().rename("n").to_frame()
        for name in [name for name in ("sid", "concentration", "ru", "ru_concentration") if name in frame]:
            table[name] = groups[name].mean()
            table[f"{name}_se"] = groups[name].sem()
        trust = ["converged", "feature_distance", "passes", "gap", "capped_share", "cap_matters"]
        trust += ["ru_floor", "ru_converged", "ru_feature_distance", "ru_passes", "ru_gap"]
        for name in [name for name in trust if name in frame]:
            table[name] = groups[name].mean()
        return table.reset_index()

    def plot_layers(self, path: str | Path | None = None, metric: str | None = None) -> Figure:
        """Draws the layer curve, and writes it to `path` if given; see `infodiscard.plots.layer_curve`."""
        from .plots import layer_curve

        return layer_curve(self, metric=metric, path=path)

    def plot_maps(
        self, path: str | Path | None = None, network: str | None = None, metric: str | None = None
    ) -> Figure:
        """Draws the sheet of maps, and writes it to `path` if given; see `infodiscard.plots.map_sheet`."""
        from .plots import map_sheet

        return map_sheet(self, network=network, metric=metric, path=path)

    def plot_reconstructions(self, path: str | Path | None = None, network: str | None = None) -> Figure:
        """Draws the inputs as decoders restore them; see `infodiscard.plots.reconstruction_sheet`."""
        from .plots import reconstruction_sheet

        return reconstruction_sheet(self, network=network, path=path)

    def report(self, path: str | Path | None = None) -> Path:
        """Writes one self-contained page, to `report.html` in the run's directory if not to `path`.

        See `infodiscard.report.write_page`, also for a page about several runs.
        """
        from .report import write_page

        return write_page(self, path)

    def __repr__(self) -> str:
        """Says what the run holds and how much of it is there."""
        plan, total = self.plan, len(self._units)
        layers = sum(map(len, plan.layers.values()))
        finished = total - len(self.pending())
        return (
            f"<Run of {', '.join(plan.networks)}: {layers} layers × {len(plan.samples)} samples of {plan.size}, "
            f"{finished} of {total} units done, {self.path or 'in memory'}>"
        )

    def _repr_html_(self) -> str:
        """Shows the summary in a notebook."""
        from html import escape

        return f"<p>{escape(repr(self))}</p>{self.summary().to_html(index=False, float_format='{:.3f}'.format)}"


def open_run(path: str | Path) -> Run:
    """Opens a finished or unfinished run for reading.

    Raises:
        InfodiscardError: there is no run in `path`.
    """
    return Run.open(path)
