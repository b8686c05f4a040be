"""Auto-encoders: a CIFAR ResNet before its linear layer, and the decoder that RU uses (Ma et al. 2019, section 4)."""

from __future__ import annotations

import torch
from torch import nn

from ..decoders.architecture import Decoder
from .cifar_resnet import CifarResNet

WIDTH = 16  # of the decoder


class AutoEncoder(nn.Module):
    """Restores its input. The encoder's layers have the same names as in the classifier.

    The encoder ends with the last stage's maps: the average over all pixels, which follows in the classifier, would
    leave nothing to restore an image from.

    Args:
        depth: of the ResNet, 6n + 2.
        size: (height, width) of the images.
        width: times the ResNet's usual number of channels.
    """

    def __init__(self, depth: int, size: tuple[int, int] = (32, 32), width: float = 1.0) -> None:
        super().__init__()
        encoder = CifarResNet(depth, width=width)
        self.conv1, self.bn1, self.relu = encoder.conv1, encoder.bn1, encoder.relu
        self.layer1, self.layer2, self.layer3 = encoder.layer1, encoder.layer2, encoder.layer3
        channels = encoder.linear.in_features
        # Two stages halve the maps, rounding up.
        rows, columns = ((side + 3) // 4 for side in size)
        self.decoder = Decoder((channels, rows, columns), (3, *size), WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Converts normalised images, `batch × 3 × H × W`, to reconstructions of the same shape."""
        return self.decoder(self.encode(x))

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Converts normalised images, `batch × 3 × H × W`, to the last stage's maps, `batch × C × ⌈H/4⌉ × ⌈W/4⌉`."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x)))
