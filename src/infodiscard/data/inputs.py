"""Inputs of a run: the samples in the one form that is measured, and what may be added to them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from ..core.kinds import IMAGE, TOKENS, Layout
from ..errors import InfodiscardError
from ..networks.network import Network
from ..networks.probe import Call
from .collect import Argument

CAP_RANGES = 10.0
"""The default cap in units of the input space's dynamic range: it binds only where a layer does not look."""

LEAST_RANGE = 10.0
"""Least dynamic range that an input is taken to have, in units of √τ: a black picture has none of its own."""

IDS, EMBEDS = "input_ids", "inputs_embeds"
"""Tokens as numbers, and what a transformer makes of them first, which is what noise can be added to."""


@dataclass(frozen=True)
class Inputs:
    """The samples of a run.

    Attributes:
        values: what noise is added to: images, or inputs of another kind laid out like them, `n × C × H × W`; float,
            finite. Tokens that are still numbers are integers.
        names: n unique ids.
        masks: `n × H × W` bool, true on the object, or `None`.
        labels, classes: the samples' classes, if known.
        layout: how the network takes `values`.
        noise_on: the network's argument that `values` are.
        others: its further arguments, `n × …` each; no noise is added to them.
        valid: `n × H × W` bool, false on padding, or `None`; true in one unbroken stretch of each sample.
        unreadable: names of samples whose input could not be read, and is zeros here → why.
        span: least and greatest value of all images; those of the whole set also in a part of it.
        tokens, words: of texts, what each token stands for and its word, as a `TextSet` has them; else empty.
        source: the spec or file they were loaded from, for the record; "" if unknown.
        options: how they were loaded from it, as an `ImageSet` has them.
    """

    values: torch.Tensor
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
    source: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.span is None and self.layout is IMAGE and len(self.values):
            images = self.values.detach()
            object.__setattr__(self, "span", (float(images.min()), float(images.max())))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one input."""
        channels, height, width = self.values.shape[1:]
        return channels, height, width

    def call(self, noisy: torch.Tensor, beside: Sequence[torch.Tensor]) -> Call:
        """Returns the arguments of a forward pass.

        Args:
            noisy: instead of `values`, `batch × C × H × W`.
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
        """Splits some of the samples into groups of one extent each, and removes their padding.

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
        """Returns some samples, with all their columns and their padding, or with some columns and no padding."""
        width = self.shape[2]
        padded = self.valid is not None
        kept = None if columns is not None or self.valid is None else self.valid[rows]
        columns = columns or slice(0, width)
        along = {name for name, value in self.others.items() if padded and value.ndim > 1 and value.shape[1] == width}
        index = range(len(self.names))[rows] if isinstance(rows, slice) else rows
        return replace(
            self,
            values=self.values[rows][..., columns],
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
        """Copies a part: one that is a view would take all samples along when it is sent to another process."""
        return replace(
            self,
            values=self.values.clone(),
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
                values = embeddings(self.layout.outside(self.values)[..., 0].to(device)).cpu()
        except (AttributeError, NotImplementedError, StopIteration) as error:
            raise InfodiscardError(
                f"{IDS} were given, but a {type(module).__name__} has no get_input_embeddings(), and noise can be "
                "added to embeddings only; give those, with noise_on and kind='tokens'."
            ) from error
        except (IndexError, RuntimeError) as error:
            raise InfodiscardError(
                f"{IDS} hold numbers up to {int(self.values.max())}, which the network has no embedding of; give the "
                "ids that its own tokenizer makes."
            ) from error
        return replace(self, values=finite(TOKENS.inside(values), TOKENS), noise_on=EMBEDS)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of what is measured."""
        arrays = {"images": self.values, "masks": self.masks, "valid": self.valid}
        arrays |= {f"input/{name}": value for name, value in self.others.items()}
        return {
            name: hashlib.sha256(array.contiguous().flatten().numpy().data).hexdigest()  # of its memory, not a copy
            for name, array in arrays.items()
            if array is not None
        }

    def pictures(self) -> dict[str, np.ndarray | None]:
        """The images in [0, 1] and the masks, for plots; without inputs other than images of 1 or 3 channels."""
        picture = self.layout is IMAGE and self.values.shape[1] in (1, 3)
        shown = self.shown(self.values.float()).numpy() if picture else None
        return {"images": shown, "masks": None if self.masks is None else self.layout.chart(self.masks.numpy())}

    def shown(self, images: torch.Tensor) -> torch.Tensor:
        """Scales images of this kind, such as reconstructions (`n × C × H × W`), as `pictures` does these."""
        low, high = self.span or (0.0, 1.0)
        return (images - low) / max(high - low, 1e-12) if low < 0 or high > 1 else images

    def former_cap(self, network: Network, cap: str) -> float:
        """The largest σ as runs of earlier versions hold it: one for all samples, from all of them."""
        space = network.normalise(self.values) if network.mean is not None else self.values
        if self.valid is not None:
            space = space.movedim(1, -1)[self.valid]
        return float(space.std()) if cap == "data" else CAP_RANGES * float(space.max() - space.min())


def network_cap(network: Network, cap: float | str) -> float | str:
    """The largest σ allowed, in units of the network's input space; a word where every sample has its own.

    Raises:
        InfodiscardError: `cap` is not `range`, `data` or a positive number.
    """
    if isinstance(cap, int | float) and math.isfinite(cap) and cap > 0:
        return float(cap)
    if cap not in ("range", "data"):
        raise InfodiscardError(f"cap was {cap!r}; it can be 'range', 'data' or a positive number.")
    return CAP_RANGES / min(network.std) if cap == "range" and network.std is not None else cap


def sample_caps(space: torch.Tensor, cap: float | str, alpha: float, tau: float) -> float | torch.Tensor:
    """The largest σ of each sample, which depends on no other sample; one number if it is given as such.

    Args:
        space: samples in the network's input space, without padding, `n × C × H × W`.
        cap: from `network_cap`.
        alpha, tau: of the run; √(ατ), the σ of a layer that treats all inputs alike, is always allowed.

    Returns:
        A number, or one for every sample, `n`.
    """
    if isinstance(cap, float):
        return cap
    values = space.flatten(1).double()
    if cap == "data":
        return values.std(1, correction=0).clamp(min=(alpha * tau) ** 0.5)
    return CAP_RANGES * (values.amax(1) - values.amin(1)).clamp(min=LEAST_RANGE * tau**0.5)


def finite(values: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Returns inputs (`n × C × H × W`) on the CPU, in float32 or float64.

    Raises:
        InfodiscardError: some are NaN or infinite.
    """
    values = values.detach().cpu()
    values = values if values.dtype == torch.float64 else values.float()
    # A few at a time: a mask of all of them would be a quarter of a large set again.
    whole = torch.cat([part.isfinite().flatten(1).all(1) for part in values.split(256)])
    if not whole.all():
        bad, what = int((~whole).nonzero()[0]), "Image" if layout is IMAGE else "Input"
        raise InfodiscardError(f"{what} {bad} holds NaN or infinite values; fix it or leave it out.")
    return values
