"""The CIFAR ResNets of He et al. (2016, section 4.2), with option-A shortcuts.

Three stages of `n` basic blocks with 16, 32 and 64 channels; 6n + 2 layers. A shortcut that changes shape subsamples
by two and pads the new channels with zeros, so that it has no parameters.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import InfodiscardError

DEPTHS = (20, 32, 44, 56)
STAGES = ("layer1", "layer2", "layer3")
BOTTLENECK = 8  # channels in the middle of a damaging block


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut; its output is what follows the last ReLU.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
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
        """Returns `x`, `batch × inputs × H × W`, subsampled by the stride, amid zeros for new channels (option A)."""
        if self.stride == 1 and self.new_channels == 0:
            return x
        before = self.new_channels // 2
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, before, self.new_channels - before))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Converts `batch × inputs × H × W` to `batch × outputs × H/stride × W/stride`."""
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


class DamagingBlock(nn.Sequential):
    """Two 1×1 convolutions through a bottleneck, each followed by a ReLU, and no shortcut (Ma et al. 2019, Fig. 4a).

    Args:
        channels: of its input and output.
        bottleneck: channels between the two convolutions.
    """

    def __init__(self, channels: int, bottleneck: int = BOTTLENECK) -> None:
        super().__init__(nn.Conv2d(channels, bottleneck, 1), nn.ReLU(), nn.Conv2d(bottleneck, channels, 1), nn.ReLU())


class CifarResNet(nn.Module):
    """A ResNet for 32×32 images.

    Args:
        depth: number of layers with weights, 6n + 2: 20, 32, 44 or 56.
        classes: number of logits.
        width: times the usual number of channels.
        damage: the block after which a `DamagingBlock` is put, such as `layer2.1`; it is called `layer2.damage` and
            leaves the other blocks' names as they are. `None` for the undamaged network.

    Raises:
        InfodiscardError: there is no such block, or it is the last of all.
    """

    def __init__(self, depth: int, classes: int = 10, width: float = 1.0, damage: str | None = None) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        first, second, third = (max(1, round(channels * width)) for channels in (16, 32, 64))
        self.conv1 = nn.Conv2d(3, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU()
        stage, after = _damaged(depth, blocks, damage)
        self.layer1 = _stage(first, first, 1, blocks, after if stage == "layer1" else None)
        self.layer2 = _stage(first, second, 2, blocks, after if stage == "layer2" else None)
        self.layer3 = _stage(second, third, 2, blocks, after if stage == "layer3" else None)
        self.linear = nn.Linear(third, classes)
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Converts normalised images, `batch × 3 × H × W`, to logits, `batch × classes`."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def damage_positions(depth: int) -> list[str]:
    """Returns the blocks of a ResNet that a damaging block can follow: all but the last."""
    blocks = (depth - 2) // 6
    return [f"{stage}.{i}" for stage in STAGES for i in range(blocks)][:-1]


def _damaged(depth: int, blocks: int, damage: str | None) -> tuple[str, int | None]:
    """Converts `layer2.1` to ("layer2", 1)."""
    if damage is None:
        return "", None
    allowed = damage_positions(depth)
    if damage not in allowed:
        raise InfodiscardError(
            f"ResNet-{depth} has no block '{damage}' with another one behind it; damage can go after one of "
            f"{', '.join(allowed)}."
        )
    stage, _, block = damage.partition(".")
    return stage, int(block)


def _stage(inputs: int, outputs: int, stride: int, blocks: int, damage: int | None) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(blocks):
        parts[str(i)] = BasicBlock(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1)
        if i == damage:
            parts["damage"] = DamagingBlock(outputs)
    return nn.Sequential(parts)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)
