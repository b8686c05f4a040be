"""Error of a decoder that restores the input from a noisy feature, and its gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .feature_distance import FeatureDistance

DRAWS = 8
"""Noisy inputs per sample and step; on a CPU also in a forward pass."""


class ReconstructionError(FeatureDistance):
    """The feature distance, and with it e² = (x − g(h(x + z)))² of each input unit (paper, section 3.2).

    Args:
        feature: h, as for `FeatureDistance`.
        decoder: g, from features to inputs `batch × C × H × W`; differentiable, one sample independent of the others.
        inputs: x, `n × C × H × W`.
        batch_size: as for `FeatureDistance`; but on a CPU by default one sample's draws of a step. The ascent is
            chaotic: a rounding that moves one unit across its ReLU's kink leads to another σ of the same entropy. With
            passes of one sample alone it meets the same roundings whatever the block that the sample is in.
        beside: as for `FeatureDistance`.
    """

    def __init__(
        self,
        feature: Callable[..., torch.Tensor],
        decoder: Callable[[torch.Tensor], torch.Tensor],
        inputs: torch.Tensor,
        batch_size: int | None = None,
        beside: Sequence[torch.Tensor] = (),
    ) -> None:
        super().__init__(feature, inputs, batch_size or (DRAWS if inputs.device.type == "cpu" else None), beside)
        ones = [slice(i, i + 1) for i in range(len(inputs))]
        with torch.no_grad():
            self._clean = torch.cat([self._flat(inputs[one], one) for one in ones])
        self._decoder = decoder

    def restored(self) -> torch.Tensor:
        """Returns g(h(x)) of each sample, without noise: `n × C × H × W`."""
        with torch.no_grad():
            (whole,) = self._in_passes(
                len(self.inputs), lambda part: (self._decoder(self._feature(self.inputs[part], part)),)
            )
        return whole

    def errors(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Returns e² of each draw, `r × draws × C × H × W`; arguments as for a call."""
        with torch.no_grad():
            return self._batched(rows, noise, self._errors)[0]

    def slopes(
        self, rows: torch.Tensor, noise: torch.Tensor, weights: torch.Tensor, signs: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Returns L (`r × draws`), e², ∂L/∂z, Jᵀ (w ∘ (x̂ − x)) and Jᵀ (v ∘ √w) (each `r × draws × C × H × W`).

        J is the Jacobian of x̂ = g(h(x + z)).

        Args:
            rows: which samples, `r`.
            noise: z, `r × draws × C × H × W`.
            weights: w, `r × C × H × W`.
            signs: v, shaped as `noise`.
        """
        scaled = (signs * weights.sqrt()[:, None]).flatten(0, 1)
        repeated = weights.repeat_interleave(noise.shape[1], 0)
        flat, owner = noise.flatten(0, 1), rows.repeat_interleave(noise.shape[1])
        whole = self._in_passes(
            len(flat), lambda part: self._slopes(owner[part], flat[part], repeated[part], scaled[part])
        )
        return tuple(item.unflatten(0, noise.shape[:2]) for item in whole)

    def _errors(self, owner: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """e² of a batch of noisy inputs of the samples `owner` (`batch`), `batch × C × H × W`."""
        clean = self.inputs[owner]
        return ((self._decoder(self._feature(clean + noise, owner)) - clean).square(),)

    def _slopes(
        self, owner: torch.Tensor, noise: torch.Tensor, weights: torch.Tensor, scaled: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """The same of `slopes`; `weights` w and `scaled` v ∘ √w are `batch × C × H × W`."""
        clean = self.inputs[owner]
        noisy = (clean + noise).requires_grad_()
        feature = self._feature(noisy, owner)
        flat = feature.unsqueeze(-1).flatten(1).to(clean.dtype)
        restored = self._decoder(feature)
        difference, error = flat.detach() - self._clean[owner], restored.detach() - clean
        (constraint,) = torch.autograd.grad(flat, noisy, 2 * difference, retain_graph=True)
        (gain,) = torch.autograd.grad(restored, noisy, weights * error, retain_graph=True)
        (size,) = torch.autograd.grad(restored, noisy, scaled)
        return difference.square().sum(1), error.square(), constraint, gain, size
