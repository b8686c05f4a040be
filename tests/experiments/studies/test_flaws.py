"""The study of flaws: it measures about every damage."""

from pathlib import Path

import pytest
import torch

from infodiscard import zoo
from infodiscard.experiments.datasets import DataFolder
from infodiscard.experiments.lab import Lab, TrainedNetwork
from infodiscard.experiments.presets import PRESETS
from infodiscard.experiments.studies import flaws
from infodiscard.networks.probe import list_layers
from infodiscard.zoo.cifar_resnet import damage_positions


@pytest.mark.parametrize("size", PRESETS.values(), ids=PRESETS)
def test_damage_lies_where_the_study_of_flaws_can_look_about_it(size):
    depth, example = size.depths[0], torch.zeros(1, 3, 32, 32)
    last = (depth - 2) // 6 - 1
    lab = Lab(Path("nowhere"), DataFolder(), size)
    for place in size.damage:
        assert place in damage_positions(depth) and not place.endswith(f".{last}"), "a stage's end has another name"
        name = flaws.damaged_name(f"resnet{depth}", place)
        for spec, called in ((f"zoo:resnet{depth}", f"resnet{depth}"), (f"zoo:resnet{depth},damage={place}", name)):
            network = zoo.load(spec, name=called, allow_random=True)
            wanted = flaws.layers(lab, TrainedNetwork(called, network, Path(), None))
            order = [layer.name for layer in list_layers(network.module, example)]
            assert set(wanted) <= set(order) and len(set(wanted)) == len(wanted)
            assert {place, flaws._next(place, depth), *flaws._common(place)} <= set(wanted)
            assert (f"{place.partition('.')[0]}.damage" in wanted) == (called == name)
            assert order.index(place) < order.index(flaws._next(place, depth))
