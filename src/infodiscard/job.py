"""One network, ready to be measured, and the computation of one unit of work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .decoders import TrainedDecoder, find
from .entropy import concentration, gaussian_entropy
from .errors import InfodiscardError
from .inputs import Inputs
from .network import Network, placed, weights_hash
from .noise import SampleNoise, SigmaSpace
from .objectives import FeatureDistance
from .probes import Probe, choose_layers, list_layers, untouched
from .reconstruction import Reconstruction, ReconstructionError, maximise_reconstruction_error
from .solver import Effort, Solution, check_variation, maximise_entropy

if TYPE_CHECKING:
    from .plan import Unit


@dataclass(frozen=True)
class Job:
    """One network, ready to be measured.

    Attributes:
        network: as given.
        module: the network's module, or a copy of it on the device.
        layers: to measure, in execution order.
        cap: largest σ allowed.
        device: where the module is.
        dtype: what it computes in.
        precision: `full` or `bf16`.
        decoders: of each layer, where RU is measured.
    """

    network: Network
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
        network.check_size(inputs.shape[1:], name)
        module, where = placed(network.module, device)
        floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
        job = cls(network, module, (), math.nan, where, floats[0] if floats else torch.float32, precision)
        example = job.take(inputs, slice(0, 1)).to(job.dtype)
        wanted = layers.get(name) if isinstance(layers, Mapping) else layers
        known = list_layers(module, example)
        return replace(
            job, layers=choose_layers(known, wanted, network.default_layers, name), cap=inputs.cap(network, cap)
        )

    def with_decoders(self, inputs: Inputs, folder: str | Path | None) -> Job:
        """The same with a decoder for every layer, from `folder` or the user's cache.

        Raises:
            InfodiscardError: there is none for a layer.
        """
        network, samples = self.network, self.take(inputs, slice(0, 1)).to(self.dtype)
        space = None if network.mean is None or network.std is None else (network.mean, network.std)
        key, found = weights_hash(self.module), {}
        for address in self.layers:
            with self.layer(address) as probe, torch.no_grad():
                shape = probe(samples).shape[1:]
            found[address] = find(
                key,
                address,
                shape,
                inputs.shape,
                folder or (),
                normalisation=space,
                network=network.source or network.name,
                layers=self.layers,
            )
        return replace(self, decoders=found)

    def take(self, inputs: Inputs, part: slice) -> torch.Tensor:
        """Some of the samples in the network's input space, on its device, in float32 or better."""
        images = inputs.images[part].to(self.device, torch.float64 if self.dtype == torch.float64 else torch.float32)
        return self.network.normalise(images) if self.network.mean is not None else images

    @contextmanager
    def layer(self, address: str) -> Iterator[Probe]:
        """The probe of one layer; the network is left as it was, and errors say which layer they are about."""
        try:
            with untouched(self.module) as module:
                yield Probe(module, address)
        except InfodiscardError as error:
            raise InfodiscardError(f"Layer '{address}' of '{self.network.name}' cannot be measured: {error}") from error

    def distance(self, probe: Probe, samples: torch.Tensor, batch_size: int | None = None) -> FeatureDistance:
        """The feature distance at one layer; only the network itself works in its own precision."""
        return FeatureDistance(lambda noisy: self._feature(probe, noisy), samples, batch_size)

    def reconstruction(self, probe: Probe, samples: torch.Tensor, batch_size: int | None = None) -> ReconstructionError:
        """The same, and the error of the layer's decoder, which works in float32."""
        decoder = self.decoders[probe.address].module.to(self.device)
        return ReconstructionError(
            lambda noisy: self._feature(probe, noisy), lambda feature: decoder(feature.float()), samples, batch_size
        )

    def _feature(self, probe: Probe, noisy: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return probe(noisy.to(self.dtype))

    def check_layers(self, inputs: Inputs, tau: float) -> None:
        """Raises InfodiscardError if a layer is random, mixes samples, is constant or passes no gradient."""
        samples = self.take(inputs, slice(0, 2))
        for address in self.layers:
            with self.layer(address) as probe:
                _check_deterministic(probe, samples.to(self.dtype))
                distance = self.distance(probe, samples[:1])
                noise = SampleNoise(samples[:1], 0, "trial").draw([0], 2)
                values, _ = distance.gradient(torch.zeros(1, dtype=torch.long, device=samples.device), noise * tau**0.5)
                check_variation(values.mean(1))

    def measured(
        self,
        unit: Unit,
        inputs: Inputs,
        settings: Mapping[str, Any],
        batch_size: int | None,
        sigma: torch.Tensor | None = None,
    ) -> dict[str, Any]:
        """Computes one unit of work.

        Args:
            unit: some samples at one layer.
            inputs: all samples.
            settings: of the run's plan.
            batch_size: noisy inputs in one forward pass.
            sigma: of the layer before, from which the search for SID begins.

        Returns:
            Variable of the run → its values, samples first.
        """
        part = slice(unit.start, unit.stop)
        samples = self.take(inputs, part)
        masks = None if inputs.masks is None else inputs.masks[part].to(samples.device)
        space = SigmaSpace.parse(settings["sigma"], inputs.shape)
        task = space, settings["alpha"], settings["tau"], self.cap, settings["seed"]
        values: dict[str, torch.Tensor] = {}
        with self.layer(unit.layer) as probe:
            if "sid" in settings["metrics"]:
                distance = self.distance(probe, samples, batch_size)
                start = None if sigma is None else space.mean(sigma.to(samples).log().expand_as(samples))
                effort = Effort(settings["tolerance"], settings["max_passes"])
                values |= _sid(maximise_entropy(distance, *task, effort, start), space, masks)
            if "ru" in settings["metrics"]:
                error = self.reconstruction(probe, samples, batch_size)
                effort = Effort(settings["tolerance"], settings["ru_max_passes"])
                values |= _ru(maximise_reconstruction_error(error, *task, effort), space, masks)
                values["reconstruction"] = inputs.shown(self._as_images(error.restored()).cpu())
        return {name: value.cpu().numpy() for name, value in values.items()}

    def _as_images(self, inputs: torch.Tensor) -> torch.Tensor:
        """Undoes the network's normalisation."""
        if self.network.mean is None or self.network.std is None:
            return inputs
        mean, std = (inputs.new_tensor(values).view(-1, 1, 1) for values in (self.network.mean, self.network.std))
        return inputs * std + mean


def _check_deterministic(probe: Probe, samples: torch.Tensor) -> None:
    """Raises InfodiscardError if the feature is random, or depends on the other samples of the batch."""
    with torch.no_grad(), torch.random.fork_rng():
        first, again, alone = probe(samples), probe(samples), probe(samples[:1])
    if not torch.equal(first, again) and not first.isnan().any():
        raise InfodiscardError(
            "its output is random (two passes over the same input differ): switch off what makes it so, usually by "
            "calling model.eval()."
        )
    if first.shape[0] == len(samples):
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
