"""Work of a run, in a form that can be done anywhere, and the interface of the engines that do it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from ...core.metrics.variable import FAILURES
from ...core.settings import Settings
from ...data.inputs import Inputs
from ...results.plan import Unit
from ...results.run import StoredRun
from ..prepared_network import PreparedNetwork
from ..unit import Follower, measured, passes_of


@dataclass(frozen=True)
class Finished:
    """A unit that is stored.

    Attributes:
        unit: which.
        seconds: that its computation took, without waiting for a place to run or being stored.
        passes: forward and backward passes of one noisy input, of all its samples together.
        failures: sample → why it could not be measured.
        worker: where it ran; empty for this process.
    """

    unit: Unit
    seconds: float
    passes: int
    failures: Mapping[str, str]
    worker: str = ""


class Observer(Protocol):
    """Follows all measurements of a process."""

    def follower(self, unit: Unit) -> Follower:
        """Returns who follows a unit, whose measurement begins."""
        ...


class Engine(Protocol):
    """Measures what a run lacks."""

    device_type: str | None
    """The kind of device that the workers compute on; `None` where the networks' own is used."""

    def run(self, run: StoredRun, work: Work) -> Iterator[Finished]:
        """Measures and stores all pending units; yields each as soon as it is stored.

        Closing the iterator early gives up what is in flight, and nothing else.
        """
        ...


@dataclass(frozen=True)
class Work:
    """All that is needed to measure any unit of a run.

    Attributes:
        networks: by name.
        settings: of the run's plan.
        batch_size: noisy inputs in one forward pass; `None` for as many as are usual.
        observer: of what is measured in this process.
    """

    networks: Mapping[str, PreparedNetwork]
    settings: Settings
    batch_size: int | None = None
    observer: Observer | None = None

    def without_samples(self) -> Work:
        """The same without the samples and the observer, to be sent to other processes."""
        networks = {name: network.without_samples() for name, network in self.networks.items()}
        return replace(self, networks=networks, observer=None)

    def on(self, device: torch.device) -> Work:
        """The same on a device."""
        return replace(self, networks={name: network.on(device) for name, network in self.networks.items()})

    def under(self, settings: Settings) -> Work:
        """The same under a run's settings, in which the caps may be an earlier version's."""
        caps = {name: settings.of_network("cap", name) for name in self.networks}
        networks = {name: replace(network, cap=caps[name]) for name, network in self.networks.items()}
        return replace(self, networks=networks, settings=settings)

    def chains(self, pending: Sequence[Unit]) -> Iterator[deque[Unit]]:
        """Splits units into chains: those of one chain must be measured one after another."""
        if self.settings.start != "before":
            return (deque([unit]) for unit in pending)  # one by one: a million of them at once would take much memory
        chains: dict[tuple[str, int], deque[Unit]] = {}
        for unit in pending:
            chains.setdefault((unit.network, unit.start), deque()).append(unit)
        return iter(chains.values())

    def sources(self, run: StoredRun, unit: Unit) -> tuple[Inputs, torch.Tensor | None]:
        """Returns what a unit is computed from: its samples, and the σ of the layer before if the search begins there.

        Of σ, `n × C or 1 × H × W`; `None` at a network's first layer.
        """
        samples, layers = self.networks[unit.network].part(unit), run.plan.layers[unit.network]
        place = layers.index(unit.layer)
        if self.settings.start != "before" or place == 0:
            return samples, None
        stored = torch.from_numpy(run.read(unit.network, layers[place - 1], unit.start, unit.stop, "sigma"))
        sigma = run.plan.layout.unchart(stored)
        return samples, sigma if sigma.ndim == 4 else sigma[:, None]

    def measured(
        self, unit: Unit, samples: Inputs, sigma: torch.Tensor | None, worker: str = ""
    ) -> tuple[dict[str, np.ndarray], Finished]:
        """Computes a unit; arguments as from `sources`, σ `n × C or 1 × H × W`.

        Returns its values, variable by variable, `n × …` each, and what it took.
        """
        begin = time.monotonic()
        network, follower = self.networks[unit.network], None if self.observer is None else self.observer.follower(unit)
        values = measured(network, unit.layer, samples, self.settings, self.batch_size, sigma, follower)
        failed = {samples.names[i]: FAILURES[values["failure"][i]] for i in np.flatnonzero(values["failure"])}
        return values, Finished(unit, time.monotonic() - begin, int(passes_of(values).sum()), failed, worker)
