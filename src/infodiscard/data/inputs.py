"""Whatever the user gives as data, taken once to one exact form."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.kinds import IMAGE, TOKENS, Layout, find_layout
from ..errors import InfodiscardError
from ..networks.network import Network
from ..networks.probe import Call
from .collect import Argument, gathered

CAP_RANGES = 10.0
"""The default cap in units of the input space's dynamic range: it binds only where a layer does not look."""


IDS, EMBEDS = "input_ids", "inputs_embeds"
"""Tokens as numbers, and what a transformer makes of them first, which is what noise can be added to."""


@dataclass(frozen=True)
class Inputs:
    """The samples of a run.

    Attributes:
        images: what noise is added to: images, or inputs of another kind laid out like them, `n × C × H × W`; float,
            finite. Tokens that are still numbers are integers.
        names: n unique ids.
        masks: `n × H × W` bool, true on the object, or `None`.
        labels, classes: the samples' classes, if known.
        layout: how the network takes `images`.
        noise_on: the network's argument that `images` are.
        others: its further arguments, `n × …` each; no noise is added to them.
        valid: `n × H × W` bool, false on padding, or `None`; true in one unbroken stretch of each sample.
        unreadable: names of samples whose input could not be read, and stands here as zeros → why.
        span: least and greatest value of all images; those of the whole set also in a part of it.
        tokens, words: of texts, what each token stands for and its word, as a `TextSet` has them; else empty.
    """

    images: torch.Tensor
    names: tuple[str, ...]
    masks: torch.Tensor | None = None
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    layout: Layout = IMAGE
    noise_on: Argument = 0
    others: Mapping[Argument, torch.Tensor] = field(default_factory=dict)
    valid: torch.Tensor | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    span: tuple[float, float] | None = None
    tokens: tuple[tuple[str, ...], ...] = ()
    words: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.span is None and self.layout is IMAGE and len(self.images):
            images = self.images.detach()
            object.__setattr__(self, "span", (float(images.min()), float(images.max())))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one input."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def call(self, noisy: torch.Tensor, beside: Sequence[torch.Tensor]) -> Call:
        """Returns the arguments of a forward pass.

        Args:
            noisy: instead of `images`, `batch × C × H × W`.
            beside: instead of `others`, in their order, `batch × …` each.
        """
        named = dict(zip(self.others, beside, strict=True)) | {self.noise_on: self.layout.outside(noisy)}
        if isinstance(self.noise_on, int):
            return tuple(named[place] for place in range(len(named)))
        return {str(name): value for name, value in named.items()}

    def readable(self) -> list[int]:
        """Returns the places of the samples that could be read."""
        return [row for row, name in enumerate(self.names) if name not in self.unreadable]

    def unpadded(self, rows: slice | list[int] = slice(None)) -> Iterator[tuple[list[int], slice, Inputs]]:
        """Splits some of the samples into groups of one extent each, and takes off their padding.

        What is measured never meets the padding: neither the solver nor the network. Other inputs lose theirs too, if
        their second dimension runs along the positions.

        Yields:
            The group's places among `rows`, the columns that it fills, and its inputs.
        """
        places = range(len(self.names))[rows] if isinstance(rows, slice) else rows
        groups: dict[tuple[int, int], list[int]] = {}
        for place, row in enumerate(places):
            groups.setdefault(self._extent(row), []).append(place)
        for (first, end), group in groups.items():
            # A slice where it can be one: no copy is made of what may be large.
            chosen = rows if len(group) == len(places) else [places[place] for place in group]
            yield group, slice(first, end), self.part(chosen, slice(first, end))

    def _extent(self, row: int) -> tuple[int, int]:
        """Returns the first column of a sample that is no padding, and the one behind the last."""
        if self.valid is None:
            return 0, self.shape[2]
        filled = self.valid[row].any(0).nonzero()[:, 0]
        return int(filled[0]), int(filled[-1]) + 1

    def part(self, rows: slice | list[int], columns: slice | None = None) -> Inputs:
        """Returns some samples; with all their columns and what is said of padding, or some columns without padding."""
        width = self.shape[2]
        padded = self.valid is not None
        kept = None if columns is not None or self.valid is None else self.valid[rows]
        columns = columns or slice(0, width)
        along = {name for name, value in self.others.items() if padded and value.ndim > 1 and value.shape[1] == width}
        index = range(len(self.names))[rows] if isinstance(rows, slice) else rows
        return replace(
            self,
            images=self.images[rows][..., columns],
            names=tuple(self.names[row] for row in index),
            masks=None if self.masks is None else self.masks[rows][..., columns],
            labels=None if self.labels is None else tuple(self.labels[row] for row in index),
            others={
                name: value[rows][:, columns] if name in along else value[rows] for name, value in self.others.items()
            },
            valid=kept,
            tokens=(),
            words=(),
        )

    def owned(self) -> Inputs:
        """The same in memory of its own: a part that is a view would take all samples along when it is sent away."""
        return replace(
            self,
            images=self.images.clone(),
            masks=None if self.masks is None else self.masks.clone(),
            valid=None if self.valid is None else self.valid.clone(),
            others={name: value.clone() for name, value in self.others.items()},
            unreadable={name: why for name, why in self.unreadable.items() if name in self.names},
        )

    def embedded(self, module: nn.Module) -> Inputs:
        """The same with tokens that are numbers replaced by a network's embeddings of them, `inputs_embeds`.

        Raises:
            InfodiscardError: the network has no `get_input_embeddings`, or lacks a token.
        """
        if self.noise_on != IDS:
            return self
        try:
            embeddings = module.get_input_embeddings()  # type: ignore[operator]
            device = next(embeddings.parameters()).device
            with torch.no_grad():
                values = embeddings(self.layout.outside(self.images)[..., 0].to(device)).cpu()
        except (AttributeError, NotImplementedError, StopIteration) as error:
            raise InfodiscardError(
                f"{IDS} were given, but a {type(module).__name__} has no get_input_embeddings(), and noise can be "
                "added to embeddings only; give those, with noise_on and kind='tokens'."
            ) from error
        except (IndexError, RuntimeError) as error:
            raise InfodiscardError(
                f"{IDS} hold numbers up to {int(self.images.max())}, which the network has no embedding of; give the "
                "ids that its own tokenizer makes."
            ) from error
        return replace(self, images=_checked(TOKENS.inside(values), TOKENS), noise_on=EMBEDS)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of what is measured."""
        arrays = {"images": self.images, "masks": self.masks, "valid": self.valid}
        arrays |= {f"input/{name}": value for name, value in self.others.items()}
        return {
            name: hashlib.sha256(array.contiguous().flatten().numpy().data).hexdigest()  # of its memory, not a copy
            for name, array in arrays.items()
            if array is not None
        }

    def pictures(self) -> dict[str, np.ndarray | None]:
        """The images in [0, 1] and the masks, for plots; inputs other than images of 1 or 3 channels are left out."""
        picture = self.layout is IMAGE and self.images.shape[1] in (1, 3)
        shown = self.shown(self.images.float()).numpy() if picture else None
        return {"images": shown, "masks": None if self.masks is None else self.layout.chart(self.masks.numpy())}

    def shown(self, images: torch.Tensor) -> torch.Tensor:
        """Takes images of this kind, such as reconstructions, to where `pictures` has these in [0, 1]."""
        low, high = self.span or (0.0, 1.0)
        return (images - low) / max(high - low, 1e-12) if low < 0 or high > 1 else images

    def cap(self, network: Network, cap: float | str) -> float:
        """The largest σ allowed, in units of the network's input space.

        Raises:
            InfodiscardError: `cap` is not `range`, `data` or a positive number.
        """
        if isinstance(cap, int | float) and math.isfinite(cap) and cap > 0:
            return float(cap)
        if cap not in ("range", "data"):
            raise InfodiscardError(f"cap was {cap!r}; it can be 'range', 'data' or a positive number.")
        if cap == "range" and network.std is not None:
            return CAP_RANGES / min(network.std)
        space = network.normalise(self.images) if network.mean is not None else self.images
        if self.valid is not None:
            space = space.movedim(1, -1)[self.valid]
        spread = float(space.std()) if cap == "data" else CAP_RANGES * float(space.max() - space.min())
        if not spread > 0:
            raise InfodiscardError("All inputs are one constant, so their range gives no cap for σ; give cap a number.")
        return spread


def coerce_inputs(
    data: Any, masks: Any = None, kind: str | None = None, noise_on: Argument | None = None, valid: Any = None
) -> Inputs:
    """Takes an `ImageSet`, a `TextSet`, tensors, a data set or a loader to `Inputs`; arguments as for `measure`.

    Raises:
        InfodiscardError: what noise is added to is not named, not floats, not finite or of no known kind, or the other
            inputs, masks or padding do not fit it.
    """
    from . import ImageSet, TextSet

    if isinstance(data, TextSet):
        valid = data.valid if valid is None else valid
        inputs = coerce_inputs({IDS: data.ids}, masks, kind, noise_on, valid)
        return replace(inputs, names=data.names, tokens=data.tokens, words=data.words)
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = {}
    if isinstance(data, ImageSet):
        labels = None if data.labels is None else tuple(data.labels.tolist())
        names, classes, unreadable = data.names, data.classes, data.unreadable
        masks = data.masks if masks is None else masks
        data = data.images
    else:
        labels = None
    arguments, classed = gathered(data, noise_on)
    labels = classed if labels is None else labels
    noise_on = _noisy(arguments, noise_on)
    images = arguments.pop(noise_on)
    if noise_on == IDS:
        layout, images = TOKENS, _checked_ids(images)[..., None]
    else:
        layout = find_layout(kind or ("tokens" if noise_on == EMBEDS else None), tuple(images.shape))
        _check_float(images, layout)
    images = layout.inside(images)
    inputs = Inputs(
        images if noise_on == IDS else _checked(images, layout),
        names or tuple(map(str, range(len(images)))),
        _masks(masks, images, layout),
        labels,
        classes,
        layout,
        noise_on,
        {name: _beside(name, value, len(images)) for name, value in arguments.items()},
        unreadable=unreadable,
    )
    if valid is None and layout is TOKENS:
        found = inputs.others.get("attention_mask")
        valid = found if found is not None and found.shape == (len(images), inputs.shape[2]) else None
    return replace(inputs, valid=_valid(valid, inputs))


def _noisy(arguments: Mapping[Argument, torch.Tensor], noise_on: Argument | None) -> Argument:
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


def _check_float(images: torch.Tensor, layout: Layout) -> None:
    """Raises InfodiscardError unless noise can be added."""
    if not images.is_floating_point():
        what, dtype = "images" if layout is IMAGE else "inputs", str(images.dtype).removeprefix("torch.")
        how = "images / 255 normalised as in its training" if layout is IMAGE else "the values it was trained on"
        raise InfodiscardError(
            f"The {what} are integers ({dtype}); give floats in the network's input space, such as {how}."
        )


def _checked(images: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Returns the images on the CPU, or raises InfodiscardError."""
    images = images.detach().cpu()
    images = images if images.dtype == torch.float64 else images.float()
    # A few at a time: a mask of all of them would be a quarter of a large set again.
    finite = torch.cat([part.isfinite().flatten(1).all(1) for part in images.split(256)])
    if not finite.all():
        bad, what = int((~finite).nonzero()[0]), "Image" if layout is IMAGE else "Input"
        raise InfodiscardError(f"{what} {bad} holds NaN or infinite values; mend it or leave it out.")
    return images


def _checked_ids(ids: torch.Tensor) -> torch.Tensor:
    """Returns tokens' numbers, `n × tokens`, on the CPU, or raises InfodiscardError."""
    if ids.ndim != 2 or 0 in ids.shape or ids.is_floating_point():
        raise InfodiscardError(
            f"{IDS} are {str(ids.dtype).removeprefix('torch.')} of shape {tuple(ids.shape)}; give whole numbers, "
            "n × tokens."
        )
    return ids.detach().cpu().long()


def _beside(name: Argument, value: torch.Tensor, n: int) -> torch.Tensor:
    """Returns a further input, or raises InfodiscardError."""
    if value.ndim == 0 or len(value) != n:
        raise InfodiscardError(
            f"Input {name!r} has shape {tuple(value.shape)}; its first dimension must be the {n} samples: expand what "
            "they share."
        )
    return value.detach().cpu()


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
    valid = valid.bool()
    starts = (valid & ~torch.nn.functional.pad(valid, (1, 0))[:, :-1]).sum(1)
    if (starts != 1).any():
        bad = int((starts != 1).nonzero()[0])
        what = "no position that is not padding" if starts[bad] == 0 else "padding between its positions"
        raise InfodiscardError(f"Input {bad} has {what}; padding may stand before and behind a sample only.")
    return None if valid.all() else layout.unchart(valid)


def _numbers(values: Any, what: str, wanted: str) -> torch.Tensor:
    """Takes an array, or nested lists, of numbers to a tensor on the CPU."""
    try:
        return torch.as_tensor(np.array(values) if isinstance(values, np.ndarray) else values).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InfodiscardError(
            f"{what} {'are' if what.endswith('masks') else 'is'} a {type(values).__name__} that holds no array of "
            f"numbers; give {wanted}."
        ) from error


def _masks(masks: Any, images: torch.Tensor, layout: Layout) -> torch.Tensor | None:
    """Returns masks `n × H × W`, from masks or, of images, boxes (x, y, width, height)."""
    if masks is None:
        return None
    n, _, height, width = images.shape
    shape = (n, height, width) if layout is IMAGE else (n, width)
    wanted = f"masks of shape {shape}"
    if layout is IMAGE:
        wanted += f" or boxes of shape {(n, 4)} as x, y, width, height"
    masks = _numbers(masks, "The masks", wanted)
    if tuple(masks.shape) == shape:
        return layout.unchart(masks.bool())
    if tuple(masks.shape) != (n, 4) or layout is not IMAGE:
        raise InfodiscardError(
            f"The masks have shape {tuple(masks.shape)}; for these {'images' if layout is IMAGE else 'inputs'} give "
            f"{wanted}."
        )
    x, y, w, h = (column[:, None, None] for column in masks.float().round().T)
    rows, columns = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    return (rows >= y) & (rows < y + h) & (columns >= x) & (columns < x + w)
