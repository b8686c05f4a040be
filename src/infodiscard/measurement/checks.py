"""Checks that a layer can be measured: it is deterministic, treats inputs one by one, varies and passes a gradient."""

from __future__ import annotations

import torch

from ..errors import InfodiscardError, SampleError
from ..networks.probe import Call, Probe
from ..solver.expectation import check_variation
from ..solver.sample_noise import SampleNoise
from .prepared_network import PreparedNetwork
from .rounding import check_noise

TRIED = 4
"""Samples that a layer is tried on, one after another until one can be measured, before a run begins."""


def check_layers(network: PreparedNetwork, tau: float) -> None:
    """Checks all layers of a network.

    Args:
        network: whose layers.
        tau: variance of the noise that a layer is tried with.

    Raises:
        InfodiscardError: a layer is random, mixes samples, is constant or passes no gradient.
    """
    one, two = network.first(1), network.first(2)
    for address in network.layers:
        with network.layer(address) as probe:
            _check_deterministic(probe, network.call(two), network.call(one), len(two.names))
            _try(network, probe, tau)


def _check_deterministic(probe: Probe, samples: Call, single: Call, count: int) -> None:
    """Raises InfodiscardError if the feature is random, or depends on the other samples of the batch.

    Args:
        probe: of the layer.
        samples: a batch of `count`.
        single: its first.
        count: of the batch.
    """
    with torch.no_grad(), torch.random.fork_rng():
        first, again, alone = probe(samples), probe(samples), probe(single)
    if not torch.equal(first, again) and not first.isnan().any():
        raise InfodiscardError(
            "its output is random (two passes over the same input differ): switch off what makes it so, usually by "
            "calling model.eval()."
        )
    if first.shape[0] == count:
        scale = first.abs().max().clamp(min=1e-12)
        if (first[:1] - alone).abs().max() > 1e-2 * scale:
            raise InfodiscardError(
                "the feature of an input depends on the other inputs of its batch; a layer must treat each on its own."
            )


def _try(network: PreparedNetwork, probe: Probe, tau: float) -> None:
    """Raises InfodiscardError unless one of the first few samples can be measured."""
    several = network.first(TRIED)
    for row in range(len(several.names)):
        try:
            check_noise(network, several.part([row]), tau)
            distance = network.distance(probe, several.part([row]))
            noise = SampleNoise(distance.inputs, 0, "trial").draw([0], 2)
            values, _ = distance.gradient(torch.zeros(1, dtype=torch.long, device=network.device), noise * tau**0.5)
            return check_variation(values.mean(1))
        except SampleError:
            if row == len(several.names) - 1:
                raise
