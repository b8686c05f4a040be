"""What a study will take: its trainings and measurements that are missing, from a few steps of each architecture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from ..zoo import load as load_network
from .lab import Lab, slug
from .presets import Preset

CIFAR = 50_000
SHARE = 0.5
"""Share of the most passes that an image takes at a layer on average: early layers converge long before."""
DEPTH = 0.6
"""Time of a pass up to a measured layer, in times of one through the whole network, on average over layers."""


@dataclass(frozen=True)
class Work:
    """Trainings of one kind, and what is measured of each.

    Attributes:
        spec: of the network.
        names: of its trainings, as their folders are called without the seed.
        seeds: trainings of each name.
        epochs: passes over the images.
        samples: images of one pass.
        teacher: spec of a network that runs beside; "" for none.
        layers: that SID is measured at.
        networks: that are measured of one training, such as kept epochs.
        decoders: layers that RU is measured at.
    """

    spec: str
    names: tuple[str, ...]
    seeds: int
    epochs: int
    samples: int
    teacher: str = ""
    layers: int = 3
    networks: int = 1
    decoders: int = 0


def seconds(study: str, lab: Lab) -> float:
    """Returns about how long the trainings and measurements will take that a study still needs.

    Of what is measured, a training's share counts as done with the training. The estimate is within a factor of two,
    on a machine that does nothing else.
    """
    clock, total = _Clock(), 0.0
    preset = lab.preset
    for work in works(study, preset):
        left = sum(
            not _trained(lab.out / "networks" / slug(f"{name}-seed{seed}"))
            for name in work.names
            for seed in range(work.seeds)
        )
        if left:
            step, through = clock.times(work.spec)
            step += clock.times(work.teacher)[1] / 3 if work.teacher else 0.0
            one = work.epochs * work.samples * step
            sid = preset.images * work.layers * preset.sid_passes
            ru = preset.ru_images * work.decoders * preset.ru_passes * 2  # with the decoder
            one += work.networks * (sid + ru) * SHARE * DEPTH * through
            recipe = preset.decoder
            one += work.networks * work.decoders * recipe.epochs * (recipe.samples or CIFAR) * 2 * step
            total += left * one
    return total


def works(study: str, preset: Preset) -> Iterator[Work]:
    """Yields what a study trains, as `studies` have it."""
    samples, seeds = preset.samples or CIFAR, preset.seeds
    shallow, second = preset.depths[0], preset.depths[:2][-1]

    def plain(name: str, count: int = seeds, layers: int = 5, decoders: int = 0) -> Work:
        return Work(preset.spec(name), (name,), count, preset.plain_epochs, samples, layers=layers, decoders=decoders)

    def resnet(depth: int, count: int = seeds, decoders: int = 0, networks: int = 1) -> Work:
        name = f"resnet{depth}"
        return Work(f"zoo:{name}", (name,), count, preset.epochs, samples, networks=networks, decoders=decoders)

    if study == "coherency":
        yield plain("vgg16", 1, 10, 2)
    if study == "maps":
        yield resnet(shallow, 1, 3)
    if study in ("networks", "robustness"):
        yield from (resnet(depth, decoders=int(study == "networks")) for depth in preset.depths)
        yield from (plain(name) for name in ("alexnet", "vgg16", "vgg19"))
    if study == "networks":
        names = tuple(f"autoencoder{depth}" for depth in preset.autoencoders)
        yield Work(f"zoo:{names[-1]}", names, seeds, preset.autoencoder_epochs, samples)
    if study in ("flaws", "robustness"):
        names = tuple(f"resnet{shallow},damage={place}" for place in preset.damage)
        if study == "flaws":
            yield resnet(shallow)
        yield Work(f"zoo:resnet{shallow}", names, seeds, preset.epochs, samples, layers=6)
    if study in ("compression", "robustness"):
        if study == "compression":
            yield plain("vgg16", decoders=1)
        names = tuple(f"vgg16-pruned-at-{threshold:g}-std" for threshold in preset.thresholds)
        yield Work(preset.spec("vgg16"), names, seeds, preset.retrain_epochs, samples, layers=5)
    if study in ("distillation", "robustness"):
        if study == "distillation":
            yield plain("alexnet", layers=4)
        for teacher in ("vgg16", "resnet18", "resnet34"):
            yield plain(teacher, 1, 0)
            yield Work(
                preset.spec("alexnet"), (f"alexnet from {teacher}",), seeds, preset.plain_epochs, samples,
                preset.spec(teacher), 4,
            )  # fmt: skip
    if study == "epochs":
        yield resnet(second, networks=len(preset.kept_epochs), decoders=1)


def duration(expected: float) -> str:
    """Returns a forecast in words."""
    if expected < 90:
        return f"about {max(expected, 1):.0f} seconds" if expected else "no time, as all is there"
    return f"about {expected / 60:.0f} minutes" if expected < 5400 else f"about {expected / 3600:.1f} hours"


def _trained(folder: Path) -> bool:
    return any(not path.name.startswith("epoch-") for path in folder.glob("*.safetensors"))


class _Clock:
    """Times a few steps of each architecture, once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}

    def times(self, spec: str) -> tuple[float, float]:
        """Returns the seconds of one image in a training step, and in a pass of a measurement."""
        if spec not in self._known:
            network = load_network(spec, allow_random=True)
            inputs = torch.zeros(32, 3, *(network.input_size or (32, 32)))
            best = []
            for train in (True, False):
                module = network.module.train(train)
                took = []
                for _ in range(2):  # the first is slower
                    begin = time.monotonic()
                    given = inputs.clone().requires_grad_(not train)
                    output = module(given)
                    F.mse_loss(output, torch.zeros_like(output)).backward()
                    took.append(time.monotonic() - begin)
                best.append(min(took) / len(inputs))
            self._known[spec] = (best[0], best[1])
        return self._known[spec]
