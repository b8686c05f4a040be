"""One network, ready to be measured, and the computation of one unit of work."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .addresses import choose_layers
from .decoders import TrainedDecoder, find
from .entropy import concentration, gaussian_entropy
from .errors import InfodiscardError
from .inputs import Inputs
from .layouts import IMAGE
from .network import Network, placed, weights_hash
from .noise import SampleNoise, SigmaSpace
from .objectives import FeatureDistance
from .probes import Call, Probe, list_layers
from .reconstruction import Reconstruction, ReconstructionError, maximise_reconstruction_error
from .solver import Effort, Solution, check_variation, maximise_entropy
from .store import VARIABLES
from .untouched import untouched, unwrap

if TYPE_CHECKING:
    from .plan import Unit


@dataclass(frozen=True)
class Job:
    """One network, ready to be measured.

    Attributes:
        network: as given.
        inputs: all samples.
        module: the network's plain module, or a copy of it on the device.
        layers: to measure, in execution order.
        cap: largest σ allowed.
        device: where the module is.
        dtype: what it computes in.
        precision: `full` or `bf16`.
        decoders: of each layer, where RU is measured.
    """

    network: Network
    inputs: Inputs
    module: nn.Module
    layers: tuple[str, ...]
    cap: float
    device: torch.device
    dtype: torch.dtype
    precision: str
    decoders: Mapping[str, TrainedDecoder] = field(default_factory=dict)

    @classmethod
    def prepare(
        cls,
        name: str,
        network: Network,
        inputs: Inputs,
        layers: Sequence[str] | Mapping[str, Sequence[str]] | None,
        cap: float | str,
        device: str | torch.device | None,
        precision: str,
    ) -> Job:
        """Checks a network against the inputs and finds its layers."""
        if inputs.layout is IMAGE:
            network.check_size(inputs.shape[1:], name)
        module, where = placed(unwrap(network.module), device)
        floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
        inputs = inputs.embedded(module)
        job = cls(network, inputs, module, (), math.nan, where, floats[0] if floats else torch.float32, precision)
        known = list_layers(module, job.call(job.first(1)))
        wanted = layers.get(name) if isinstance(layers, Mapping) else layers
        return replace(
            job, layers=choose_layers(known, wanted, network.default_layers, name), cap=inputs.cap(network, cap)
        )

    def with_decoders(self, folder: str | Path | None) -> Job:
        """The same with a decoder for every layer, from `folder` or the user's cache.

        Raises:
            InfodiscardError: there is none for a layer.
        """
        network, example = self.network, self.call(self.first(1))
        space = None if network.mean is None or network.std is None else (network.mean, network.std)
        key, found = weights_hash(self.module), {}
        for address in self.layers:
            with self.layer(address) as probe, torch.no_grad():
                shape = probe(example).shape[1:]
            found[address] = find(
                key,
                address,
                shape,
                self.inputs.shape,
                folder or (),
                normalisation=space,
                network=network.source or network.name,
                layers=self.layers,
            )
        return replace(self, decoders=found)

    def first(self, count: int) -> Inputs:
        """The first samples, up to `count`, as far as they are of one extent; without their padding."""
        _, _, part = next(self.inputs.unpadded(slice(0, count)))
        return part

    def take(self, part: Inputs) -> torch.Tensor:
        """Samples in the network's input space, on its device, in float32 or better."""
        images = part.images.to(self.device, torch.float64 if self.dtype == torch.float64 else torch.float32)
        return self.network.normalise(images) if self.network.mean is not None else images

    def beside(self, part: Inputs) -> list[torch.Tensor]:
        """Their other inputs, on the network's device and in its precision."""
        others = [value.to(self.device) for value in part.others.values()]
        return [value.to(self.dtype) if value.is_floating_point() else value for value in others]

    def call(self, part: Inputs) -> Call:
        """The arguments of a forward pass of samples."""
        return part.call(self.take(part).to(self.dtype), self.beside(part))

    @contextmanager
    def layer(self, address: str) -> Iterator[Probe]:
        """The probe of one layer; the network is left as it was, and errors say which layer they are about."""
        try:
            with untouched(self.module) as module:
                yield Probe(module, address)
        except InfodiscardError as error:
            raise InfodiscardError(f"Layer '{address}' of '{self.network.name}' cannot be measured: {error}") from error

    def distance(self, probe: Probe, part: Inputs, batch_size: int | None = None) -> FeatureDistance:
        """The feature distance of samples at one layer; only the network itself works in its own precision."""
        return FeatureDistance(self._feature(probe, part), self.take(part), batch_size, self.beside(part))

    def reconstruction(self, probe: Probe, part: Inputs, batch_size: int | None = None) -> ReconstructionError:
        """The same, and the error of the layer's decoder, which works in float32."""
        decoder = self.decoders[probe.address].module.to(self.device)
        return ReconstructionError(
            self._feature(probe, part),
            lambda feature: decoder(feature.float()),
            self.take(part),
            batch_size,
            self.beside(part),
        )

    def _feature(self, probe: Probe, part: Inputs) -> Callable[..., torch.Tensor]:
        """The function from noisy inputs, and the others beside them, to the feature."""

        def feature(noisy: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                return probe(part.call(noisy.to(self.dtype), beside))

        return feature

    def check_layers(self, tau: float) -> None:
        """Raises InfodiscardError if a layer is random, mixes samples, is constant or passes no gradient."""
        one, two = self.first(1), self.first(2)
        for address in self.layers:
            with self.layer(address) as probe:
                _check_deterministic(probe, self.call(two), self.call(one), len(two.names))
                distance = self.distance(probe, one)
                noise = SampleNoise(distance.inputs, 0, "trial").draw([0], 2)
                values, _ = distance.gradient(torch.zeros(1, dtype=torch.long, device=self.device), noise * tau**0.5)
                check_variation(values.mean(1))

    def measured(
        self,
        unit: Unit,
        settings: Mapping[str, Any],
        batch_size: int | None,
        sigma: torch.Tensor | None = None,
    ) -> dict[str, Any]:
        """Computes one unit of work.

        Args:
            unit: some samples at one layer.
            settings: of the run's plan.
            batch_size: noisy inputs in one forward pass.
            sigma: of the layer before, from which the search for SID begins, `n × C or 1 × H × W`.

        Returns:
            Variable of the run → its values, samples first; NaN on padding.
        """
        whole: dict[str, np.ndarray] = {}
        with self.layer(unit.layer) as probe:
            for places, columns, part in self.inputs.unpadded(slice(unit.start, unit.stop)):
                before = None if sigma is None else sigma[places][..., columns]
                for name, value in self._solved(probe, part, settings, batch_size, before).items():
                    self._put(whole, name, value.cpu().numpy(), unit.stop - unit.start, places, columns)
        return whole

    def _put(self, whole: dict[str, Any], name: str, value: Any, count: int, places: list[int], columns: slice) -> None:
        """Puts some samples' values among those of `count` samples."""
        wide = "x" in VARIABLES[name].dims
        value = self.inputs.layout.chart(value) if wide else value
        shape = (count, *value.shape[1:-1], self.inputs.shape[2]) if wide else (count, *value.shape[1:])
        if name not in whole:
            whole[name] = np.full(shape, np.nan if value.dtype.kind == "f" else 0, value.dtype)
        whole[name][(places, ..., columns) if wide else places] = value

    def _solved(
        self,
        probe: Probe,
        part: Inputs,
        settings: Mapping[str, Any],
        batch_size: int | None,
        sigma: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        """Solves for some samples of one extent; arguments as for `measured`."""
        masks = None if part.masks is None else part.masks.to(self.device)
        space = SigmaSpace.parse(settings["sigma"], part.shape)
        task = space, settings["alpha"], settings["tau"], self.cap, settings["seed"]
        values: dict[str, torch.Tensor] = {}
        if "sid" in settings["metrics"]:
            distance = self.distance(probe, part, batch_size)
            samples = distance.inputs
            start = None if sigma is None else space.mean(sigma.to(samples).log().expand_as(samples))
            effort = Effort(settings["tolerance"], settings["max_passes"])
            values |= _sid(maximise_entropy(distance, *task, effort, start), space, masks)
        if "ru" in settings["metrics"]:
            error = self.reconstruction(probe, part, batch_size)
            effort = Effort(settings["tolerance"], settings["ru_max_passes"])
            values |= _ru(maximise_reconstruction_error(error, *task, effort), space, masks)
            values["reconstruction"] = self.inputs.shown(self._as_images(error.restored()).cpu())
        return values

    def _as_images(self, inputs: torch.Tensor) -> torch.Tensor:
        """Undoes the network's normalisation."""
        if self.network.mean is None or self.network.std is None:
            return inputs
        mean, std = (inputs.new_tensor(values).view(-1, 1, 1) for values in (self.network.mean, self.network.std))
        return inputs * std + mean


def _check_deterministic(probe: Probe, samples: Call, single: Call, count: int) -> None:
    """Raises InfodiscardError if the feature is random, or depends on the other samples of the batch.

    Args:
        samples: a batch of `count`.
        single: its first.
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


def _stored(sigma: torch.Tensor, space: SigmaSpace) -> torch.Tensor:
    """σ as a run holds it: with a dimension for the channels only where they differ."""
    return sigma if space.name == "unit" else sigma[:, 0]


def _sid(solution: Solution, space: SigmaSpace, masks: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Takes a solution to what a run stores of SID; a leading dimension for the samples."""
    sigma = space.expand(solution.log_sigma.exp())
    entropy = gaussian_entropy(sigma).mean(1)
    values = {
        "sid": entropy.mean((1, 2)),
        "sid_map": entropy,
        "sigma": _stored(sigma, space),
        "feature_distance": solution.distance,
        "feature_distance_se": solution.distance_se,
        "converged": solution.converged,
        "passes": solution.passes,
        "gap": solution.gap,
        "capped_share": solution.capped_share,
        "cap_matters": solution.cap_matters,
    }
    if masks is not None:
        values["concentration"] = concentration(entropy, masks)
    return values


def _ru(solution: Reconstruction, space: SigmaSpace, masks: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """The same of RU."""
    entropy, floor = solution.entropy.mean(1), solution.floor.mean(1)
    values = {
        "ru": entropy.mean((1, 2)),
        "ru_map": entropy,
        "ru_floor": floor.mean((1, 2)),
        "ru_floor_map": floor,
        "ru_sigma": _stored(space.expand(solution.log_sigma.exp()), space),
        "ru_feature_distance": solution.distance,
        "ru_feature_distance_se": solution.distance_se,
        "ru_converged": solution.converged,
        "ru_passes": solution.passes,
        "ru_gap": solution.gap,
    }
    if masks is not None:
        values["ru_concentration"] = concentration(entropy, masks)
    return values
