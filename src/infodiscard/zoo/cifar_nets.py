"""AlexNet, VGG and ResNet-18/34 for small images: torchvision's own, changed for 32×32 pixels.

As is usual for CIFAR-10, strides and poolings at the entrance are removed until the last feature still has a few
pixels, VGG has batch normalisation and one linear layer at its end, and all of them pool over the last feature,
so that they take larger images too. `width` multiplies the channels of every layer.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torchvision.models import AlexNet, ResNet
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import VGG, cfgs, make_layers

VGG_PLANS = {"vgg16": "D", "vgg19": "E"}
RESNET_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
HIDDEN = 1024  # units of AlexNet's two hidden linear layers, instead of 4096 for images of 224×224


def channels(usual: int, width: float) -> int:
    """Returns `usual` times `width`, rounded to a whole number of at least 1."""
    return max(1, round(usual * width))


def build(name: str, classes: int = 10, width: float = 1.0) -> nn.Module:
    """Returns `alexnet`, `vgg16`, `vgg19`, `resnet18` or `resnet34` with random weights."""
    if name in VGG_PLANS:
        return vgg(name, classes, width)
    return alexnet(classes, width) if name == "alexnet" else SmallResNet(RESNET_BLOCKS[name], classes, width)


def alexnet(classes: int = 10, width: float = 1.0) -> AlexNet:
    """Returns AlexNet (Krizhevsky et al. 2012) whose first convolution is 5×5 without a stride."""
    module = _hollow(AlexNet, num_classes=classes)
    first, second, third, fourth, last = (channels(n, width) for n in (64, 192, 384, 256, 256))
    hidden = channels(HIDDEN, width)
    module.features = nn.Sequential(
        nn.Conv2d(3, first, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(third, fourth, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(fourth, last, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
    module.avgpool = nn.AdaptiveAvgPool2d(4)
    module.classifier = nn.Sequential(
        nn.Dropout(),
        nn.Linear(last * 16, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
    module.apply(_initialise)
    return module


def vgg(name: str, classes: int = 10, width: float = 1.0) -> VGG:
    """Returns VGG-16 or VGG-19 (Simonyan & Zisserman 2015) with batch normalisation and one linear layer."""
    plan = [item if isinstance(item, str) else channels(item, width) for item in cfgs[VGG_PLANS[name]]]
    module = _hollow(VGG, nn.Identity(), num_classes=classes, init_weights=False)
    module.features = make_layers(plan, batch_norm=True)
    module.avgpool = nn.AdaptiveAvgPool2d(1)
    module.classifier = nn.Sequential(nn.Linear(cast(int, plan[-2]), classes))
    module.apply(_initialise)
    return module


class SmallResNet(ResNet):
    """ResNet-18 or ResNet-34 (He et al. 2016, section 4.1) whose entrance is a 3×3 convolution without a stride.

    Args:
        blocks: per stage.
        classes: number of logits.
        width: times the usual number of channels.
    """

    def __init__(self, blocks: tuple[int, ...], classes: int = 10, width: float = 1.0) -> None:
        self.width = width
        super().__init__(BasicBlock, list(blocks), num_classes=classes)
        first, last = channels(64, width), channels(512, width)
        self.conv1 = nn.Conv2d(3, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.maxpool = nn.Identity()  # type: ignore[assignment]
        self.fc = nn.Linear(last, classes)
        self.apply(_initialise)

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        if planes == 64:
            self.inplanes = channels(64, self.width)
        return super()._make_layer(block, channels(planes, self.width), *args, **kwargs)


def _hollow(architecture: Any, *args: Any, **kwargs: Any) -> Any:
    """Returns a network whose layers take no memory (0.5 GB otherwise), as all of them are replaced."""
    with torch.device("meta"):
        return architecture(*args, **kwargs)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
