"""Trains and measures what the studies need, each thing once: what is there already is used."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..api.run import Run
from ..data import ImageSet
from ..data import load as load_data
from ..networks.network import Network
from ..results.store import holds_run
from ..zoo import load as load_network
from .datasets import Places
from .presets import Profile

BIRDS_CROP = 1.5  # times the bird's box, where concentration is measured (the paper's section 4)


@dataclass(frozen=True)
class Product:
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


@dataclass(frozen=True)
class Workshop:
    """A folder in which networks are trained and measured for the studies.

    Attributes:
        out: the folder.
        places: where the data are.
        profile: how large everything is.
        device: where to measure.
    """

    out: Path
    places: Places
    profile: Profile
    device: str = "cpu"
    _products: dict[str, Product] = field(default_factory=dict, repr=False, compare=False)

    # -- networks ----------------------------------------------------------------------------------------------------

    def train(self, spec: str, seed: int = 0, name: str = "", **recipe: Any) -> Product:
        """Returns a network trained on CIFAR-10; it is trained if it has not been yet.

        Args:
            spec: of a network of the zoo.
            seed: of its training.
            name: what tables call it; the spec's own if empty.
            recipe: what differs from the profile's recipe; also `keep_epochs`.
        """
        profile = self.profile
        usual = {"samples": profile.samples, "epochs": profile.epochs, "batch_size": profile.batch_size}
        data = self.places.cifar10("train")
        return self._trained(spec, data, self.places.cifar10("test"), seed, name, {**usual, **recipe})

    def train_plain(self, architecture: str, seed: int = 0, name: str = "", **recipe: Any) -> Product:
        """Returns an AlexNet, VGG or ResNet-18/34 of the profile's width, trained on CIFAR-10."""
        spec = self.profile.spec(architecture)
        return self.train(spec, seed, name or architecture, **{"epochs": self.profile.plain_epochs, **recipe})

    def train_on_birds(self, architecture: str, seed: int = 0) -> Product:
        """Returns an AlexNet or VGG trained on CUB-200-2011's birds with 1.5 × their boxes."""
        profile, data = self.profile, self.places.cub()
        classes = len(self.birds("train", 1).classes)
        spec = f"torchvision:{architecture}" if profile.cub_library else f"zoo:{architecture},{profile.cub_network}"
        recipe = {"epochs": profile.cub_epochs, "batch_size": 32, "crop": BIRDS_CROP}
        return self._trained(f"{spec},classes={classes}", data, data, seed, f"{architecture} on birds", recipe)

    def _trained(self, spec: str, data: str, test_data: str, seed: int, name: str, recipe: dict[str, Any]) -> Product:
        from ..training.train_network import train

        name = name or spec.removeprefix("zoo:")
        folder = self.out / "networks" / _slug(f"{name}-seed{seed}")
        key = repr((folder.name, spec, data, test_data, sorted(recipe.items())))
        # To see that a training is finished, its images are read and hashed; once is enough.
        if key not in self._products:
            print(f"{folder.name}:", flush=True)
            limit = self.profile.test_samples
            made = train(spec, data, folder, test_data=test_data, test_samples=limit, seed=seed, **recipe)
            assert made is not None
            network = load_network(str(made.weights), name=name)
            self._products[key] = Product(name, network, made.weights, made.accuracy, made.mse, seed)
        return self._products[key]

    def given(self, architecture: str) -> Product | None:
        """Returns a well-trained CIFAR-10 ResNet from the user's folder, if it is there."""
        from ..training.evaluate import accuracy

        path = self.places.weights(architecture)
        if path is None:
            return None
        name = f"{architecture} (given)"
        if name not in self._products:
            network = load_network(f"zoo:{architecture}", path, name=name)
            limit = self.profile.test_samples
            share = accuracy(network, load_data(self.places.cifar10("test"), limit, network.input_size, "test"))
            self._products[name] = Product(name, network, path, share, seed=None)
        return self._products[name]

    # -- images ------------------------------------------------------------------------------------------------------

    @cached_property
    def images(self) -> ImageSet:
        """The test images of CIFAR-10 that are measured."""
        return self.test_images(self.profile.images)

    def test_images(self, count: int) -> ImageSet:
        """Returns the first test images of CIFAR-10."""
        return load_data(self.places.cifar10("test"), count, (32, 32), "test")

    def birds(self, split: str, count: int | None, size: tuple[int, int] | None = (32, 32)) -> ImageSet:
        """Returns birds with 1.5 × their boxes, and the boxes as masks.

        They are spread evenly over the split, whose order is that of the classes.
        """
        every = load_data(self.places.cub(), 1 if count == 1 else None, size, split, BIRDS_CROP)
        if count is None:
            return every
        rows = np.unique(np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)).tolist()
        return every.select(rows)

    # -- measurements ------------------------------------------------------------------------------------------------

    def sid(self, product: Product, layers: Sequence[str], images: ImageSet | None = None) -> Run:
        """Returns a run of a network's SID, perhaps with more layers; it is measured if it has not been yet."""
        return self._measured(product, layers, "sid", images, self.profile.sid_passes)

    def ru(self, product: Product, layers: Sequence[str], images: ImageSet | None = None) -> Run:
        """Returns a run of a network's RU likewise, for which decoders are trained."""
        return self._measured(product, layers, "ru", images, self.profile.ru_passes, self.decoders(product, layers))

    def _measured(
        self,
        product: Product,
        layers: Sequence[str],
        metric: str,
        images: ImageSet | None,
        passes: int,
        decoders: Path | None = None,
    ) -> Run:
        from ..api.measure import measure

        seed = "" if product.seed is None else f"-seed{product.seed}"
        layers, folder = self._place(_slug(f"{product.name}{seed}-{metric}"), layers)
        print(f"{metric.upper()} of {product.name}{seed.replace('-', ', ')}: {', '.join(layers)}", flush=True)
        return measure(
            {product.name: product.network},
            images or (self.images if metric == "sid" else self.images.take(self.profile.ru_images)),
            layers=list(layers),
            metrics=[metric],
            out=folder,
            progress=False,
            decoders=decoders,
            tolerance=self.profile.tolerance,
            max_passes=passes,
            device=self.device,
        )

    def _place(self, name: str, layers: Sequence[str]) -> tuple[Sequence[str], Path]:
        """Returns the folder of a run, and its layers: of one that measures these and perhaps more, if there is one."""
        runs = self.out / "runs"
        for folder in sorted(runs.glob(f"{glob.escape(name)}-[[]*")):
            if not holds_run(folder):  # after an early kill
                continue
            there = Run.open(folder).plan
            known = there.layers[there.networks[0]]
            if set(layers) <= set(known):
                return known, folder
        return layers, runs / f"{name}-[{_slug('+'.join(layers))}]"

    def decoders(self, product: Product, layers: Sequence[str]) -> Path:
        """Returns the folder with the decoders of a network's layers; they are trained if they have not been yet."""
        from ..training.train_decoders import train_decoders

        folder = self.out / "decoders"
        recipe = {"test_data": self.places.cifar10("test"), "test_samples": 64, **self.profile.decoder}
        train_decoders(product.network, self.places.cifar10("train"), list(layers), folder, **recipe)
        return folder


def _slug(text: str) -> str:
    return re.sub(r"[^\w.+=-]+", "_", text).strip("_")[:120]
