"""Checks that a layer can be measured: it is deterministic, treats inputs one by one, varies and passes a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from ..data.inputs import Inputs
from ..errors import InfodiscardError, NotCalledError, SampleError
from ..networks.draws import Extreme
from ..networks.probe import Call, Probe
from ..networks.state import State
from ..solver.expectation import check_variation
from ..solver.feature_distance import check_rows, check_size
from ..solver.sample_noise import SampleNoise
from .prepared_network import PreparedNetwork
from .rounding import check_noise

REPEATS = 256
"""Passes over one input with new random numbers each, where a network draws such."""

REPEATED = 1e-5
"""How far features of one input may be apart, relatively: parameters that are changed and changed back are rounded."""

STEP, MISSED = 0.05, 0.2
"""Step along the noise in which a gradient is compared with the distances themselves, and how far it may be off."""

REACTING_DRAWS = 256
"""Draws, shared among the samples, after which a layer that has not reacted to any is taken to be constant."""

COUPLED, ROUNDED = 0.1, 8
"""How far a batch may move the feature of an input: relative to δ_f; and in roundings of the feature, which other
kernels for other sizes of the batch are free to do otherwise."""


def measurable(network: PreparedNetwork, tau: float) -> PreparedNetwork:
    """Returns the network with those of its layers that can be measured; `skipped` says of the others why not.

    Args:
        network: whose layers.
        tau: variance of the noise that a layer is tried with.

    Raises:
        InfodiscardError: none can; about the first of them.
    """
    faults: dict[str, InfodiscardError] = {}
    for address in network.layers:
        try:
            check_layer(network, address, tau)
        except InfodiscardError as error:
            faults[address] = error
    if len(faults) == len(network.layers):
        raise next(iter(faults.values()))
    layers = tuple(address for address in network.layers if address not in faults)
    return replace(network, layers=layers, skipped={address: _reason(error) for address, error in faults.items()})


def _reason(error: InfodiscardError) -> str:
    """Returns why a layer cannot be measured, without which it is."""
    return str(error).partition(" cannot be measured: ")[2] or str(error)


def check_layer(network: PreparedNetwork, address: str, tau: float) -> None:
    """Checks that a layer can be measured; arguments as for `measurable`.

    Raises:
        InfodiscardError: it is random, changes from pass to pass, mixes samples, is constant or passes no gradient.
    """
    two = network.first(2, address)
    noise = SampleNoise(network.normalised(two), 0, "batch").draw(list(range(len(two.names))), 4)
    noisy = network.call(two, tau**0.5 * noise[:, 0])
    with network.layer(address) as probe:
        with torch.no_grad():
            _check_repeatable(probe, network.call(two.part([0])), noisy)
            _check_alone(network, probe, two, tau**0.5 * noise)
        _try(network, probe, tau)
        if probe.moved and (names := probe.moved.names):
            _check_slope(network, probe, two, tau**0.5 * noise, names)


def _check_repeatable(probe: Probe, call: Call, others: Call) -> None:
    """Raises InfodiscardError if the feature of a call is not the same in every pass, also after one of others."""
    first = probe(call)
    same = _near(first, probe(call))
    moved = probe.moved or State()
    if same and moved.parts:
        moved.restore()
        probe.again(others)
        same = _near(first, probe.again(call))
    if not same and not moved.draws:
        what = f", as a pass changes {', '.join(moved.names[:3])} of the network" * bool(moved.names)
        raise InfodiscardError(
            f"its output is not the same in every pass over the same input{what}: switch off what makes it so, "
            "usually by calling model.eval()."
        )
    if same and moved.draws:
        # Something rare may hang on what is drawn, such as a block that is left out.
        for least in (True, False):
            with Extreme(least):
                same = same and _near(first, probe(call))
        same = same and all(_near(first, probe.again(call)) for _ in range(REPEATS))
    if not same:
        raise InfodiscardError(
            "its output is random (two passes over the same input differ): switch off what makes it so, usually by "
            "calling model.eval()."
        )


def _near(feature: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two features, of any shape, are equal but for roundings; NaN equals NaN."""
    if feature.shape != other.shape:
        return False
    one, two = feature.float().nan_to_num(), other.float().nan_to_num()
    return bool((one - two).norm() <= REPEATED * one.norm())


def _check_alone(network: PreparedNetwork, probe: Probe, two: Inputs, noise: torch.Tensor) -> None:
    """Raises InfodiscardError if the feature of a noisy input depends on the others of its batch, or on its place.

    Args:
        network: of the layer.
        probe: of the layer.
        two: samples, or one.
        noise: of each, `n × 4 × C × H × W`.
    """
    each = 4 // len(noise)
    batch = two.part([0] * each + [len(noise) - 1] * (4 - each))
    clean, beside, feature = network.normalised(batch), network.others(batch), network.feature(probe, batch)
    noisy = clean + noise[:, :each].flatten(0, 1)
    together, ends = feature(noisy, *beside), [0, 3]
    check_rows(together, 4)
    quiet = feature(clean[ends], *(each[ends] for each in beside))
    check_size(together, quiet)
    reaction = (together[ends].float() - quiet.float()).square().sum() / 2
    precision = torch.bfloat16 if network.precision == "bf16" else network.dtype
    for row in ends:
        one = slice(row, row + 1)
        alone = feature(noisy[one], *(each[one] for each in beside))
        check_size(together, alone)
        moved, size = (alone.float() - together[one].float()).square().sum(), alone.float().square().sum()
        if moved > COUPLED**2 * reaction + (ROUNDED * torch.finfo(precision).eps) ** 2 * size:
            raise InfodiscardError(
                "the feature of an input depends on the other inputs of its batch; a layer must treat each on its own "
                "(recurrent layers and attention need batch_first=True)."
            )


def _check_slope(
    network: PreparedNetwork, probe: Probe, two: Inputs, noise: torch.Tensor, names: Sequence[str]
) -> None:
    """Raises InfodiscardError if the gradient is not that of the feature, as where weights were changed back meanwhile.

    Args:
        network: of the layer.
        probe: of the layer.
        two: samples, or one.
        noise: of each, `n × 4 × C × H × W`.
        names: of what a pass changes.
    """
    with suppress(SampleError):
        distance = network.distance(probe, two)
        rows = torch.arange(len(noise), device=network.device)
        claimed = (distance.gradient(rows, noise)[1] * noise).sum()
        found = (distance(rows, (1 + STEP) * noise) - distance(rows, (1 - STEP) * noise)).sum() / (2 * STEP)
        if (claimed - found).abs() > MISSED * found.abs():
            raise InfodiscardError(
                f"the gradient up to it is not that of its output, as a pass changes {', '.join(names[:3])} "
                "of the network and changes it back before the gradient is taken: change it once, before measuring."
            )


def _try(network: PreparedNetwork, probe: Probe, tau: float) -> None:
    """Raises InfodiscardError unless a sample can be measured: they are tried one after another until one can.

    Where none has reacted to the first draws, as behind a threshold that is seldom passed, they are given more.
    """
    fault: InfodiscardError | None = None
    silent: list[Inputs] = []
    for sample in network.each(probe.address):
        try:
            return _try_sample(network, probe, sample, tau)
        except (SampleError, NotCalledError) as error:
            fault = fault or error
            if isinstance(error, SampleError) and error.reason == "feature_constant":
                silent.append(sample)
    for sample in silent:
        with suppress(SampleError):
            return _try_sample(network, probe, sample, tau, max(32, REACTING_DRAWS // len(silent)))
    if fault is not None:
        raise fault


def _try_sample(network: PreparedNetwork, probe: Probe, sample: Inputs, tau: float, more: int = 0) -> None:
    """Raises SampleError unless a sample can be measured, by two draws with their gradients and some `more` without."""
    check_noise(network, sample, tau)
    distance = network.distance(probe, sample)
    rows, stream = torch.zeros(1, dtype=torch.long, device=network.device), SampleNoise(distance.inputs, 0, "trial")
    values, _ = distance.gradient(rows, stream.draw([0], 2) * tau**0.5)
    if more:
        values = distance(rows, stream.draw([0], more) * tau**0.5)
    check_variation(values.mean(1))
