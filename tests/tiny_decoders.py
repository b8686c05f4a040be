"""A small network, images that can be learnt, and a quick recipe, for the tests of decoders' training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from infodiscard.data import ImageSet
from infodiscard.decoders.cache import TrainedDecoder
from infodiscard.networks.network import Network

LAYERS = ("conv1", "conv2", "head")
QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 8, "width": 2, "validation_share": 0.25, "seed": 3}


class Tiny(nn.Module):
    """A map at full size, one at half size, and a vector; an in-place ReLU overwrites the first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, 5)
        self.pair = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self.relu(self.norm(self.conv1(x))))
        x = self.relu(x)
        self.pair((x, 2 * x))
        return self.head(x.mean((2, 3)))


def tiny_network() -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network(Tiny().eval(), "tiny", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), (12, 12), LAYERS)


def smooth_images() -> ImageSet:
    """Smooth colours, so that there is something to learn."""
    rng = np.random.default_rng(0)
    corners = torch.from_numpy(rng.random((40, 3, 2, 2), dtype=np.float32))
    pixels = nn.functional.interpolate(corners, (12, 12), mode="bilinear", align_corners=True)
    return ImageSet(pixels, source="smooth")


def same(one: TrainedDecoder, other: TrainedDecoder) -> bool:
    return one.digest == other.digest
