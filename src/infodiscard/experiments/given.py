"""Trained networks that a user gives to a study, measured a few images at a time."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..api.forecast import forecast
from ..api.measure import measure
from ..api.run import Run
from ..data import ImageSet
from ..errors import InfodiscardError
from ..networks.network import Network
from ..results.store import holds_run
from ..zoo.default_layers import default_layers
from .given_specs import Place

BLOCK = 4
"""Images of one run, so that more of them go on where fewer ended."""


@dataclass(frozen=True)
class GivenNetwork:
    """A network that others trained.

    Attributes:
        place: how the user named it.
        name: what tables call it.
        network: ready to be measured.
        accuracy: on the images that were loaded, 0 … 1.
        pair: its place among those of the same role, from 0.
        digest: of its weights.
    """

    place: Place
    name: str
    network: Network = field(repr=False)
    accuracy: float | None
    pair: int
    digest: str


@dataclass(frozen=True)
class Evidence:
    """The networks given to a study, and the images that they are measured on.

    Attributes:
        study: its name.
        networks: in the order given.
        images: all that were loaded; the first of them are measured.
        count: how many are measured.
        layers: patterns of the layers; empty for the networks' default layers.
        passes: most passes for an image and layer.
        tolerance: at which a solve stops, nats/pixel.
        out: folder of the runs.
        device: where to measure.
    """

    study: str
    networks: tuple[GivenNetwork, ...]
    images: ImageSet = field(repr=False)
    count: int
    layers: tuple[str, ...]
    passes: int
    tolerance: float
    out: Path
    device: str = "cpu"

    def of(self, kind: str) -> list[GivenNetwork]:
        """Returns the networks of a role, without its number, in the order of their numbers."""
        found = [each for each in self.networks if each.place.kind == kind]
        return sorted(found, key=lambda each: each.place.number or 0)

    def measured(self, each: GivenNetwork) -> pd.DataFrame:
        """Returns the table of a network's runs, a row per layer and image; what is missing is measured."""
        frames = []
        for block, folder in self._blocks(each):
            run = measure(
                {each.network.name: each.network},  # which another study may know by another role
                block,
                layers=self._layers(each),
                metrics=["sid"],
                out=folder,
                progress=False,
                tolerance=self.tolerance,
                max_passes=self.passes,
                device=self.device,
            )
            layers = run.plan.layers[each.network.name]
            frame = run.to_dataframe().assign(network=each.name)
            frames.append(frame.assign(position=frame["layer"].map(layers.index)))
        return pd.concat(frames, ignore_index=True)

    def seconds(self) -> float:
        """Returns what is left to measure will take, from a short calibration of each architecture."""
        known: dict[str, float] = {}
        total = 0.0
        for each in self.networks:
            left = sum(len(block) for block, folder in self._blocks(each) if not _finished(folder))
            if left:
                architecture = str(each.network.module)
                if architecture not in known:
                    found = forecast(
                        {each.name: each.network},
                        self.images.take(min(BLOCK, self.count)),
                        self._layers(each),
                        seconds=1,
                        metrics=["sid"],
                        tolerance=self.tolerance,
                        max_passes=self.passes,
                        device=self.device,
                    )
                    known[architecture] = sum(layer.seconds for layer in found.layers)
                total += known[architecture] * left
        return total

    def _layers(self, each: GivenNetwork) -> list[str]:
        layers = list(self.layers) or list(each.network.default_layers) or list(default_layers(each.network.module))
        if not layers:
            raise InfodiscardError(
                f"Which layers of '{each.name}' to measure is not known; name them in a .toml file, as layers = "
                '["layer1", "layer2"].'
            )
        return layers

    def _blocks(self, each: GivenNetwork) -> list[tuple[ImageSet, Path]]:
        """Returns the images a few at a time, each with the folder of its run."""
        settings = f"{self._layers(each)} {self.passes} {self.tolerance}"
        made = []
        for first in range(0, self.count, BLOCK):
            rows = list(range(first, min(first + BLOCK, self.count)))
            block = self.images.select(rows)
            code = hashlib.sha256(settings.encode() + block.images.numpy().tobytes()).hexdigest()[:10]
            name = re.sub(r"[^\w.+=-]+", "_", each.network.name).strip("_")[:60]
            made.append((block, self.out / "given" / f"{name}-{each.digest[:8]}" / f"{first:04}-{code}"))
        return made


def _finished(folder: Path) -> bool:
    return holds_run(folder) and not Run.open(folder).pending()
