"""A small network and its inputs, which a test measures in a second."""

import torch
from torch import nn

FAST = {"max_passes": 256, "progress": False}


def tiny(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(256, 5),
        )
        return nn.Sequential(*layers).eval()


def images(n: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
