"""Layers of the studies: the ends of stages."""

import torch
from torch import nn
from torchvision.models import alexnet, vgg16, vgg19

from infodiscard import zoo
from infodiscard.experiments.studies import coherency, compression, distillation, networks


def poolings(module):
    return tuple(f"features.{i}" for i, part in enumerate(module.features) if isinstance(part, nn.MaxPool2d))


def test_layers_of_the_studies_are_the_ends_of_stages():
    own = {name: zoo.load(f"zoo:{name},width=0.05", allow_random=True).module for name in networks.PLAIN}
    assert {name: poolings(module) for name, module in own.items()} == networks.POOLINGS
    with torch.device("meta"):
        library = {"alexnet": alexnet(), "vgg16": vgg16(), "vgg19": vgg19()}
    assert {name: poolings(module) for name, module in library.items()} == networks.LIBRARY_POOLINGS
    assert networks.POOLINGS["vgg16"] == compression.LAYERS and set(compression.RU_LAYERS) < set(compression.LAYERS)
    assert networks.POOLINGS["alexnet"] == distillation.LAYERS[:-1]
    assert isinstance(own["alexnet"].get_submodule(distillation.LAYERS[-1]), nn.Linear)
    assert len(own["alexnet"].classifier) == 7  # whose last is the logits
    ends = [int(pooling.partition(".")[2]) for pooling in networks.POOLINGS["vgg16"]]
    assert [f"features.{end - 1}" for end in ends] == list(coherency.STAGES)
    assert f"features.{ends[-1]}" == coherency.CAM_LAYER and coherency.RU_LAYER in coherency.STAGES
