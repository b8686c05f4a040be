"""Arrays of a run, read and written unit by unit, and checked for damage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..core.metrics import all_variables
from ..errors import InfodiscardError, nearest
from .places import zarr_store
from .plan import Plan, Unit


class Arrays:
    """The arrays of a run, read and written unit by unit, by whichever process has computed one.

    Args:
        group: the Zarr group.
        plan: of the run.

    Attributes:
        created: when the run was created.
    """

    def __init__(self, group: Any, plan: Plan) -> None:
        self.plan, self._store = plan, group.store
        self.created = str(group.attrs["created"])
        # A finished unit has all its chunks, even those of the fill value alone, so that a missing one is noticed; a
        # mark that says "not done" is not stored at all.
        self._arrays: dict[str, Any] = {
            name: array.with_config({"write_empty_chunks": name != "done"}) for name, array in group.arrays()
        }
        place = {layer: j for j, layer in enumerate(plan.union())}
        self._at = {(n, layer): (i, place[layer]) for i, n in enumerate(plan.networks) for layer in plan.layers[n]}

    @cached_property
    def units(self) -> list[Unit]:
        """All the work; a worker, which gets its units, does without this list."""
        return self.plan.units()

    @classmethod
    def open(cls, place: Any, plan: Plan, writable: bool = False) -> Arrays:
        """Opens the store at a place, or one that is open already."""
        import zarr  # slow

        store = zarr_store(place) if hasattr(place, "iterdir") else place
        return cls(zarr.open_group(store, mode="r+" if writable else "r", use_consolidated=True), plan)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def _where(self, unit: Unit) -> tuple[int, int, slice]:
        """Returns the index of a unit in every array."""
        return (*self._at[unit.network, unit.layer], slice(unit.start, unit.stop))

    def finished(self) -> set[Unit]:
        """Returns the units that are marked as done, from a listing of their marks."""
        marks = self._keys("done")
        return {unit for unit in self.units if self._key("done", unit) in marks} if marks else set()

    def _key(self, name: str, unit: Unit) -> str:
        """Returns the key of a unit's only chunk of a variable."""
        i, j, _ = self._where(unit)
        inner = len(self._arrays[name].shape) - 3
        return "/".join([name, "c", *map(str, (i, j, unit.start // self.plan.block)), *["0"] * inner])

    def _keys(self, name: str) -> set[str]:
        """Returns the keys of all stored chunks of an array."""
        return self._listed(f"{name}/c/")

    def _listed(self, prefix: str) -> set[str]:
        async def listed() -> set[str]:
            return {key async for key in self._store.list_prefix(prefix)}

        return _waited_for(listed())

    def write(self, unit: Unit, values: Mapping[str, np.ndarray]) -> None:
        """Stores a unit, its mark last, which makes it count as finished.

        Args:
            unit: one of the plan's.
            values: variable → array whose first dimension is the unit's samples; omitted variables get the fill value.

        Raises:
            InfodiscardError: a variable or a shape is not the plan's.
            OSError: the disk refuses.
        """
        fitting = {name: self._fitting(name, unit, value) for name, value in values.items()}
        where = self._where(unit)
        for name in self.written():
            self._arrays[name][where] = fitting.get(name, self._arrays[name].fill_value)
        self._arrays["done"][where] = True

    def written(self) -> list[str]:
        """Returns the variables that every unit writes."""
        return [name for name in all_variables() if name in self._arrays and name != "done"]

    def _fitting(self, name: str, unit: Unit, value: np.ndarray) -> np.ndarray:
        """Returns `value` in the variable's type, after checking its name and shape."""
        if name not in self.written():
            raise InfodiscardError(
                f"A run has no variable '{name}' to write; the nearest are {nearest(name, self.written())}."
            )
        target, array = self._arrays[name], np.asarray(value)
        shape = (unit.stop - unit.start, *target.shape[3:])
        if array.shape != shape:
            raise InfodiscardError(f"'{name}' of {unit} has shape {array.shape}; the run holds {shape}.")
        return array.astype(target.dtype)

    def read(self, unit: Unit, variable: str) -> np.ndarray:
        """Returns a variable of a unit, or of any other samples of a layer.

        Raises:
            InfodiscardError: the run has no such network, layer or variable.
        """
        if (unit.network, unit.layer) not in self._at:
            known = [f"{n} {item}" for n, item in self._at]
            asked = f"{unit.network} {unit.layer}"
            raise InfodiscardError(f"No layer '{unit.layer}' of '{unit.network}'; nearest: {nearest(asked, known)}.")
        if variable not in self._arrays:
            raise InfodiscardError(f"No variable '{variable}'; nearest: {nearest(variable, list(self._arrays))}.")
        return np.asarray(self._arrays[variable][self._where(unit)])

    def put_pictures(self, images: np.ndarray | None, masks: np.ndarray | None, most: int | None = None) -> None:
        """Writes the missing chunks of the images and masks; of each at most `most`, evenly spread.

        Args:
            images: `samples × channels × height × width`, in [0, 1].
            masks: `samples` × the dimensions of a map, true on the object.
            most: how many chunks of each; all by default.
        """
        for name, values in (("image", images), ("mask", masks)):
            if values is None or name not in self._arrays:
                continue
            array, there = self._arrays[name], self._keys(name)
            chunks = list(self._picture_blocks(name))
            for key, rows in chunks[:: 1 if most is None else -(-len(chunks) // most)]:
                if key not in there:
                    array[rows] = np.asarray(values[rows]).astype(array.dtype)

    def _picture_blocks(self, name: str) -> Iterator[tuple[str, slice]]:
        """Yields the key and the samples of each chunk of the images or masks."""
        block, count = self._arrays[name].chunks[0], len(self.plan.samples)
        inner = ["0"] * (len(self._arrays[name].shape) - 1)
        for start in range(0, count, block):
            yield "/".join([name, "c", str(start // block), *inner]), slice(start, min(start + block, count))

    # -- size --------------------------------------------------------------------------------------------------------

    def size(self, unit: Unit) -> int:
        """Returns the bytes of a finished unit in the store."""
        return self._bytes(self._key(name, unit) for name in (*self.written(), "done"))

    def raw_size(self, samples: int) -> int:
        """Returns the bytes of that many samples of a layer before compression."""
        arrays = [self._arrays[name] for name in (*self.written(), "done")]
        return samples * sum(math.prod(each.shape[3:]) * each.dtype.itemsize for each in arrays)

    def fixed(self) -> tuple[float, int]:
        """Returns the bytes and objects of all but the units, before there are any; those of pictures are estimated."""
        keys = self._listed("")
        size, objects = float(self._bytes(keys)), len(keys)
        for name in [name for name in ("image", "mask") if name in self._arrays]:
            there, chunks = self._keys(name), list(self._picture_blocks(name))
            samples = sum(rows.stop - rows.start for key, rows in chunks if key in there)
            size += self._bytes(there) * (len(self.plan.samples) / max(samples, 1) - 1)
            objects += len(chunks) - len(there)
        return size, objects

    def _bytes(self, keys: Iterable[str]) -> int:
        return sum(_waited_for(self._store.getsize(key)) for key in keys)

    # -- damage ------------------------------------------------------------------------------------------------------

    def damage(self, finished: Iterable[Unit] | None = None) -> Iterator[tuple[Unit, list[str]]]:
        """Reads everything that the finished units have stored; yields each unit and the names of its damaged chunks.

        A chunk is damaged if it is missing, or if its checksum does not fit.
        """
        there = {name: self._keys(name) for name in (*self.written(), "done")}
        for unit in self.units if finished is None else finished:
            if self._key("done", unit) not in there["done"]:
                continue
            where = self._where(unit)
            yield (
                unit,
                [
                    name
                    for name in there
                    if self._key(name, unit) not in there[name] or not _readable(self._arrays[name], where)
                ],
            )

    def damaged_pictures(self) -> list[tuple[str, slice]]:
        """Returns the images' and masks' chunks that are missing or damaged: name, and samples."""
        return [
            (name, rows)
            for name in ("image", "mask")
            if name in self._arrays
            for there in [self._keys(name)]
            for key, rows in self._picture_blocks(name)
            if key not in there or not _readable(self._arrays[name], (rows,))
        ]

    def forget(self, unit: Unit) -> None:
        """Removes a unit from the store, its mark first, so that it is measured again."""
        self._delete([self._key(name, unit) for name in ("done", *self.written())])

    def forget_pictures(self, name: str, rows: slice) -> None:
        """Removes a chunk of the images or masks; it is written again when the run is continued."""
        self._delete([key for key, each in self._picture_blocks(name) if each == rows])

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            _waited_for(self._store.delete(key))


def _waited_for(coroutine: Any) -> Any:
    """Returns what a method of a Zarr store gives, all of which are asynchronous."""
    from zarr.core.sync import sync  # slow

    return sync(coroutine)


def _readable(array: Any, where: tuple[Any, ...]) -> bool:
    """Whether a part of an array can be read."""
    try:
        array[where]
    except Exception:  # each codec has errors of its own for broken bytes
        return False
    return True
