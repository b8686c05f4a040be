"""Features and inputs of a network's layers, for the training of decoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..networks.features import LayerFeatures
from ..networks.network import Network


@dataclass(frozen=True)
class FeatureExtractor:
    """Computes the features of layers; no `nn.Module` itself, so that Lightning leaves the network alone.

    Attributes:
        network: whose normalisation it uses.
        module: what it runs: the network's module, or a copy on another device.
    """

    network: Network
    module: nn.Module

    def __call__(self, pixels: torch.Tensor, layers: Sequence[str]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Returns the features of images by layer, and the normalised inputs that they were computed from.

        Args:
            pixels: in [0, 1], `batch × C × H × W`.
            layers: addresses.

        Returns:
            By layer, `batch × feature shape`; and the inputs, `batch × C × H × W`.
        """
        inputs = self.network.normalise(pixels)
        with torch.autocast(inputs.device.type, enabled=False):
            return LayerFeatures(self.module, list(layers))(self.cast(inputs)), inputs

    def cast(self, inputs: torch.Tensor) -> torch.Tensor:
        """Moves inputs, of any shape, to the device and the precision of the module."""
        tensor = next((p for p in self.module.parameters() if p.is_floating_point()), inputs)
        return inputs.to(tensor.device, tensor.dtype)
