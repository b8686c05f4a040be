"""Feature distance of noisy inputs, and its gradient: all that the solver knows of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from ..errors import InfodiscardError, SampleError, out_of_memory

DEFAULT_BATCH = {"cpu": 32, "cuda": 512}
"""Noisy inputs in one forward pass, by device."""

LARGE = 32_768
"""Values of an input beyond which a CPU takes fewer inputs in one pass."""


class FeatureDistance:
    """The squared feature distance L(z) = ‖h(x + z) − h(x)‖² of each sample, summed over the feature's units.

    Args:
        feature: h, from inputs `batch × C × H × W` to features `batch × …`; differentiable, one sample independent of
            the others.
        inputs: x, `n × C × H × W`.
        batch_size: noisy inputs in one forward pass; by default 32 on a CPU and 512 on a GPU. It is halved whenever the
            device's memory does not suffice; no result depends on it.
        beside: further inputs, without noise, `n × …` each; h takes the rows of the noisy inputs as further arguments.

    Raises:
        InfodiscardError: the feature is not one row per input.
        SampleError: the feature of some inputs is not finite.
    """

    def __init__(
        self,
        feature: Callable[..., torch.Tensor],
        inputs: torch.Tensor,
        batch_size: int | None = None,
        beside: Sequence[torch.Tensor] = (),
    ) -> None:
        self._function, self.inputs, self._beside = feature, inputs, tuple(beside)
        self.batch_size = batch_size or _usual_batch(inputs)
        self._unit = inputs.new_ones(len(inputs), 1)
        self._arranged = _channels_last(inputs)
        with torch.no_grad():
            (self._clean,) = self._in_passes(len(inputs), self._clean_part)
        if not (finite := self._clean.isfinite().all(1)).all():
            raise SampleError(
                "The feature of an input is not finite; check the network's weights and the input.",
                (~finite).nonzero()[:, 0].tolist(),
                "feature_not_finite",
            )

    def _clean_part(self, part: slice) -> tuple[torch.Tensor]:
        """The clean features of some samples, `batch × units`."""
        try:
            return (self._flat(self._near(self.inputs[part]), part),)
        except RuntimeError as error:
            # `view` on the output of a convolution, where `reshape` or `flatten` would do.
            if not self._arranged or "view" not in str(error):
                raise
            self._arranged = False
            return self._clean_part(part)

    def _near(self, inputs: torch.Tensor) -> torch.Tensor:
        """Inputs (`batch × C × H × W`) in the memory format that the network is fastest with."""
        return inputs.contiguous(memory_format=torch.channels_last) if self._arranged else inputs

    def normalise(self, noise: torch.Tensor) -> None:
        """Chooses a unit for each sample's distances, a power of two, in which no square overflows or underflows.

        Args:
            noise: z of draws typical of how far the feature moves, `n × draws × C × H × W`.
        """
        rows = torch.arange(len(self.inputs), device=self.inputs.device)
        self._unit = torch.ones_like(self._unit)
        with torch.no_grad():
            (far,) = self._batched(rows, noise, lambda owner, z: (self._moved(owner, z).abs().amax(1),))
        far = far.amax(1)
        far = torch.where(far > 0, far, self._clean.abs().amax(1))
        usable = far.isfinite() & (far > 0)
        exponent = torch.where(usable, far, 1.0).log2().round().clamp(-126, 126)
        self._unit = torch.exp2(-exponent).to(self._unit)[:, None]

    def rounding(self) -> torch.Tensor:
        """The L that rounding of the feature alone may make, `n`, in the samples' units."""
        size = self._clean.float() if self._clean.dtype != torch.float64 else self._clean
        return (torch.finfo(self._kind).eps * self._unit * size).square().sum(1)

    def _moved(self, owner: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """h(x + z) − h(x) in the samples' units, `batch × units`, of z (`batch × C × H × W`) on samples `owner`."""
        return self._difference(self._flat(self._near(self.inputs[owner] + noise), owner), owner)

    def _parts(self, count: int) -> Iterator[slice]:
        """Splits `count` noisy inputs into forward passes."""
        for start in range(0, count, self.batch_size):
            yield slice(start, min(start + self.batch_size, count))

    def _feature(self, inputs: torch.Tensor, owner: torch.Tensor | slice) -> torch.Tensor:
        """Returns h (`batch × …`) of inputs (`batch × C × H × W`) that belong to the samples `owner` (`batch`)."""
        return self._function(inputs, *(item[owner] for item in self._beside))

    def _flat(self, inputs: torch.Tensor, owner: torch.Tensor | slice) -> torch.Tensor:
        """Returns the same as `batch × units`, in the precision of the samples, which is at least float32.

        Raises:
            InfodiscardError: the feature is not one row per input.
        """
        feature = self._feature(inputs, owner)
        check_rows(feature, len(inputs))
        self._kind = feature.dtype
        return feature.unsqueeze(-1).flatten(1).to(self.inputs.dtype)

    def __call__(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Returns L for each draw.

        Args:
            rows: which samples, `r`.
            noise: z, `r × draws × C × H × W`.

        Returns:
            `r × draws`.
        """
        with torch.no_grad():
            return self._batched(rows, noise, self._distance)[0]

    def gradient(self, rows: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns L (`r × draws`) and ∂L/∂z (`r × draws × C × H × W`); arguments as for a call.

        Raises:
            InfodiscardError: the layer does not depend on the input in a differentiable way.
        """
        distance, gradient = self._batched(rows, noise, self._distance_and_gradient)
        return distance, gradient

    def _batched(
        self,
        rows: torch.Tensor,
        noise: torch.Tensor,
        compute: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]],
    ) -> tuple[torch.Tensor, ...]:
        """Runs `compute(samples, noise)` over all draws in passes that fit into memory; arguments as for a call."""
        draws = noise.shape[1]
        flat, owner = noise.flatten(0, 1), rows.repeat_interleave(draws)
        whole = self._in_passes(len(flat), lambda part: compute(owner[part], flat[part]))
        return tuple(item.unflatten(0, (len(rows), draws)) for item in whole)

    def _in_passes(self, count: int, compute: Callable[[slice], tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
        """Runs `compute` over `count` inputs and joins what it returns; in smaller passes if memory is short."""
        while True:
            try:
                pieces = [compute(part) for part in self._parts(count)]
                return tuple(torch.cat(column) for column in zip(*pieces, strict=True))
            except RuntimeError as error:
                if self.batch_size == 1 or not out_of_memory(error):
                    raise
            # Out of the except block, so that the error's frames do not hold on to the memory that ran out.
            self.batch_size //= 2

    def _distance(self, owner: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """L (`batch`) of z (`batch × C × H × W`) on samples `owner` (`batch`)."""
        return (self._moved(owner, noise).square_().sum(1),)

    def _distance_and_gradient(self, owner: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The same and ∂L/∂z (`batch × C × H × W`)."""
        noisy = self._near(self.inputs[owner] + noise).requires_grad_()
        with _differentiable():
            feature = self._flat(noisy, owner)
        difference = self._difference(feature.detach(), owner)
        if not feature.requires_grad:
            raise InfodiscardError(_NO_GRADIENT)
        with _differentiable():
            (gradient,) = torch.autograd.grad(feature, noisy, difference, allow_unused=True)
        if gradient is None:
            raise InfodiscardError(_NO_GRADIENT)
        return difference.square().sum(1), 2 * self._unit[owner].view(-1, *[1] * (gradient.ndim - 1)) * gradient

    def _difference(self, feature: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
        """h(x + z) − h(x) in the samples' units, `batch × units`."""
        difference = self._clean[owner]
        check_size(feature, difference)
        # Into the copy that indexing made: in shallow layers, memory for another costs as much as the layer itself.
        return torch.sub(feature, difference, out=difference).mul_(self._unit[owner])


def check_rows(feature: torch.Tensor, count: int) -> None:
    """Raises InfodiscardError unless a feature (`batch × …`) has one row, which is not empty, for each input."""
    if feature.ndim == 0 or feature.shape[0] != count:
        raise InfodiscardError(
            f"The layer's output has shape {tuple(feature.shape)} for {count} inputs; its first dimension "
            "must be the batch: measure a layer before or behind the one that reshapes it."
        )
    if not feature.numel():
        raise InfodiscardError(f"The layer's output is empty, of shape {tuple(feature.shape)}; measure another layer.")


def check_size(feature: torch.Tensor, other: torch.Tensor) -> None:
    """Raises InfodiscardError unless the features (`batch × …`) of two batches are of one size but for the batch's."""
    if feature.shape[1:] != other.shape[1:]:
        raise InfodiscardError(
            f"The layer's output has shape {tuple(feature.shape)} for {len(feature)} inputs and {tuple(other.shape)} "
            f"for {len(other)}; its size must depend neither on the batch nor on what the inputs hold: measure a layer "
            "before the one that chooses it."
        )


@contextmanager
def _differentiable() -> Iterator[None]:
    """Turns what PyTorch raises where a pass with a gradient fails into one sentence.

    Raises:
        InfodiscardError: the block raised it.
    """
    try:
        yield
    except RuntimeError as error:  # PyTorch has no classes for them
        if out_of_memory(error):
            raise
        if "use_reentrant=True" in str(error):
            raise InfodiscardError(_REENTRANT) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(" .")
        raise InfodiscardError(
            f"The network runs up to the layer, but not with a gradient ({reason}), without which σ cannot be "
            "optimised; measure a layer before what does so, or replace that: an in-place operation by one that is "
            "not, a function without a backward pass by one that has it."
        ) from error


_NO_GRADIENT = (
    "The layer passes no gradient back to the input (it is detached, rounded, quantised or does not depend on it, or "
    "lies in a block that is checkpointed with use_reentrant=True), so its σ cannot be optimised; measure another "
    "layer, or change that (of a network of 8-bit integers, infodiscard.dequantise makes one of floats)."
)
_REENTRANT = (
    "A block before the layer is checkpointed with use_reentrant=True, and no gradient can be taken through it with "
    "respect to the input alone; checkpoint it with use_reentrant=False, or not at all."
)


def _usual_batch(inputs: torch.Tensor) -> int:
    """Noisy inputs in a pass: fewer if the inputs (`n × C × H × W`) are large, for the sake of a CPU's caches."""
    usual = DEFAULT_BATCH.get(inputs.device.type, 32)
    return usual if inputs.device.type != "cpu" or inputs[0].numel() <= LARGE else min(usual, 8)


def _channels_last(inputs: torch.Tensor) -> bool:
    """Whether channels-last memory suits the inputs (`n × C × H × W`), as it does a CPU's convolutions."""
    return inputs.device.type == "cpu" and inputs.ndim == 4 and 1 not in inputs.shape[1:]
