"""Network that is ready to be measured: checked against the samples, on its device, with its layers and decoders."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..core.fingerprint import Fingerprint, fingerprint
from ..core.kinds import IMAGE
from ..core.origin import without_folders
from ..core.settings import Settings
from ..data.inputs import Inputs, network_cap
from ..decoders.cache import TrainedDecoder, find, fixed_input
from ..errors import InfodiscardError, out_of_memory
from ..networks.addresses import Address, Layer
from ..networks.control import reads_values
from ..networks.features import LayerFeatures
from ..networks.network import Network, placed, weights_hash
from ..networks.outputs import default_tensor
from ..networks.preserve import preserved, unwrap
from ..networks.probe import Call, Probe, arguments, joined, list_layers, written_buffers
from ..networks.raised import network_errors
from ..networks.usual import choose_layers
from ..results.plan import Unit
from ..solver.decoder_error import ReconstructionError
from ..solver.feature_distance import FeatureDistance

AT_ONCE, PREDICTED = 32, 1000
"""Samples in a pass without noise, and samples up to which a run notes the classes that its networks give."""


@dataclass(frozen=True)
class PreparedNetwork:
    """One network, ready to be measured.

    Attributes:
        network: as given.
        inputs: all samples.
        module: the network's plain module, or a copy of it on the device.
        layers: to measure, in execution order.
        cap: largest σ allowed; a word where every sample has its own (`data.inputs.sample_caps`).
        device: where the module is.
        dtype: what it computes in.
        precision: `full` or `bf16`.
        decoders: of each layer, where RU is measured.
        calls: sample → layer → how often it is called, where that may depend on the sample; else empty.
        skipped: layer that was to be measured and cannot be → why.
    """

    network: Network
    inputs: Inputs
    module: nn.Module
    layers: tuple[str, ...]
    cap: float | str
    device: torch.device
    dtype: torch.dtype
    precision: str
    decoders: Mapping[str, TrainedDecoder] = field(default_factory=dict)
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

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
        network.check_range(inputs.span, name)
        module, where = placed(unwrap(network.module), device)
        inputs = inputs.embedded(module)
        dtypes = [p.dtype for p in module.parameters() if p.is_floating_point() and p.dtype.itemsize > 1]
        bare = cls(network, inputs, module, (), math.nan, where, [*dtypes, torch.float32][0], settings.precision)
        with _told(f"'{name}'"):
            bare, known = bare._taken({*dtypes} - {bare.dtype})
            if reads_values(module, bare.call(bare.first(1))):
                listings = {part.names[0]: list_layers(module, bare.call(part)) for part in bare.each()}
                known = joined(listings.values())
                calls = {name: {layer.name: layer.calls for layer in listed} for name, listed in listings.items()}
                bare = replace(bare, calls=calls)
        wanted = layers.get(name) if isinstance(layers, Mapping) else layers
        own = dict(unwrap(network.module).named_modules())
        chosen = choose_layers(known, wanted, network.default_layers, name, own)
        return replace(bare, layers=chosen, cap=network_cap(network, settings.of_network("cap", name)))

    def _taken(self, others: Set[torch.dtype]) -> tuple[PreparedNetwork, list[Layer]]:
        """The same with the inputs in a precision that the network takes, its own or one of `others`; and its layers.

        Raises:
            InfodiscardError: it takes them in none.
        """
        try:
            return self, list_layers(self.module, self.call(self.first(1)))
        except InfodiscardError:
            for dtype in sorted(others, key=str):
                other = replace(self, dtype=dtype)
                with suppress(InfodiscardError):
                    return other, list_layers(other.module, other.call(other.first(1)))
            raise

    def with_decoders(self, folder: str | Path | None) -> PreparedNetwork:
        """The same with a decoder for every layer, from `folder` or the user's cache.

        Raises:
            InfodiscardError: there is none for a layer.
        """
        network = self.network
        space, key, decoders = network.space(self.inputs.shape[0]), weights_hash(self.module), {}
        for address in self.layers:
            one = self.first(1, address)
            fixed = one.call(fixed_input(self.inputs.shape).to(self.device, self.dtype), self.others(one))
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

    def weights_hash(self) -> str:
        """SHA-256 of the weights, without what every pass writes, be it the user's own: no feature depends on that."""
        return weights_hash(self.module, written_buffers(self.module, self.call(self.first(1))))

    def fingerprints(self) -> dict[str, Fingerprint]:
        """The fingerprint of each layer's features of the first two samples, clean and with noise as large as they."""
        two = self.first(2)
        layers = [address for address in self.layers if not self.not_calling(address, two.names)]
        features: dict[str, list[np.ndarray]] = {address: [] for address in layers}
        noise = torch.randn(
            two.values.shape[1:], generator=torch.Generator().manual_seed(0), dtype=two.values.dtype, device="cpu"
        )
        with _told(f"'{self.network.name}'"), preserved(self.module) as module:
            read = LayerFeatures(module, layers)
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

    def predictions(self) -> tuple[int, ...] | None:
        """The class that it gives each sample, −1 where that could not be read; `None` if it is no classifier of them.

        It is taken for one if the samples have labels, no more than PREDICTED, and its output is one number for each of
        more classes.
        """
        labels, found = self.inputs.labels, [-1] * len(self.inputs.names)
        if labels is None or min(labels) < 0 or len(labels) > PREDICTED:
            return None
        with preserved(self.module) as module:
            readable = self.inputs.readable()
            for rows in (readable[start : start + AT_ONCE] for start in range(0, len(readable), AT_ONCE)):
                for places, _, part in self.inputs.unpadded(rows):
                    args, kwargs = arguments(self.call(part))
                    with network_errors(module):
                        output = default_tensor(module(*args, **kwargs))
                    if output is None or output.ndim != 2 or output.shape[1] <= max(1, *labels):
                        return None
                    for place, answer in zip(places, output.detach().argmax(1).tolist(), strict=True):
                        found[rows[place]] = answer
        return tuple(found)

    def origin(self, name: str) -> dict[str, str]:
        """What `Plan.origin` holds of a network that its run calls `name`."""
        network = self.network
        known = {"network": without_folders(network.source), "weights": network.weights}
        known |= {
            key: ",".join(f"{value:g}" for value in values)
            for key, values in (("mean", network.mean), ("std", network.std))
            if values is not None
        }
        return {f"{key}/{name}": value for key, value in known.items() if value}

    def first(self, count: int, layer: str | None = None) -> Inputs:
        """The first readable samples of one extent that call a layer, up to `count`; without their padding.

        The second is one that takes another way through the network than the first, if there is such.
        """
        places = self._places(layer)
        ways = [self.calls.get(self.inputs.names[place]) for place in places] if self.calls else []
        other = next((place for place, way in zip(places, ways, strict=False) if way != ways[0]), None)
        if other is not None:
            places = [places[0], other, *(place for place in places[1:] if place != other)]
        _, _, part = next(self.inputs.unpadded(places[:count]))
        return part

    def each(self, layer: str | None = None) -> Iterator[Inputs]:
        """Yields the readable samples that call a layer one by one, without their padding."""
        for place in self._places(layer):
            _, _, part = next(self.inputs.unpadded([place]))
            yield part

    def _places(self, layer: str | None) -> list[int]:
        lacking = set() if layer is None else set(self.not_calling(layer, self.inputs.names))
        return [place for place in self.inputs.readable() if place not in lacking]

    def not_calling(self, layer: str, names: Sequence[str]) -> list[int]:
        """Returns the places of those among the samples `names` that are known not to call a layer."""
        address = Address.parse(layer, dict(self.module.named_modules()))
        if not any(address.module in calls for calls in self.calls.values()):
            return []  # hidden states, which every pass returns, or nothing is known
        often = [self.calls[name].get(address.module, 0) if name in self.calls else math.inf for name in names]
        return [place for place, count in enumerate(often) if count <= (address.call or 0)]

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

    def call(self, part: Inputs, noise: torch.Tensor | float = 0.0) -> Call:
        """The arguments of a forward pass of samples, with noise (`n × C × H × W`) on what it is added to."""
        return part.call((self.normalised(part) + noise).to(self.dtype), self.others(part))

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
