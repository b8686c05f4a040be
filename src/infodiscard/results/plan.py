"""Plan of a run: which samples, which layers of which networks, under which settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

from ..core.fingerprint import Fingerprint, alike
from ..core.kinds import LAYOUTS, Layout
from ..core.origin import RANDOM
from ..core.settings import Settings
from ..errors import InfodiscardError


@dataclass(frozen=True, slots=True)
class Unit:
    """What is computed and stored in one piece: samples `start:stop` of one layer of one network."""

    network: str
    layer: str
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """Everything that defines a run; a run is continued only under an equal plan.

    Attributes:
        networks: names, in the order they are measured.
        layers: network → its layers in execution order.
        samples: unique names of the inputs.
        height, width, channels: size of one input, in the form `C × H × W` that is worked in.
        settings: what is measured, and how.
        hashes: what the run was computed from, such as "weights/NAME", "images", "masks".
        normalisation: network → mean and standard deviation of its input space, as a text; empty in older runs.
        fingerprints: "NETWORK/LAYER" → what is the same for equal features of the first samples, and so tells networks
            of the same weights and other code apart; empty in older runs.
        labels: the class of each sample, if known.
        classes: the classes' names, if known.
        block: samples in one unit of work, and in one chunk of the store.
        kind: of input, one of `core.kinds.LAYOUTS`.
        tokens, words: of texts, what each token of each sample stands for, and the number of its word (−1: none).
        origin: for the record, where the parts came from, as far as it is known: "network/NAME", a spec;
            "weights/NAME", the name of a file or `RANDOM`; "mean/NAME", "std/NAME"; "data" or "text", a spec;
            "split", "crop", "size", "annotations" of the data. Without folders.
        predictions: for the record, network → the class that it gives each sample (−1: unreadable), where it is known.
        skipped: for the record, "NETWORK/LAYER" → why it cannot be measured, of layers that were to be.
        stages: for the record, network → its parts, each a name and the places of the parts that it is computed from,
            which come before it: first the input; its layers by their addresses. Without networks where it is unknown.

    Raises:
        InfodiscardError: the parts do not fit together.
    """

    networks: tuple[str, ...]
    layers: dict[str, tuple[str, ...]]
    samples: tuple[str, ...]
    height: int
    width: int
    channels: int
    settings: Settings = field(default_factory=Settings)
    hashes: dict[str, str] = field(default_factory=dict)
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    block: int = 16
    kind: str = "image"
    tokens: tuple[tuple[str, ...], ...] = ()
    words: tuple[tuple[int, ...], ...] = ()
    normalisation: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict, compare=False)
    predictions: dict[str, tuple[int, ...]] = field(default_factory=dict, compare=False)
    skipped: dict[str, str] = field(default_factory=dict, compare=False)
    stages: dict[str, tuple[tuple[str, tuple[int, ...]], ...]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Coerces to the exact types, so that a plan equals what is read back from a store."""
        layers = {str(name): tuple(map(str, self.layers[name])) for name in self.layers}
        coerced = {
            "networks": tuple(map(str, self.networks)),
            "layers": layers,
            "samples": tuple(map(str, self.samples)),
            "hashes": dict(self.hashes),
            "normalisation": dict(self.normalisation),
            "fingerprints": {
                name: tuple((float(number), float(error)) for number, error in pairs)
                for name, pairs in self.fingerprints.items()
            },
            "labels": None if self.labels is None else tuple(map(int, self.labels)),
            "classes": tuple(map(str, self.classes)),
            "tokens": tuple(tuple(map(str, row)) for row in self.tokens),
            "words": tuple(tuple(map(int, row)) for row in self.words),
            "origin": dict(self.origin),
            "skipped": dict(self.skipped),
            "predictions": {str(name): tuple(map(int, row)) for name, row in self.predictions.items()},
            "stages": {
                str(network): tuple((str(name), tuple(map(int, sources))) for name, sources in parts)
                for network, parts in self.stages.items()
            },
        }
        for name, value in coerced.items():
            object.__setattr__(self, name, value)
        layered = [(f"layer of {name}", layers[name]) for name in layers]
        for what, names in [("network", self.networks), ("sample", self.samples), *layered]:
            if not names or len(set(names)) < len(names):
                raise InfodiscardError(f"A run needs names for each {what}, none twice; given: {shorten(names)}.")
        if set(layers) != set(self.networks):
            raise InfodiscardError(f"Layers are given for {sorted(layers)}, networks are {sorted(self.networks)}.")
        if self.labels is not None and len(self.labels) != len(self.samples):
            raise InfodiscardError(f"There are {len(self.labels)} labels for {len(self.samples)} samples.")
        if self.block < 1:
            raise InfodiscardError(f"A block holds at least one sample, not {self.block}.")

    @property
    def layout(self) -> Layout:
        """How an input is laid out in `C × H × W`, and what its parts are called."""
        return LAYOUTS[self.kind]

    @property
    def size(self) -> str:
        """The size of one input, such as 3×32×32."""
        return self.layout.size(self.channels, self.height, self.width)

    @property
    def random(self) -> tuple[str, ...]:
        """The networks that are known to have had random weights."""
        return tuple(name for name in self.networks if self.origin.get(f"weights/{name}") == RANDOM)

    def described(self) -> list[str]:
        """Returns in words what each network is and what they were measured on, as far as it is known."""
        words = []
        for name in self.networks:
            spec, weights = (self.origin.get(f"{key}/{name}", "") for key in ("network", "weights"))
            weights = f"{weights} weights" if weights == RANDOM else f"weights {weights}" if weights else ""
            if spec or weights:
                words.append(f"{name}: {', '.join(filter(None, (spec, weights)))}")
        return words + [f"{key}: {self.origin[key]}" for key in ("data", "text") if key in self.origin]

    def units(self) -> list[Unit]:
        """Returns all the work, in the order block, network, layer: soon there is something of every layer."""
        return [
            Unit(network, layer, start, min(start + self.block, len(self.samples)))
            for start in range(0, len(self.samples), self.block)
            for network in self.networks
            for layer in self.layers[network]
        ]

    def union(self) -> tuple[str, ...]:
        """Returns all layers, in an order that respects each network's wherever these agree with one another."""
        return merged([self.layers[name] for name in self.networks])

    def differences(self, other: Plan) -> list[str]:
        """Returns, in words, how `other` differs from this plan; empty if they define the same run.

        The block is ignored, since it changes how a run is stored, not what is in it, and so is what is for the record.
        """
        pairs: list[tuple[str, Any, Any]] = []
        for name in [item.name for item in fields(self) if item.compare and item.name not in ("block", "fingerprints")]:
            old, new = getattr(self, name), getattr(other, name)
            if name == "normalisation" and not old:
                continue
            if isinstance(old, Settings):
                old, new = old.stored(), new.stored()
            if isinstance(old, dict):
                label = {"settings": "", "hashes": "hash of "}.get(name, f"{name} of ")
                keys = [*old, *(key for key in new if key not in old)]
                pairs += [(f"{label}{key}", old.get(key), new.get(key)) for key in keys]
            elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
                # Naming the first entry that differs says more than two long lists.
                pairs += [(f"{name}[{i}]", a, b) for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b][:1]
            else:
                pairs.append((name, old, new))
        words = [f"{name} was {shorten(old)}, now {shorten(new)}" for name, old, new in pairs if old != new]
        # What is other anyway has other features; of networks that are not, they say more than anything else does.
        changed = {} if words else {name: self.fingerprints.get(name) for name in other.fingerprints}
        return words + [
            f"the features of '{name}' are others, although the weights are the same (other code, buffers or hooks)"
            for name, old in changed.items()
            if old is not None and not alike(old, other.fingerprints[name])
        ]


def merged(orders: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Returns all names of several orders, in one that respects each wherever they agree with one another."""
    rest = list(dict.fromkeys(name for order in orders for name in order))
    result: list[str] = []
    while rest:
        left = set(rest)
        blocked = {after for order in orders for _, after in pairwise(name for name in order if name in left)}
        # If every name that is left waits for another, the orders contradict each other: first come, first served.
        result.append(next((name for name in rest if name not in blocked), rest[0]))
        rest.remove(result[-1])
    return tuple(result)


def shorten(value: Any) -> str:
    """Returns a value as an error message shows it."""
    if isinstance(value, tuple) and len(value) > 4:
        return f"{len(value)} ({value[0]} … {value[-1]})"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
