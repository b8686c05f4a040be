"""The CIFAR ResNets of He et al. (2016, section 4.2), with option-A shortcuts.

Three stages of `n` basic blocks with 16, 32 and 64 channels; 6n + 2 layers. A shortcut that changes shape subsamples
by two and pads the new channels with zeros, so that it has no parameters.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

DEPTHS = (20, 32, 44, 56)
STAGES = ("layer1", "layer2", "layer3")


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut; its output is what follows the last ReLU.

    Args:
        inputs: channels it takes.
        outputs: channels it gives.
        stride: spatial stride of the first convolution, and of the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.stride = stride
        self.new_channels = outputs - inputs

    def shortcut(self, x: torch.Tensor) -> torch.Tensor:
        """Returns `x` subsampled by the stride, between two halves of the new channels, which are zero (option A)."""
        if self.stride == 1 and self.new_channels == 0:
            return x
        before = self.new_channels // 2
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, before, self.new_channels - before))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Takes `batch × inputs × H × W` to `batch × outputs × H/stride × W/stride`."""
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """A ResNet for 32×32 images.

    Args:
        depth: number of layers with weights, 6n + 2: 20, 32, 44 or 56.
        classes: number of logits.
    """

    def __init__(self, depth: int, classes: int = 10) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, 1, blocks)
        self.layer2 = _stage(16, 32, 2, blocks)
        self.layer3 = _stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, classes)
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Takes normalised images, `batch × 3 × H × W`, to logits, `batch × classes`."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def resnet(depth: int, classes: int = 10) -> CifarResNet:
    """Returns the ResNet of `depth` layers with random weights (drawn from the global generator)."""
    return CifarResNet(depth, classes)


def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)
