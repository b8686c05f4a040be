"""Arguments of a network, collected from tensors, dicts, data sets and data loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import InfodiscardError
from .imageset import are_whole

Argument = int | str
"""Which argument of a network's forward pass: a place or a name."""

NOTES = (int, float, str, bytes, np.generic)

Collected = tuple[dict[Argument, torch.Tensor], tuple[int, ...] | None]
"""A network's arguments, `n × …` each, and the samples' classes, if known."""


def collect_arguments(data: Any, noise_on: Argument | None) -> Collected:
    """Returns a network's arguments, and the labels if there are any.

    Args:
        data: a dict of arguments, a tensor, an array, a table of pandas, a data loader, or a data set (with a length,
            or iterable) whose items are images or dicts.
        noise_on: the argument that noise is added to; if it is a number, tuples are arguments by place.

    Raises:
        InfodiscardError: it is none of these, or its items do not fit together.
    """
    if isinstance(data, Mapping):
        return {name: as_tensor(value, name) for name, value in data.items() if value is not None}, None
    if isinstance(noise_on, int) and isinstance(data, tuple | list):
        return {place: as_tensor(value, place) for place, value in enumerate(data)}, None
    if isinstance(data, torch.Tensor | np.ndarray) or hasattr(data, "to_numpy"):
        return {0: as_tensor(data)}, None
    if isinstance(data, torch.utils.data.DataLoader):
        return _joined(list(data), torch.cat, noise_on)
    if isinstance(data, torch.utils.data.IterableDataset):
        return _joined(list(data), torch.stack, noise_on)
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, str):
        raise InfodiscardError(
            f"data was a {type(data).__name__}; give an ImageSet, a float tensor n × channels × height × width, a dict "
            "of a network's inputs, a data loader, or a data set with a length whose items are such images or dicts."
        )
    return _joined([data[i] for i in range(len(data))], torch.stack, noise_on)


def as_tensor(value: Any, name: Argument | None = None) -> torch.Tensor:
    """Converts a tensor, an array or a table of pandas, `n × …`, to a tensor."""
    if isinstance(value, torch.Tensor):
        return value
    what = "The inputs are" if name is None else f"Input {name!r} is"
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if not isinstance(value, np.ndarray):
        raise InfodiscardError(f"{what} a {type(value).__name__}; give a tensor with one row per sample.")
    if value.dtype.kind not in "fiub":
        raise InfodiscardError(f"{what} an array of {value.dtype}; give an array of floats, without columns of text.")
    return torch.from_numpy(native(value))


def native(value: np.ndarray) -> np.ndarray:
    """Returns a copy that torch takes: in the machine's own byte order, of 64 bits at most, not reversed or frozen."""
    dtype = np.dtype(np.float64) if value.dtype.kind == "f" and value.dtype.itemsize > 8 else value.dtype
    return np.array(value, dtype=dtype.newbyteorder("="), order="C")


def _joined(
    items: Sequence[Any], join: Callable[[list[torch.Tensor]], torch.Tensor], noise_on: Argument | None
) -> Collected:
    """Returns the arguments and labels of a data set's items, or of a loader's batches; `join` puts them together."""
    labelled = bool(items) and all(isinstance(item, Sequence) and len(item) > 1 for item in items)
    labelled = labelled and not isinstance(noise_on, int)
    parts = [_by_argument(item, noise_on) for item in items]
    wrong = next((x for part in parts for x in part.values() if not isinstance(x, torch.Tensor)), None)
    if wrong is not None or not parts:
        what = f"a {type(wrong).__name__}" if parts else "nothing"
        raise InfodiscardError(f"The data set holds {what} where an image tensor is needed; add a ToTensor transform.")
    if any(part.keys() != parts[0].keys() for part in parts):
        raise InfodiscardError("The data set's items do not all hold the same inputs; give each of them the same.")
    first = 0 if join is torch.stack else 1
    for name in parts[0]:
        shapes = {tuple(part[name].shape[first:]) for part in parts}
        if len(shapes) > 1:
            what = "images" if name == 0 else f"inputs '{name}'"
            raise InfodiscardError(
                f"The {what} have different shapes, such as {sorted(shapes)[:2]}; resize or pad them to one."
            )
        if len({part[name].is_floating_point() for part in parts}) > 1:
            what = "Some images" if name == 0 else f"Some inputs '{name}'"
            raise InfodiscardError(
                f"{what} are integers and others floats, so that their ranges differ; convert all in the same way, "
                "such as by dividing those from 0 to 255 by 255."
            )
    joined = {name: join([part[name] for part in parts]) for name in parts[0]}
    if labelled:
        return joined, _labels([item[1] for item in items], 0 if join is torch.stack else 1)
    named = [item.get("label") if isinstance(item, Mapping) else None for item in items]
    return joined, None if "label" in joined else _labels(named, 0 if join is torch.stack else 1)


def _by_argument(item: Any, noise_on: Argument | None) -> dict[Argument, Any]:
    """Returns the arguments in one item or batch, those that are arrays as tensors.

    A number or a text in a dict of tensors is no argument, but says something of the sample, such as its class.
    """
    if isinstance(item, Mapping):
        given = {name: value for name, value in item.items() if value is not None}
        parts = {name: value for name, value in given.items() if not _is_note(value)} or given
    elif isinstance(item, Sequence) and not isinstance(item, str):
        parts = dict(enumerate(item)) if isinstance(noise_on, int) else {0: item[0]}
    else:
        parts = {0: item}
    return {name: as_tensor(value, name) if isinstance(value, np.ndarray) else value for name, value in parts.items()}


def _is_note(value: Any) -> bool:
    """Whether something is a number or a text, or a list of texts, as a data loader makes of these."""
    several = isinstance(value, list | tuple)
    return isinstance(value, NOTES) or (several and all(isinstance(each, str) for each in value))


def _labels(values: list[Any], dimensions: int) -> tuple[int, ...] | None:
    """Returns classes, if the values are such: a whole number per item (0 dimensions), or a vector per batch (1).

    Targets of a regression, and texts, are none.
    """
    try:
        numbers = [torch.as_tensor(value) for value in values]
    except (TypeError, ValueError, RuntimeError):
        return None
    if not all(each.ndim == dimensions and are_whole(each) for each in numbers):
        return None
    return tuple(int(value) for each in numbers for value in each.flatten())
