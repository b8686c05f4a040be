"""Arguments of a network, collected from tensors, dicts, data sets and data loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import InfodiscardError

Argument = int | str
"""Which argument of a network's forward pass: a place or a name."""

Collected = tuple[dict[Argument, torch.Tensor], tuple[int, ...] | None]
"""A network's arguments, `n × …` each, and the samples' classes, if known."""


def collect_arguments(data: Any, noise_on: Argument | None) -> Collected:
    """Returns a network's arguments, and the labels if there are any.

    Args:
        data: a dict of arguments, a tensor, an array, a data loader, or a data set whose items are images or dicts.
        noise_on: the argument that noise is added to; if it is a number, tuples are arguments by place.

    Raises:
        InfodiscardError: it is none of these, or its items do not fit together.
    """
    if isinstance(data, Mapping):
        return {name: as_tensor(value, name) for name, value in data.items() if value is not None}, None
    if isinstance(noise_on, int) and isinstance(data, tuple | list):
        return {place: as_tensor(value, place) for place, value in enumerate(data)}, None
    if isinstance(data, torch.Tensor | np.ndarray):
        return {0: as_tensor(data)}, None
    if isinstance(data, torch.utils.data.DataLoader):
        return _joined(list(data), torch.cat, noise_on)
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")) or isinstance(data, str):
        raise InfodiscardError(
            f"data was a {type(data).__name__}; give an ImageSet, a float tensor n × channels × height × width, a dict "
            "of a network's inputs, a data loader, or a data set with a length whose items are such images or dicts."
        )
    return _joined([data[i] for i in range(len(data))], torch.stack, noise_on)


def as_tensor(value: Any, name: Argument | None = None) -> torch.Tensor:
    """Converts a tensor or an array, `n × …`, to a tensor."""
    if isinstance(value, torch.Tensor):
        return value
    what = "The images are" if name is None else f"Input {name!r} is"
    if not isinstance(value, np.ndarray):
        raise InfodiscardError(f"{what} a {type(value).__name__}; give a tensor with one row per sample.")
    if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
        raise InfodiscardError(f"{what} an array of {value.dtype}; give an array of floats.")
    # A copy in the machine's own byte order: torch takes no reversed or read-only arrays.
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))


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
    joined = {name: join([part[name] for part in parts]) for name in parts[0]}
    return joined, _labels([item[1] for item in items], join) if labelled else None


def _by_argument(item: Any, noise_on: Argument | None) -> dict[Argument, Any]:
    """Returns the arguments in one item or batch."""
    if isinstance(item, Mapping):
        return {name: value for name, value in item.items() if value is not None}
    if isinstance(item, Sequence) and not isinstance(item, str):
        return dict(enumerate(item)) if isinstance(noise_on, int) else {0: item[0]}
    return {0: item}


def _labels(values: list[Any], join: Callable[[list[torch.Tensor]], torch.Tensor]) -> tuple[int, ...] | None:
    """Returns classes, if the values are such: a number per item, or a vector of them per batch."""
    dimensions = 0 if join is torch.stack else 1
    if not all(isinstance(value, int) or getattr(value, "ndim", dimensions + 1) == dimensions for value in values):
        return None
    return tuple(int(value) for batch in values for value in ([batch] if dimensions == 0 else batch))
