"""The constrained problem of a layer: the σ of largest entropy at a given expected feature distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

from .rows import Rows
from .sample_noise import SampleNoise, on_host
from .sigma_space import SigmaSpace


class Distance(Protocol):
    """A squared feature distance L(z) = ‖h(x + z) − h(x)‖², as far as the solver uses it; see `FeatureDistance`.

    Attributes:
        inputs: x, `n × C × H × W`.
        batch_size: noisy inputs in one forward pass.
    """

    inputs: torch.Tensor
    batch_size: int

    def __call__(self, rows: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Returns L (`r × draws`) of the samples `rows` (`r`) under z (`r × draws × C × H × W`)."""

    def gradient(self, rows: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns L (`r × draws`) and ∂L/∂z (`r × draws × C × H × W`); arguments as for a call."""

    def rounding(self) -> torch.Tensor:
        """Returns the L that rounding of the feature alone may make, `n`."""

    def normalise(self, noise: torch.Tensor) -> None:
        """Chooses the unit of each sample's distances by how far z (`n × draws × C × H × W`) moves the feature."""


@dataclass(frozen=True)
class Problem:
    """Maximise an entropy over σ subject to E(σ) = E_δ L(σ∘δ) = α δ_f², for each sample by itself.

    Attributes:
        distance: the squared feature distance of noisy inputs and its gradient.
        space: the free parameters of σ.
        alpha: α, the expected distance to reach, in units of δ_f².
        tau: τ, the variance of the small noise that defines δ_f² = E(√τ).
        cap: largest σ allowed, in units of the input; one number, or one for every sample (`n`).
        seed: of all noise.
    """

    distance: Distance
    space: SigmaSpace
    alpha: float
    tau: float
    cap: float | torch.Tensor
    seed: int = 0

    @cached_property
    def log_cap(self) -> torch.Tensor:
        """Largest log σ allowed, `n × 1 × 1 × 1`."""
        logs = torch.as_tensor(self.cap, dtype=torch.float64).log().to(self.distance.inputs)
        return logs.expand(len(self.rows))[:, None, None, None]

    @cached_property
    def all(self) -> Rows:
        """All samples."""
        return Rows.first(len(self.distance.inputs), self.distance.inputs.device)

    @property
    def rows(self) -> torch.Tensor:
        """Indices of all samples, `n`."""
        return self.all.index

    @cached_property
    def small(self) -> torch.Tensor:
        """log √τ for every parameter, `n × planes × rows × columns`."""
        return self.distance.inputs.new_full((len(self.rows), *self.space.shape), math.log(self.tau) / 2)

    @property
    def uniform(self) -> torch.Tensor:
        """log √(ατ) for every parameter, which meets the constraint where E is quadratic; shaped as `small`."""
        return self.small + 0.5 * math.log(self.alpha)

    def stream(self, purpose: str) -> SampleNoise:
        """A stream of unit noise δ of its own, from its beginning."""
        return SampleNoise(self.distance.inputs, self.seed, purpose, self._on_host)

    @cached_property
    def _on_host(self) -> torch.Tensor:
        """The inputs where they can be hashed, copied once for all streams."""
        return on_host(self.distance.inputs)

    def noise(self, log_sigma: torch.Tensor, rows: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """Returns z = σ∘δ, `r × draws × C × H × W`.

        Args:
            log_sigma: of all samples, `n × planes × rows × columns`.
            rows: which samples, `r`.
            unit: their δ, `r × draws × C × H × W`.
        """
        return self.space.expand(log_sigma[rows].exp())[:, None] * unit
