"""The lab: trains and measures the networks of the studies, each once, and uses again what is there."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..api.measure import measure
from ..api.run import Run
from ..data import ImageSet
from ..data import load as load_data
from ..networks.network import Network
from ..results.store import holds_run
from ..training.evaluate import accuracy
from ..training.runtime import has_bf16
from ..training.train_decoders import train_decoders
from ..training.train_network import train
from ..zoo import load as load_network
from .datasets import DataFolder
from .presets import Preset

PROFILE = "profile.txt"
"""File that says which profile a lab's networks are trained under."""
BIRDS_CROP = 1.5  # times the bird's box, where concentration is measured (the paper's section 4)


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network.

    Attributes:
        name: what tables call it.
        network: ready to be measured.
        weights: its file.
        accuracy: on test images, 0 … 1; `None` if it is no classifier.
        mse: of an auto-encoder on test images, in normalised input units²; else `None`.
        seed: of its training; `None` if it was trained elsewhere.
    """

    name: str
    network: Network = field(repr=False)
    weights: Path
    accuracy: float | None
    mse: float | None = None
    seed: int | None = 0

    @property
    def file_name(self) -> str:
        """Its name and seed, for names of files."""
        return self.name if self.seed is None else f"{self.name}-seed{self.seed}"


@dataclass(frozen=True)
class Lab:
    """A folder in which networks are trained and measured for the studies.

    Attributes:
        out: the folder.
        data: the data sets.
        preset: the size of everything.
        device: where to measure.
    """

    out: Path
    data: DataFolder
    preset: Preset
    device: str = "cpu"
    _networks: dict[str, TrainedNetwork] = field(default_factory=dict, repr=False, compare=False)

    # -- networks ----------------------------------------------------------------------------------------------------

    def train(self, spec: str, seed: int = 0, name: str = "", **recipe: Any) -> TrainedNetwork:
        """Returns a network trained on CIFAR-10; it is trained if it has not been yet.

        Args:
            spec: of a network of the zoo.
            seed: of its training.
            name: what tables call it; the spec's own if empty.
            recipe: fields that differ from the preset's recipe; also `keep_epochs`.
        """
        preset = self.preset
        usual = {"samples": preset.samples, "epochs": preset.epochs, "batch_size": preset.batch_size}
        usual["bf16"] = preset.bf16 and has_bf16()
        specs = {"data": self.data.cifar10("train"), "test_data": self.data.cifar10("test")}
        return self._train(spec, name or spec.removeprefix("zoo:"), seed, {**specs, **usual, **recipe})

    def train_plain(self, architecture: str, seed: int = 0, name: str = "", **recipe: Any) -> TrainedNetwork:
        """Returns an AlexNet, VGG or ResNet-18/34 of the preset's width, trained on CIFAR-10."""
        spec = self.preset.spec(architecture)
        return self.train(spec, seed, name or architecture, **{"epochs": self.preset.plain_epochs, **recipe})

    def train_on_birds(self, architecture: str, seed: int = 0) -> TrainedNetwork:
        """Returns an AlexNet or VGG trained on CUB-200-2011's birds with 1.5 × their boxes."""
        preset, data = self.preset, self.data.cub()
        classes = len(self.birds("train", 1).classes)
        spec = f"torchvision:{architecture}" if preset.cub_library else f"zoo:{architecture},{preset.cub_network}"
        recipe: dict[str, Any] = {"epochs": preset.cub_epochs, "batch_size": 32, "crop": BIRDS_CROP}
        recipe |= {"data": data, "test_data": data}
        return self._train(f"{spec},classes={classes}", f"{architecture} on birds", seed, recipe)

    def _train(self, spec: str, name: str, seed: int, arguments: Mapping[str, Any]) -> TrainedNetwork:
        folder = self.out / "networks" / slug(f"{name}-seed{seed}")
        key = repr((folder.name, spec, sorted(arguments.items())))
        # Checking that a training is finished reads and hashes its images; once is enough.
        if key not in self._networks:
            print(f"{folder.name}:", flush=True)
            result = train(spec, out=folder, test_samples=self.preset.test_samples, seed=seed, **arguments)
            assert result is not None  # as it is only with `stop_after`
            if not (note := self.out / PROFILE).exists():
                note.write_text(f"{self.preset.name}\n")
            network = load_network(str(result.weights), name=name)
            self._networks[key] = TrainedNetwork(name, network, result.weights, result.accuracy, result.mse, seed)
        return self._networks[key]

    def given(self, architecture: str) -> TrainedNetwork | None:
        """Returns a well-trained CIFAR-10 ResNet from the user's folder, if it is there."""
        path = self.data.weights(architecture)
        if path is None:
            return None
        name = f"{architecture} (given)"
        if name not in self._networks:
            network = load_network(f"zoo:{architecture}", path, name=name)
            images = load_data(self.data.cifar10("test"), self.preset.test_samples, network.input_size, "test")
            self._networks[name] = TrainedNetwork(name, network, path, accuracy(network, images), seed=None)
        return self._networks[name]

    # -- images ------------------------------------------------------------------------------------------------------

    @cached_property
    def images(self) -> ImageSet:
        """The test images of CIFAR-10 that are measured."""
        return self.test_images(self.preset.images)

    def test_images(self, count: int) -> ImageSet:
        """Returns the first test images of CIFAR-10."""
        return load_data(self.data.cifar10("test"), count, (32, 32), "test")

    def birds(self, split: str, count: int | None, size: tuple[int, int] | None = (32, 32)) -> ImageSet:
        """Returns birds with 1.5 × their boxes, and the boxes as masks.

        They are spread evenly over the split, which is ordered by class.
        """
        every = load_data(self.data.cub(), 1 if count == 1 else None, size, split, BIRDS_CROP)
        if count is None:
            return every
        rows = np.unique(np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)).tolist()
        return every.select(rows)

    # -- measurements ------------------------------------------------------------------------------------------------

    def sid(self, trained: TrainedNetwork, layers: Sequence[str], images: ImageSet | None = None) -> Run:
        """Returns a run of a network's SID, perhaps with more layers; it is measured if it has not been yet."""
        return self._measure(trained, layers, images or self.images, "sid", max_passes=self.preset.sid_passes)

    def ru(self, trained: TrainedNetwork, layers: Sequence[str], images: ImageSet | None = None) -> Run:
        """Returns a run of a network's RU, as `sid` does; the decoders that it needs are trained."""
        images = images or self.images.take(self.preset.ru_images)
        decoders = self.decoders(trained, layers)
        return self._measure(trained, layers, images, "ru", max_passes=self.preset.ru_passes, decoders=decoders)

    def _measure(
        self, trained: TrainedNetwork, layers: Sequence[str], images: ImageSet, metric: str, **options: Any
    ) -> Run:
        layers, folder = self._run_folder(slug(f"{trained.file_name}-{metric}"), layers)
        seed = "" if trained.seed is None else f", seed{trained.seed}"
        print(f"{metric.upper()} of {trained.name}{seed}: {', '.join(layers)}", flush=True)
        return measure(
            {trained.name: trained.network},
            images,
            layers=list(layers),
            metrics=[metric],
            out=folder,
            progress=False,
            tolerance=self.preset.tolerance,
            device=self.device,
            **options,
        )

    def _run_folder(self, name: str, layers: Sequence[str]) -> tuple[Sequence[str], Path]:
        """Returns the layers and the folder of a run; an existing one if it has these layers and perhaps more."""
        runs = self.out / "runs"
        for folder in sorted(runs.glob(f"{glob.escape(name)}-[[]*")):
            if not holds_run(folder):  # after an early kill
                continue
            plan = Run.open(folder).plan
            measured = plan.layers[plan.networks[0]]
            if set(layers) <= set(measured):
                return measured, folder
        return layers, runs / f"{name}-[{slug('+'.join(layers))}]"

    def decoders(self, trained: TrainedNetwork, layers: Sequence[str]) -> Path:
        """Returns the folder with the decoders of a network's layers; they are trained if they have not been yet."""
        folder = self.out / "decoders"
        train_decoders(
            trained.network,
            self.data.cifar10("train"),
            list(layers),
            folder,
            test_data=self.data.cifar10("test"),
            test_samples=64,
            **asdict(self.preset.decoder),
        )
        return folder


def slug(text: str) -> str:
    """Returns a text as part of the name of a folder."""
    return re.sub(r"[^\w.+=-]+", "_", text).strip("_")[:120]
