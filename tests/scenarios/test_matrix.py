"""The matrix of families: a small network of each, with random weights, listed, measured and left as it was.

Random weights say nothing about what networks discard; they show that measuring works. Three layers of each network are
measured. The first, where it is a convolution of the input, has a closed form; the last is measured again with its
weights doubled, which must change nothing. A family's smallest member is taken, or a smaller one made of its parts.
Recurrent networks, U-Nets, audio, tables and networks with several inputs are in `test_families`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from closed_forms import identity_entropy
from infodiscard import list_layers, measure, zoo
from infodiscard.networks.usual import choose_layers
from infodiscard.zoo.default_layers import default_layers
from probing import seeded, snapshot

FAST = {"max_passes": 256, "tolerance": 0.1, "progress": False}
FLOOR = identity_entropy(1.5, 0.01)


@dataclass
class Case:
    """One network of a family.

    Attributes:
        make: returns it.
        size: height and width of its images.
        last: the module whose weights scale the output; the last linear one by default.
        linear: its first convolution is what the closed form is of.
    """

    make: Callable[[], nn.Module]
    size: int = 32
    last: str | None = None
    linear: bool = True

    def inputs(self, count: int = 1) -> Any:
        return torch.randn(count, 3, self.size, self.size, generator=torch.Generator().manual_seed(0))


class Text(Case):
    """A network that takes the numbers of tokens."""

    def inputs(self, count: int = 1) -> Any:
        return {"input_ids": torch.randint(0, 20, (count, 5), generator=torch.Generator().manual_seed(0))}


def torchvision(name: str, size: int = 32, last: str | None = None) -> Case:
    return Case(lambda: zoo.load(f"torchvision:{name},size={size}", allow_random=True).module, size, last)


def maxvit() -> nn.Module:
    from torchvision.models import MaxVit

    return seeded(MaxVit, (32, 32), 8, 1, [8, 16, 16, 16], [1, 1, 1, 1], 8, 0.0, num_classes=10)


def vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return seeded(VisionTransformer, 32, 8, num_layers=4, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10)


def timm(name: str, size: int = 64, **options: Any) -> Case:
    def make() -> nn.Module:
        return seeded(pytest.importorskip("timm").create_model, name, num_classes=10, **options)

    return Case(make, size)


def transformers(kind: type[Case], maker: str, *options: Any, **case: Any) -> Case:
    def make() -> nn.Module:
        import small_transformers  # skips where the library is missing

        return getattr(small_transformers, maker)(*options)

    return kind(make, **case)


FAMILIES = {
    "torchvision AlexNet": torchvision("alexnet", 64),
    "torchvision VGG": torchvision("vgg11"),
    "torchvision ResNet": torchvision("resnet18"),
    "torchvision DenseNet": torchvision("densenet121"),
    "torchvision Inception v3": torchvision("inception_v3", 75),
    "torchvision GoogLeNet": torchvision("googlenet"),
    "torchvision MobileNet v2": torchvision("mobilenet_v2"),
    "torchvision MobileNet v3": torchvision("mobilenet_v3_small"),
    "torchvision EfficientNet": torchvision("efficientnet_b0"),
    "torchvision ConvNeXt": torchvision("convnext_tiny"),
    "torchvision RegNet": torchvision("regnet_x_400mf"),
    "torchvision Swin": torchvision("swin_t"),
    "torchvision ViT": Case(vit),
    "torchvision MaxViT": Case(maxvit),
    "torchvision SqueezeNet": torchvision("squeezenet1_1", 33, "classifier.1"),
    "torchvision ShuffleNet": torchvision("shufflenet_v2_x0_5"),
    "torchvision MNASNet": torchvision("mnasnet0_5"),
    "timm ResNet": timm("test_resnet"),
    "timm ViT": timm("test_vit", 32, img_size=32),
    "timm ConvNeXt": timm("test_convnext"),
    "timm EfficientNet": timm("test_efficientnet"),
    "timm ByobNet": timm("test_byobnet"),
    "timm MambaOut": timm("test_mambaout"),
    "transformers ViT": transformers(Case, "vit", size=16, last="layernorm"),
    "transformers BERT": transformers(Text, "bert", last="encoder.layer.1.output.LayerNorm", linear=False),
    "transformers BERT classifier": transformers(Text, "bert", "BertForSequenceClassification", linear=False),
    "transformers GPT-2": transformers(Text, "gpt2", last="ln_f", linear=False),
}


def settled(case: Case) -> nn.Module:
    """Returns a case's network so that a signal survives its random weights.

    Batch normalisation gets the statistics of some inputs, and a last layer that begins at zero gets weights.
    """
    model, inputs = case.make(), case.inputs(4)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = None  # the mean of all batches, of which there is one
        module.train()
    with torch.no_grad():
        if norms:
            model(inputs)
        weight = last_layer(case, model).weight
        if not weight.any():
            weight.normal_(generator=torch.Generator().manual_seed(0))
    return model.eval()


def last_layer(case: Case, model: nn.Module) -> nn.Module:
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return model.get_submodule(case.last or linears[-1])


def optimum(convolution: nn.Conv2d, shape: tuple[int, ...]) -> float:
    """SID of a convolution of the input in closed form: σ_i² is α τ times the mean of w² over pixels, divided by w_i²,
    where w_i² is the sum of the squared weights that a pixel meets."""
    inputs = torch.zeros(shape, requires_grad=True)
    squared = torch.conv2d(inputs, convolution.weight.detach() ** 2, None, convolution.stride, convolution.padding)
    (met,) = torch.autograd.grad(squared.sum(), inputs)
    met = met.sum(1).double()
    return FLOOR + (math.log(met.mean()) - met.log().mean().item()) / 2


SLOW = tuple(f"torchvision {name}" for name in ("AlexNet", "VGG", "DenseNet", "Inception v3"))


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in FAMILIES]
)
def test_a_family(family):
    case, model, data = FAMILIES[family], settled(FAMILIES[family]), FAMILIES[family].inputs()
    before = snapshot(model)
    listed = list_layers(model, data)
    usual = choose_layers(listed, None, default_layers(model), family)
    layers = ["hidden_states[0]", usual[(len(usual) - 1) // 2], usual[-1]]
    if case.linear:
        layers[0] = next(name for name, module in model.named_modules() if type(module) is nn.Conv2d)
        assert listed[0].name == layers[0]
    run = measure(model, data, layers, **FAST)
    assert snapshot(model) == before
    assert run.plan.layers[run.plan.networks[0]] == tuple(layers)
    off = (abs(run.dataset["feature_distance"] / 1.5 - 1) > 0.1) | run.dataset["sid_corrected"].isnull()
    assert ((np.isfinite(run.dataset["gap"]) & (run.dataset["gap"] >= 0)) | off).all()  # else there is none to give
    for name in ("sid_map", "feature_distance"):
        assert np.isfinite(run.dataset[name]).all()
    first, _, last = run.dataset["sid"].values[0, :, 0]
    if case.linear:
        best = optimum(model.get_submodule(layers[0]), data.shape)
        assert FLOOR - 0.01 < first < best + 0.01
        assert first == pytest.approx(best, abs=0.02)
    with torch.no_grad():
        for parameter in last_layer(case, model).parameters():
            parameter.mul_(2)  # exact in binary
    doubled = measure(model, data, layers[-1:], **FAST)
    assert doubled.dataset["sid"].item() == pytest.approx(last, abs=1e-4)
