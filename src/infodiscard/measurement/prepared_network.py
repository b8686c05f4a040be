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

from ..core.kinds import IMAGE
from ..core.metrics import METRICS, all_variables
from ..core.metrics.variable import FAILURES
from ..data.inputs import Inputs
from ..decoders.cache import TrainedDecoder, find
from ..errors import InfodiscardError, SampleError
from ..networks.addresses import choose_layers
from ..networks.network import Network, placed, weights_hash
from ..networks.preserve import untouched, unwrap
from ..networks.probe import Call, Probe, list_layers
from ..solver.correction import contrast
from ..solver.entropy import concentration, gaussian_entropy
from ..solver.feature_distance import FeatureDistance, out_of_memory
from ..solver.noise import SampleNoise, SigmaSpace
from ..solver.ru import Reconstruction, ReconstructionError, maximise_reconstruction_error
from ..solver.sid import Effort, Solution, check_variation, maximise_entropy

if TYPE_CHECKING:
    from ..results.plan import Unit

TRIED = 4
"""Samples that a layer is tried on, one after another until one can be measured, before a run begins."""


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
        """The first readable samples, up to `count`, as far as they are of one extent; without their padding."""
        _, _, part = next(self.inputs.unpadded(self.inputs.readable()[:count]))
        return part

    def part(self, unit: Unit) -> Inputs:
        """The samples of a unit."""
        return self.inputs.part(slice(unit.start, unit.stop))

    def lent(self) -> Job:
        """The same without the samples, to be sent to another process, which is given those of each unit."""
        return replace(self, inputs=self.inputs.part([]))

    def on(self, device: torch.device) -> Job:
        """The same on a device."""
        module, where = placed(self.module, device)
        return replace(self, module=module, device=where)

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
        where = f"Layer '{address}' of '{self.network.name}'"
        try:
            with untouched(self.module) as module:
                yield Probe(module, address)
        except InfodiscardError as error:
            raise InfodiscardError(f"{where} cannot be measured: {error}") from error
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise InfodiscardError(
                f"{where} does not fit into the memory of {self.device}, even with one noisy input in a pass; give a "
                "smaller block, a smaller size, precision='bf16' or a device with more. What was finished is kept."
            ) from error

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
                self._try(probe, tau)

    def _try(self, probe: Probe, tau: float) -> None:
        """Raises InfodiscardError unless one of the first few samples can be measured."""
        several = self.first(TRIED)
        for row in range(len(several.names)):
            try:
                distance = self.distance(probe, several.part([row]))
                noise = SampleNoise(distance.inputs, 0, "trial").draw([0], 2)
                values, _ = distance.gradient(torch.zeros(1, dtype=torch.long, device=self.device), noise * tau**0.5)
                return check_variation(values.mean(1))
            except SampleError:
                if row == len(several.names) - 1:
                    raise

    def measured(
        self,
        layer: str,
        samples: Inputs,
        settings: Mapping[str, Any],
        batch_size: int | None,
        sigma: torch.Tensor | None = None,
    ) -> dict[str, np.ndarray]:
        """Computes one unit of work.

        Args:
            layer: its address.
            samples: of the unit.
            settings: of the run's plan.
            batch_size: noisy inputs in one forward pass.
            sigma: of the layer before, from which the search for SID begins, `n × C or 1 × H × W`.

        Returns:
            Variable of the run → its values, samples first; NaN on padding, and where `failure` says why.
        """
        readable = samples.readable()
        failure = np.full(len(samples.names), FAILURES.index("input_unreadable"), np.uint8)
        failure[readable] = 0
        whole: dict[str, np.ndarray] = {"failure": failure}
        groups = [
            ([readable[i] for i in places], columns, part) for places, columns, part in samples.unpadded(readable)
        ]
        with self.layer(layer) as probe:
            while groups:
                places, columns, part = groups.pop()
                before = None if sigma is None else sigma[places][..., columns]
                try:
                    values = self._solved(probe, part, settings, batch_size, before)
                except SampleError as error:
                    failure[[places[row] for row in error.rows]] = FAILURES.index(error.reason)
                    rest = [row for row in range(len(places)) if row not in error.rows]
                    groups += [([places[row] for row in rest], columns, part.part(rest))] if rest else []
                    continue
                for name, value in values.items():
                    self._put(whole, name, value.cpu().numpy(), samples, places, columns)
        _withdraw(whole, failure)
        return whole

    def _put(
        self,
        whole: dict[str, Any],
        name: str,
        value: np.ndarray,
        samples: Inputs,
        places: list[int],
        columns: slice,
    ) -> None:
        """Puts some samples' values among those of all `samples`."""
        count = len(samples.names)
        wide = "x" in all_variables()[name].dims
        value = samples.layout.chart(value) if wide else value
        shape = (count, *value.shape[1:-1], samples.shape[2]) if wide else (count, *value.shape[1:])
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
            values["reconstruction"] = part.shown(self._as_images(error.restored()).cpu())
        return values

    def _as_images(self, inputs: torch.Tensor) -> torch.Tensor:
        """Undoes the network's normalisation."""
        if self.network.mean is None or self.network.std is None:
            return inputs
        mean, std = (inputs.new_tensor(values).view(-1, 1, 1) for values in (self.network.mean, self.network.std))
        return inputs * std + mean


def _withdraw(values: Mapping[str, np.ndarray], failure: np.ndarray) -> None:
    """Takes back what was found for samples whose distance overflowed on the way, and notes why."""
    scalars = [value for name, value in values.items() if name in METRICS or name.endswith("feature_distance")]
    for value in scalars:
        failure[~np.isfinite(value) & (failure == 0)] = FAILURES.index("feature_not_finite")
    for name, value in values.items():
        if name != "failure":
            value[failure > 0] = np.nan if value.dtype.kind == "f" else 0


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


def _rounded(noise: torch.Tensor) -> torch.Tensor:
    """Rounds to 8 bits, which is all that noise has to say: the others are zeros, which take no space in a store."""
    return noise.bfloat16().float()


def _sid(solution: Solution, space: SigmaSpace, masks: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Takes a solution to what a run stores of SID; a leading dimension for the samples."""
    sigma = space.expand(solution.log_sigma.exp())
    entropy = gaussian_entropy(sigma).mean(1)
    mean, shift_se = entropy.mean((1, 2)), space.expand(solution.shift_se)
    values = {
        "sid": mean,
        "sid_corrected": mean + solution.correction,
        "sid_corrected_se": solution.correction_se,
        "sid_map": entropy,
        "correction_map": _rounded(space.expand(solution.shift).mean(1)),
        "correction_se_map": _rounded(shift_se.square().sum(1).sqrt() / shift_se.shape[1]),
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
        missing, error = contrast(solution.shift, solution.shift_se, solution.correction, space, masks)
        unsafe = solution.correction.isnan()
        values["concentration_corrected"] = (values["concentration"] + missing).masked_fill(unsafe, torch.nan)
        values["concentration_corrected_se"] = error.masked_fill(unsafe, torch.nan)
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
