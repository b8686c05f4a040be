"""Which layers to measure when the user names none: the stem, each stage's output, and the logits."""

from __future__ import annotations

from typing import Any

from torch import nn

QUARTERS = (2, 5, 8, 11)
"""Blocks of a 12-block transformer after which a quarter of its depth is passed."""

LAYERS: dict[str, tuple[str, ...]] = {
    "CifarResNet": ("bn1", "layer1", "layer2", "layer3", "linear"),
    "AutoEncoder": ("bn1", "layer1", "layer2", "layer3"),
    "ResNet": ("maxpool", "layer1", "layer2", "layer3", "layer4", "fc"),
    "SmallResNet": ("maxpool", "layer1", "layer2", "layer3", "layer4", "fc"),
    "DenseNet": ("features.pool0", *(f"features.denseblock{i}" for i in range(1, 5)), "classifier"),
    "VisionTransformer": (
        *(f"encoder.layers.encoder_layer_{i}" for i in QUARTERS),  # torchvision's names
        *(f"blocks.{i}" for i in QUARTERS),  # timm's
        "heads.head",
        "head",
    ),
}


def default_layers(module: nn.Module) -> tuple[str, ...]:
    """Returns layer names for the architectures that are known by their class, and for transformers; else none."""
    architecture = type(module).__name__
    if hasattr(module, "base_model_prefix") and hasattr(module, "config"):
        return _hidden_states(module)
    if architecture in ("AlexNet", "VGG"):
        return _poolings_and_logits(module)
    present = {name for name, _ in module.named_modules()}
    return tuple(name for name in LAYERS.get(architecture, ()) if name in present)


def _hidden_states(module: nn.Module) -> tuple[str, ...]:
    """Returns the hidden states at each quarter of a Hugging Face model's depth, and its output if it has a head."""
    model: Any = module
    depth = getattr(model.config, "num_hidden_layers", None)
    if not isinstance(depth, int):
        return ()
    quarters = dict.fromkeys(-(-depth * quarter // 4) for quarter in range(1, 5))
    head = () if model.base_model is model else ("output",)
    return (*(f"hidden_states[{number}]" for number in quarters), *head)


def _poolings_and_logits(module: nn.Module) -> tuple[str, ...]:
    """Returns the max-poolings, which end the stages of plain convolutional networks, and the last linear layer."""
    poolings = [name for name, child in module.named_modules() if isinstance(child, nn.MaxPool2d)]
    linears = [name for name, child in module.named_modules() if isinstance(child, nn.Linear)]
    return (*poolings, *linears[-1:])
