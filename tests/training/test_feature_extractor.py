"""Features for decoders: those of the layers, from inputs in the network's own precision."""

import torch

from infodiscard.networks.network import Network
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe
from infodiscard.training.feature_extractor import FeatureExtractor
from tiny_decoders import LAYERS


def test_features_are_those_of_the_layers_and_inputs_are_normalised(network: Network) -> None:
    pixels = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    with preserved(network.module) as module:
        features, inputs = FeatureExtractor(network, module)(pixels, LAYERS)
        assert list(features) == list(LAYERS) and torch.equal(inputs, network.normalise(pixels))
        assert all(torch.equal(features[layer], Probe(module, layer)(inputs)) for layer in LAYERS)


def test_a_network_in_double_precision_gets_doubles_whatever_the_autocast(network: Network) -> None:
    pixels = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    with preserved(network.module.double()) as module:
        wanted = {layer: Probe(module, layer)(network.normalise(pixels).double()) for layer in LAYERS}
        with torch.autocast("cpu", torch.bfloat16):
            features, inputs = FeatureExtractor(network, module)(pixels, LAYERS)
    assert inputs.dtype == torch.float32
    assert all(torch.equal(features[layer], wanted[layer].to(features[layer].dtype)) for layer in LAYERS)
