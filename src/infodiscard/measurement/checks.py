"""Checks that a layer can be measured: it is deterministic, treats inputs one by one, varies and passes a gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import InfodiscardError, NotCalledError, SampleError
from ..networks.probe import Call, Probe
from ..solver.expectation import check_variation
from ..solver.sample_noise import SampleNoise
from .prepared_network import PreparedNetwork
from .rounding import check_noise


def check_layers(network: PreparedNetwork, tau: float) -> None:
    """Checks all layers of a network.

    Args:
        network: whose layers.
        tau: variance of the noise that a layer is tried with.

    Raises:
        InfodiscardError: a layer is random, mixes samples, is constant or passes no gradient.
    """
    for address in network.layers:
        two = network.first(2, address)
        each = [network.call(two.part([row])) for row in range(len(two.names))]
        with network.layer(address) as probe:
            _check_deterministic(probe, network.call(two), each)
            _try(network, probe, tau)


def _check_deterministic(probe: Probe, samples: Call, singles: Sequence[Call]) -> None:
    """Raises InfodiscardError if the feature is random, or depends on the other samples of the batch.

    Args:
        probe: of the layer.
        samples: a batch.
        singles: each of the batch alone.
    """
    with torch.no_grad(), torch.random.fork_rng():
        first, again = probe(samples), probe(samples)
        alone = [probe(single) for single in singles]
    if not torch.equal(first, again) and not first.isnan().any():
        raise InfodiscardError(
            "its output is random (two passes over the same input differ): switch off what makes it so, usually by "
            "calling model.eval()."
        )
    if first.shape[0] == len(singles):
        scale = first.abs().max().clamp(min=1e-12)
        if any((feature - single[0]).abs().max() > 1e-2 * scale for feature, single in zip(first, alone, strict=True)):
            raise InfodiscardError(
                "the feature of an input depends on the other inputs of its batch; a layer must treat each on its own."
            )


def _try(network: PreparedNetwork, probe: Probe, tau: float) -> None:
    """Raises InfodiscardError unless a sample can be measured: they are tried one after another until one can."""
    fault: InfodiscardError | None = None
    for sample in network.each(probe.address):
        try:
            check_noise(network, sample, tau)
            distance = network.distance(probe, sample)
            noise = SampleNoise(distance.inputs, 0, "trial").draw([0], 2)
            values, _ = distance.gradient(torch.zeros(1, dtype=torch.long, device=network.device), noise * tau**0.5)
            return check_variation(values.mean(1))
        except (SampleError, NotCalledError) as error:
            fault = fault or error
    if fault is not None:
        raise fault
