"""Preparation of a measurement: every argument is checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..core.kinds import IMAGE
from ..core.metrics import METRICS
from ..core.origin import without_folders
from ..core.settings import Settings
from ..data.inputs import Inputs
from ..errors import InfodiscardError, nearest
from ..networks.data_flow import stages
from ..networks.network import Network
from ..results.plan import Plan
from ..solver.sigma_space import SigmaSpace
from .checks import measurable
from .engines import Engine, Work, find_engine
from .execution import DEFAULT_BLOCK, Execution
from .prepared_network import PreparedNetwork


@dataclass(frozen=True)
class Measurement:
    """A measurement that is checked and has not begun.

    Attributes:
        plan: what defines its run.
        former: the same as earlier versions had it, with one cap for all samples; their runs are continued under it.
        work: what is to be done.
        inputs: all samples.
        engine: what does the work.
    """

    plan: Plan
    former: Plan
    work: Work
    inputs: Inputs
    engine: Engine


def prepare(
    networks: Any,
    inputs: Inputs,
    layers: Sequence[str] | Mapping[str, Sequence[str]] | None,
    settings: Settings,
    execution: Execution,
) -> Measurement:
    """Checks everything that a measurement needs.

    Args:
        networks: as for `infodiscard.measure`.
        inputs: all samples.
        layers: as for `infodiscard.measure`.
        settings: as given; the cap of each network and the place of the noise are filled in.
        execution: where and how to measure.

    Raises:
        InfodiscardError: as for `infodiscard.measure`.
    """
    engine, named = find_engine(execution.engine), _named(networks)
    for what, by_network in (("layers", layers), ("cap", settings.cap)):
        _check_names(what, by_network, named)
    # Where workers have devices of their own, the networks are only looked at here.
    device = execution.device if engine.device_type is None else "cpu"
    prepared = {
        name: PreparedNetwork.prepare(name, network, inputs, layers, settings, device)
        for name, network in named.items()
    }
    caps: dict[str, float | str] = {name: network.cap for name, network in prepared.items()}
    settings = replace(settings, cap=caps, noise_on=inputs.noise_on)
    _check_shapes(prepared, settings)
    # Before anything is written: a run that cannot be finished must not take up the directory.
    for name, network in prepared.items():
        prepared[name] = network = measurable(network, settings.tau)
        if any(METRICS[name].needs_decoders for name in settings.metrics):
            prepared[name] = network.with_decoders(execution.decoders)
    devices = [engine.device_type or network.device.type for network in prepared.values()]
    plan = _plan(prepared, inputs, settings, execution.block or min(DEFAULT_BLOCK.get(each, 4) for each in devices))
    return Measurement(plan, _former(plan, prepared), Work(prepared, settings, execution.batch_size), inputs, engine)


def _former(plan: Plan, networks: Mapping[str, PreparedNetwork]) -> Plan:
    caps = {
        name: each.cap if isinstance(each.cap, float) else each.inputs.former_cap(each.network, each.cap)
        for name, each in networks.items()
    }
    return replace(plan, settings=replace(plan.settings, cap=caps))


def _named(networks: Any) -> dict[str, Network]:
    """Converts one or several modules or Networks to Networks by name."""
    if isinstance(networks, nn.Module):
        networks = {type(networks).__name__: networks}
    elif isinstance(networks, Network):
        networks.check()
        networks = {networks.name: networks}
    if not isinstance(networks, Mapping) or not networks:
        raise InfodiscardError(
            f"networks was a {type(networks).__name__}; give a torch.nn.Module, a Network or a dict of such."
        )
    named = {}
    for name, value in networks.items():
        if isinstance(value, nn.Module):
            value = Network(value, str(name))
        if not isinstance(value, Network):
            raise InfodiscardError(
                f"Network '{name}' is a {type(value).__name__}; it must be a torch.nn.Module or an infodiscard.Network."
            )
        value.check()
        named[str(name)] = value
    return named


def _check_names(what: str, by_network: Any, networks: Mapping[str, Network]) -> None:
    """Raises InfodiscardError if a setting by network names one that is not measured."""
    unknown = [name for name in by_network if name not in networks] if isinstance(by_network, Mapping) else []
    if unknown:
        raise InfodiscardError(
            f"{what} names '{unknown[0]}', which is none of the networks; near it are "
            f"{nearest(str(unknown[0]), list(networks))}."
        )


def _check_shapes(networks: Mapping[str, PreparedNetwork], settings: Settings) -> None:
    """Raises InfodiscardError if the inputs fit no σ, no decoder, or differ between the networks."""
    first, *rest = networks.items()
    inputs = first[1].inputs
    for name, network in rest:
        if network.inputs.shape != inputs.shape:
            raise InfodiscardError(
                f"The embeddings of '{first[0]}' have {inputs.shape[0]} values and those of '{name}' "
                f"{network.inputs.shape[0]}, which cannot be compared; measure them in separate runs."
            )
    shortest = min((part for _, _, part in inputs.unpadded(slice(None))), key=lambda part: part.shape[2])
    SigmaSpace.parse(settings.sigma, shortest.shape)
    if "ru" in settings.metrics and inputs.layout is not IMAGE:
        raise InfodiscardError(
            f"RU is for images, since its decoders restore images, but the inputs are {inputs.layout.name}; measure "
            "metrics=['sid']."
        )


def _plan(networks: Mapping[str, PreparedNetwork], inputs: Inputs, settings: Settings, block: int) -> Plan:
    """Returns everything that defines the run."""
    channels, height, width = next(iter(networks.values())).inputs.shape
    hashes = {f"weights/{name}": network.weights_hash() for name, network in networks.items()}
    origin = {"text" if inputs.tokens else "data": without_folders(inputs.source)} if inputs.source else {}
    origin |= {name: without_folders(value) for name, value in inputs.options.items()}
    predictions = {name: network.predictions() for name, network in networks.items()}
    parts = {name: stages(each.module, each.call(each.first(1)), each.layers) for name, each in networks.items()}
    for name, network in networks.items():
        hashes |= {f"decoder/{name}/{layer}": decoder.digest for layer, decoder in network.decoders.items()}
        origin |= network.origin(name)
    return Plan(
        networks=tuple(networks),
        layers={name: network.layers for name, network in networks.items()},
        samples=inputs.names,
        height=height,
        width=width,
        channels=channels,
        settings=settings,
        hashes=hashes | inputs.hashes(),
        labels=inputs.labels,
        classes=inputs.classes,
        block=block,
        kind=inputs.layout.name,
        tokens=inputs.tokens,
        words=inputs.words,
        normalisation={name: network.network.normalisation(channels) for name, network in networks.items()},
        fingerprints={
            f"{name}/{layer}": found
            for name, network in networks.items()
            for layer, found in network.fingerprints().items()
        },
        origin=origin,
        predictions={name: classes for name, classes in predictions.items() if classes is not None},
        skipped={f"{name}/{layer}": why for name, each in networks.items() for layer, why in each.skipped.items()},
        stages={name: found for name, found in parts.items() if found},
    )
