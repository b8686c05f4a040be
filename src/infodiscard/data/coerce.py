"""Coercion of user data to `Inputs`: image sets, texts, tensors, data sets and data loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..core.kinds import IMAGE, TOKENS, Layout, find_layout
from ..errors import InfodiscardError, quoted, unboxed
from ..networks.state import generators_kept
from .collect import Argument, collect_arguments
from .imageset import ImageSet
from .inputs import EMBEDS, IDS, Inputs, finite
from .masks import box_masks, check_object, truth
from .textset import TextSet


@dataclass(frozen=True)
class _Parts:
    """User data taken apart.

    Attributes:
        arguments: the network's arguments by place or name, `n × …` each.
        masks, valid: those that come with the data, if any.
        names, labels, classes, unreadable, tokens, words, source, options: as in `Inputs`.
    """

    arguments: Mapping[Argument, torch.Tensor]
    masks: torch.Tensor | None = None
    valid: torch.Tensor | None = None
    names: tuple[str, ...] = ()
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    tokens: tuple[tuple[str, ...], ...] = ()
    words: tuple[tuple[int, ...], ...] = ()
    source: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def coerce_inputs(
    data: Any, masks: Any = None, kind: str | None = None, noise_on: Argument | None = None, valid: Any = None
) -> Inputs:
    """Converts an `ImageSet`, a `TextSet`, tensors, a data set or a loader to `Inputs`; arguments as for `measure`.

    Raises:
        InfodiscardError: what noise is added to is not named, not floats, not finite or of no known kind, or the other
            inputs, masks or padding do not fit it.
    """
    noise_on = unboxed(noise_on)
    if isinstance(noise_on, bool) or not isinstance(noise_on, str | int | None):
        raise InfodiscardError(f"noise_on was {quoted(noise_on)}; give the name or the place of one of the inputs.")
    with generators_kept():  # a loader draws a seed even where it does not shuffle
        parts = _take_apart(data, noise_on)
    noise_on = _noisy_argument(parts.arguments, noise_on)
    values, layout = _values(parts.arguments[noise_on], noise_on, kind)
    inputs = Inputs(
        values,
        parts.names or tuple(map(str, range(len(values)))),
        _masks(parts.masks, values, layout) if masks is None else _given_masks(masks, values, layout),
        parts.labels,
        parts.classes,
        layout,
        noise_on,
        {name: _other(name, value, len(values)) for name, value in parts.arguments.items() if name != noise_on},
        unreadable=parts.unreadable,
        tokens=parts.tokens,
        words=parts.words,
        source=parts.source,
        options=parts.options,
    )
    valid = parts.valid if valid is None else valid
    return replace(inputs, valid=_valid(_attended(inputs) if valid is None else valid, inputs))


# -- kinds of data ---------------------------------------------------------------------------------------------------


def _image_parts(data: ImageSet) -> _Parts:
    labels = None if data.labels is None else tuple(data.labels.tolist())
    return _Parts(
        {0: data.images},
        data.masks,
        names=data.names,
        labels=labels,
        classes=data.classes,
        unreadable=data.unreadable,
        source=data.source,
        options=data.options,
    )


def _text_parts(data: TextSet) -> _Parts:
    return _Parts(
        {IDS: data.ids},
        valid=data.valid,
        names=data.names,
        tokens=data.tokens,
        words=data.words,
        source=data.source,
    )


_KINDS: dict[type, Callable[[Any], _Parts]] = {ImageSet: _image_parts, TextSet: _text_parts}
"""The package's own classes of data → what is in them."""


def _take_apart(data: Any, noise_on: Argument | None) -> _Parts:
    for kind, parts in _KINDS.items():
        if isinstance(data, kind):
            return parts(data)
    arguments, labels = collect_arguments(data, noise_on)
    return _Parts(arguments, labels=labels)


# -- what noise is added to ------------------------------------------------------------------------------------------


def _noisy_argument(arguments: Mapping[Argument, torch.Tensor], noise_on: Argument | None) -> Argument:
    """Returns the argument that noise is added to, which is the only one of floats if none is named."""
    if not arguments:
        raise InfodiscardError("data was an empty dict; give the network's inputs by name.")
    if noise_on in (None, EMBEDS) and EMBEDS not in arguments and IDS in arguments:
        return IDS
    if noise_on is None:
        floats = [name for name, value in arguments.items() if value.is_floating_point()]
        if len(floats) > 1 or (not floats and len(arguments) > 1):
            raise InfodiscardError(
                f"The inputs are {', '.join(map(str, arguments))}; say with noise_on which of them noise is added to."
            )
        return floats[0] if floats else next(iter(arguments))
    if noise_on not in arguments:
        raise InfodiscardError(
            f"noise_on was {noise_on!r}, but the inputs are {', '.join(map(repr, arguments))}; name one of them."
        )
    return noise_on


def _values(native: torch.Tensor, noise_on: Argument, kind: str | None) -> tuple[torch.Tensor, Layout]:
    """Returns the inputs that noise is added to as `n × C × H × W`, and how the network takes them."""
    if noise_on == IDS:
        return TOKENS.inside(_checked_ids(native)[..., None]), TOKENS
    layout = find_layout("tokens" if kind is None and noise_on == EMBEDS else kind, tuple(native.shape))
    if not native.is_floating_point():
        what, dtype = "images" if layout is IMAGE else "inputs", str(native.dtype).removeprefix("torch.")
        how = "images / 255 normalised as in its training" if layout is IMAGE else "the values it was trained on"
        raise InfodiscardError(
            f"The {what} are integers ({dtype}); give floats in the network's input space, such as {how}."
        )
    return finite(layout.inside(native), layout), layout


def _checked_ids(ids: torch.Tensor) -> torch.Tensor:
    """Returns tokens' numbers, `n × tokens`, on the CPU, or raises InfodiscardError."""
    if ids.ndim != 2 or 0 in ids.shape or ids.is_floating_point():
        raise InfodiscardError(
            f"{IDS} are {str(ids.dtype).removeprefix('torch.')} of shape {tuple(ids.shape)}; give whole numbers, "
            "n × tokens."
        )
    return ids.detach().cpu().long()


# -- what goes with it -----------------------------------------------------------------------------------------------


def _other(name: Argument, value: torch.Tensor, n: int) -> torch.Tensor:
    """Returns a further input, `n × …`, on the CPU, or raises InfodiscardError."""
    if value.ndim == 0 or len(value) != n:
        raise InfodiscardError(
            f"Input {name!r} has shape {tuple(value.shape)}; its first dimension must be the {n} samples: expand what "
            "they share."
        )
    return value.detach().cpu()


def _masks(masks: Any, values: torch.Tensor, layout: Layout) -> torch.Tensor | None:
    """Returns masks `n × H × W`, from masks or, of images, boxes (x, y, width, height)."""
    if masks is None:
        return None
    n, _, height, width = values.shape
    shape = (n, height, width) if layout is IMAGE else (n, width)
    wanted = f"masks of shape {shape}"
    if layout is IMAGE:
        wanted += f" or boxes of shape {(n, 4)} as x, y, width, height"
    masks = _numbers(masks, "The masks", wanted)
    if tuple(masks.shape) == shape:
        return layout.unchart(truth(masks, "The masks"))
    if tuple(masks.shape) != (n, 4) or layout is not IMAGE:
        raise InfodiscardError(
            f"The masks have shape {tuple(masks.shape)}; for these {'images' if layout is IMAGE else 'inputs'} give "
            f"{wanted}."
        )
    return box_masks(masks, height, width)


def _given_masks(masks: Any, values: torch.Tensor, layout: Layout) -> torch.Tensor | None:
    """Returns masks as `_masks` does, if they are of an object; those of a data set may have lost it by a crop."""
    found = _masks(masks, values, layout)
    if found is not None:
        check_object(found)
    return found


def _attended(inputs: Inputs) -> torch.Tensor | None:
    """Returns a transformer's `attention_mask`, `n × tokens`, if it says where the tokens are."""
    mask = inputs.others.get("attention_mask") if inputs.layout is TOKENS else None
    return mask if mask is not None and mask.shape == (len(inputs.names), inputs.shape[2]) else None


def _valid(valid: Any, inputs: Inputs) -> torch.Tensor | None:
    """Returns where the samples are not padding, `n × H × W`; `None` where there is none."""
    if valid is None:
        return None
    layout, shape = inputs.layout, (len(inputs.names), inputs.shape[2])
    if layout.axes not in ("WC", "CW"):
        raise InfodiscardError(f"valid was given, but an input of kind '{layout.name}' has no padding to leave out.")
    valid = _numbers(valid, "valid", f"true where there is no padding, of shape {shape}")
    if tuple(valid.shape) != shape:
        raise InfodiscardError(f"valid has shape {tuple(valid.shape)}; for these inputs give {shape}.")
    valid = truth(valid, "The values of valid")
    starts = (valid & ~torch.nn.functional.pad(valid, (1, 0))[:, :-1]).sum(1)
    if (starts != 1).any():
        bad = int((starts != 1).nonzero()[0])
        what = "no position that is not padding" if starts[bad] == 0 else "padding between its positions"
        raise InfodiscardError(f"Input {bad} has {what}; padding may stand before and behind a sample only.")
    return None if valid.all() else layout.unchart(valid)


def _numbers(values: Any, what: str, wanted: str) -> torch.Tensor:
    """Converts an array, or nested lists, of numbers to a tensor on the CPU."""
    try:
        return torch.as_tensor(np.array(values) if isinstance(values, np.ndarray) else values).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InfodiscardError(
            f"{what} {'are' if what.endswith('masks') else 'is'} a {type(values).__name__} that holds no array of "
            f"numbers; give {wanted}."
        ) from error
