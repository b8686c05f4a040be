"""Network that is ready to be measured: checked against the samples, on its device, with its layers and decoders."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..core.fingerprint import Fingerprint, fingerprint
from ..core.kinds import IMAGE
from ..core.settings import Settings
from ..data.inputs import Inputs
from ..decoders.cache import TrainedDecoder, find, fixed_input
from ..errors import InfodiscardError, out_of_memory
from ..networks.addresses import choose_layers
from ..networks.features import LayerFeatures
from ..networks.network import Network, placed, weights_hash
from ..networks.preserve import preserved, unwrap
from ..networks.probe import Call, Probe, list_layers
from ..results.plan import Unit
from ..solver.decoder_error import ReconstructionError
from ..solver.feature_distance import FeatureDistance


@dataclass(frozen=True)
class PreparedNetwork:
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
        settings: Settings,
        device: str | torch.device | None,
    ) -> PreparedNetwork:
        """Checks a network against the inputs, and finds its layers and its cap.

        Args:
            name: of the network in its run.
            network: as given.
            inputs: all samples.
            layers: names or patterns, for all networks or by network; `None` for the network's default ones.
            settings: of the run; the cap as given.
            device: where to compute; `None` for where the network is.

        Raises:
            InfodiscardError: the network does not take the inputs, or has no such layer, device or cap.
        """
        if inputs.layout is IMAGE:
            network.check_size(inputs.shape[1:], name)
        module, where = placed(unwrap(network.module), device)
        floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
        inputs = inputs.embedded(module)
        dtype = floats[0] if floats else torch.float32
        bare = cls(network, inputs, module, (), math.nan, where, dtype, settings.precision)
        with _told(f"'{name}'"):
            known = list_layers(module, bare.call(bare.first(1)))
        wanted = layers.get(name) if isinstance(layers, Mapping) else layers
        own = dict(unwrap(network.module).named_modules())
        chosen = choose_layers(known, wanted, network.default_layers, name, own)
        return replace(bare, layers=chosen, cap=inputs.cap(network, settings.of_network("cap", name)))

    def with_decoders(self, folder: str | Path | None) -> PreparedNetwork:
        """The same with a decoder for every layer, from `folder` or the user's cache.

        Raises:
            InfodiscardError: there is none for a layer.
        """
        network, one = self.network, self.first(1)
        fixed = one.call(fixed_input(self.inputs.shape).to(self.device, self.dtype), self.others(one))
        space, key, decoders = network.space(self.inputs.shape[0]), weights_hash(self.module), {}
        for address in self.layers:
            with self.layer(address) as probe, torch.no_grad():
                shape, feature = probe(self.call(one)).shape[1:], probe(fixed).float().cpu().numpy()
            decoders[address] = find(
                key,
                address,
                shape,
                self.inputs.shape,
                folder or (),
                normalisation=space,
                features=fingerprint([feature], self._half),
                network=network.source or network.name,
                layers=self.layers,
            )
        return replace(self, decoders=decoders)

    def fingerprints(self) -> dict[str, Fingerprint]:
        """The fingerprint of each layer's features of the first two samples, clean and with noise as large as they."""
        two = self.first(2)
        features: dict[str, list[np.ndarray]] = {address: [] for address in self.layers}
        noise = torch.randn(two.values.shape[1:], generator=torch.Generator().manual_seed(0), dtype=two.values.dtype)
        with _told(f"'{self.network.name}'"), preserved(self.module) as module, torch.random.fork_rng(devices=[]):
            read = LayerFeatures(module, self.layers)
            for row, sd in product(range(len(two.names)), (0.0, 1.0)):
                part = two.part([row])
                spread = sd * part.values.std(correction=0)
                for address, feature in read(self.call(replace(part, values=part.values + spread * noise))).items():
                    features[address].append(feature.cpu().numpy())
        return {address: fingerprint(found, self._half) for address, found in features.items()}

    @property
    def _half(self) -> bool:
        """Whether the module computes in half precision."""
        return self.dtype in (torch.float16, torch.bfloat16)

    def first(self, count: int) -> Inputs:
        """The first readable samples of one extent, up to `count`; without their padding."""
        _, _, part = next(self.inputs.unpadded(self.inputs.readable()[:count]))
        return part

    def part(self, unit: Unit) -> Inputs:
        """The samples of a unit."""
        return self.inputs.part(slice(unit.start, unit.stop))

    def without_samples(self) -> PreparedNetwork:
        """The same without the samples, to be sent to another process, which is given those of each unit."""
        return replace(self, inputs=self.inputs.part([]))

    def on(self, device: torch.device) -> PreparedNetwork:
        """The same on a device."""
        module, where = placed(self.module, device)
        return replace(self, module=module, device=where)

    def normalised(self, part: Inputs) -> torch.Tensor:
        """Samples in the network's input space, `n × C × H × W`, on its device, in float32 or better."""
        images = part.values.to(self.device, torch.float64 if self.dtype == torch.float64 else torch.float32)
        return self.network.normalise(images) if self.network.mean is not None else images

    def others(self, part: Inputs) -> list[torch.Tensor]:
        """Their other inputs, `n × …` each, on the network's device and in its precision."""
        others = [value.to(self.device) for value in part.others.values()]
        return [value.to(self.dtype) if value.is_floating_point() else value for value in others]

    def call(self, part: Inputs) -> Call:
        """The arguments of a forward pass of samples."""
        return part.call(self.normalised(part).to(self.dtype), self.others(part))

    @contextmanager
    def layer(self, address: str) -> Iterator[Probe]:
        """The probe of one layer; the network is left as it was, and errors say which layer they are about."""
        where = f"Layer '{address}' of '{self.network.name}'"
        try:
            with _told(where), preserved(self.module) as module:
                yield Probe(module, address)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise InfodiscardError(
                f"{where} does not fit into the memory of {self.device}, even with one noisy input in a pass; give a "
                "smaller block, a smaller size, precision='bf16' or a device with more. What was finished is kept."
            ) from error

    def distance(self, probe: Probe, part: Inputs, batch_size: int | None = None) -> FeatureDistance:
        """The feature distance of samples at one layer; only the network itself works in its own precision."""
        return FeatureDistance(self.feature(probe, part), self.normalised(part), batch_size, self.others(part))

    def reconstruction(self, probe: Probe, part: Inputs, batch_size: int | None = None) -> ReconstructionError:
        """The same, and the error of the layer's decoder, which works in float32."""
        decoder = self.decoders[probe.address].module.to(self.device)
        return ReconstructionError(
            self.feature(probe, part),
            lambda feature: decoder(feature.float()),
            self.normalised(part),
            batch_size,
            self.others(part),
        )

    def feature(self, probe: Probe, part: Inputs) -> Callable[..., torch.Tensor]:
        """The function from noisy inputs, `m × C × H × W`, and the others beside them to the feature, `m × …`."""

        def feature(noisy: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                return probe(part.call(noisy.to(self.dtype), beside))

        return feature

    def as_images(self, inputs: torch.Tensor) -> torch.Tensor:
        """Undoes the network's normalisation of `n × C × H × W`."""
        if self.network.mean is None or self.network.std is None:
            return inputs
        mean, std = (inputs.new_tensor(values).view(-1, 1, 1) for values in (self.network.mean, self.network.std))
        return inputs * std + mean


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Lets errors say what they are about: a network, or a layer of one."""
    try:
        yield
    except InfodiscardError as error:
        raise InfodiscardError(f"{what} cannot be measured: {error}") from error
