"""Default layers, measured when the user names none: the stem, each stage's output, and the logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import getattr_static
from itertools import pairwise
from typing import Any

from torch import nn

from ..networks.addresses import HIDDEN, OUTPUT

MANY = 8
"""Stages; where a network has more of them, each is a block, and those at quarters of the depth are enough."""

LAYERS: dict[str, tuple[str, ...]] = {
    "CifarResNet": ("bn1", "layer1", "layer2", "layer3", "linear"),
    "AutoEncoder": ("bn1", "layer1", "layer2", "layer3"),
    "ResNet": ("maxpool", "layer1", "layer2", "layer3", "layer4", "fc"),
    "SmallResNet": ("maxpool", "layer1", "layer2", "layer3", "layer4", "fc"),
    "DenseNet": ("features.pool0", *(f"features.denseblock{i}" for i in range(1, 5)), "classifier"),
    "GoogLeNet": ("maxpool1", "maxpool2", "inception3b", "inception4e", "inception5b", "fc"),
    "Inception3": ("maxpool1", "maxpool2", "Mixed_5d", "Mixed_6e", "Mixed_7c", "fc"),
    "RegNet": ("stem", *(f"trunk_output.block{i}" for i in range(1, 5)), "fc"),
    "ShuffleNetV2": ("maxpool", "stage2", "stage3", "stage4", "conv5", "fc"),
    "MNASNet": (*(f"layers.{i}" for i in (2, 7, 8, 9, 11, 16)), "classifier.1"),
    "ConvNeXt": (*(f"features.{i}" for i in (0, 1, 3, 5, 7)), "classifier.2"),
    "SwinTransformer": (*(f"features.{i}" for i in (0, 1, 3, 5, 7)), "head"),
    "MaxVit": ("stem", *(f"blocks.{i}" for i in range(4)), "classifier.5"),
}


def default_layers(module: nn.Module) -> tuple[str, ...]:
    """Returns the addresses of a network's usual layers, in the order in which they are computed.

    They are `feature_info` of timm's networks, the hidden states of Hugging Face's transformers at quarters of their
    depth, and for the architectures of torchvision and of the zoo those of `LAYERS` and below. Others have none.
    """
    architecture, children = type(module).__name__, dict(module.named_modules())
    # Their own attributes: a wrapper may hand on those of the network in it, whose layers have other names.
    if getattr_static(module, "feature_info", None) is not None:
        return _of_timm(module, children)
    if hasattr(type(module), "base_model_prefix") and getattr_static(module, "config", None) is not None:
        return _hidden_states(module)
    if architecture in ("AlexNet", "VGG"):
        return (*_poolings(children), *_logits(children))
    if architecture == "SqueezeNet":
        return (*_poolings(children), "features", OUTPUT)
    if architecture == "VisionTransformer":
        return (*_quarters(_children(children, "encoder.layers")), *_logits(children))
    if architecture in ("MobileNetV2", "MobileNetV3", "EfficientNet"):
        return (*_stages(children, "features"), *_logits(children))
    return tuple(name for name in LAYERS.get(architecture, ()) if name in children)


def _of_timm(module: Any, children: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Returns the modules whose outputs timm calls features, and the classifier."""
    info = module.feature_info
    listed = info.module_name() if hasattr(info, "module_name") else [each["module"] for each in info]
    # A few name no module, or a list of modules, which is never called.
    stages = [name for name in dict.fromkeys(listed) if name and _called(children.get(name))]
    classifier = (getattr(module, "pretrained_cfg", None) or {}).get("classifier")
    known = isinstance(classifier, str) and not isinstance(children.get(classifier), nn.Identity | None)
    return (*(_quarters(stages) if len(stages) > MANY else stages), classifier if known else OUTPUT)


def _hidden_states(module: Any) -> tuple[str, ...]:
    """Returns the hidden states at each quarter of a Hugging Face model's depth, and its output if it has a head."""
    depth = getattr(module.config, "num_hidden_layers", None)
    if not isinstance(depth, int) or getattr(module.config, "is_encoder_decoder", False):
        return ()  # it has none, or two kinds of them
    quarters = dict.fromkeys(-(-depth * quarter // 4) for quarter in range(1, 5))
    head = () if module.base_model is module else (OUTPUT,)
    return (*(f"{HIDDEN}[{number}]" for number in quarters), *head)


def _poolings(children: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """Returns the max-poolings, which end the stages of plain convolutional networks."""
    return tuple(name for name, child in children.items() if isinstance(child, nn.MaxPool2d))


def _logits(children: Mapping[str, nn.Module]) -> tuple[str]:
    """Returns the last linear layer; where there is none, the network's output."""
    return ([OUTPUT, *(name for name, child in children.items() if isinstance(child, nn.Linear))][-1],)


def _children(children: Mapping[str, nn.Module], trunk: str) -> list[str]:
    """Returns the names of a module's children."""
    return [f"{trunk}.{name}" for name, _ in children[trunk].named_children()] if trunk in children else []


def _quarters(blocks: Sequence[str]) -> tuple[str, ...]:
    """Returns the blocks that end a quarter, half, three quarters and all of the depth."""
    return tuple(dict.fromkeys(blocks[max(0, len(blocks) * quarter // 4 - 1)] for quarter in (1, 2, 3, 4) if blocks))


def _stages(children: Mapping[str, nn.Module], trunk: str) -> tuple[str, ...]:
    """Returns the first of a sequence of blocks, and the last one at each resolution."""
    blocks = _children(children, trunk)
    ends = [before for before, after in pairwise(blocks) if _strides(children[after])]
    return tuple(dict.fromkeys([*blocks[:1], *ends, *blocks[-1:]]))


def _strides(block: nn.Module) -> bool:
    """Whether a block has a convolution that halves the resolution."""
    return any(isinstance(child, nn.Conv2d) and max(child.stride) > 1 for child in block.modules())


def _called(child: nn.Module | None) -> bool:
    """Whether there is such a module, and it is more than a list of others."""
    return child is not None and type(child).forward is not nn.Module.forward
