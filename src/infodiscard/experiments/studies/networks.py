"""Comparing networks (the paper's Fig. 3): SID, RU and concentration by layer, of classifiers and auto-encoders."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import pandas as pd
from matplotlib.figure import Figure

from ..contrasts import contrast, image_values
from ..figures import curves, panels
from ..findings import Findings, accuracies, layer_means, mean_of
from ..interval import Interval
from ..lab import Lab, TrainedNetwork
from ..verdicts import Claim, direction, equalities
from . import epochs

NAME, TITLE = "networks", "do deeper networks discard more, and do tasks matter?"
STAGES = ("layer1", "layer2", "layer3")
PLAIN = ("alexnet", "vgg16", "vgg19")
POOLINGS = {
    "alexnet": ("features.2", "features.5", "features.12"),
    "vgg16": ("features.6", "features.13", "features.23", "features.33", "features.43"),
    "vgg19": ("features.6", "features.13", "features.26", "features.39", "features.52"),
}
LIBRARY_POOLINGS = {  # torchvision's, without batch normalisation
    "alexnet": ("features.2", "features.5", "features.12"),
    "vgg16": ("features.4", "features.9", "features.16", "features.23", "features.30"),
    "vgg19": ("features.4", "features.9", "features.18", "features.27", "features.36"),
}
SIMILAR = 0.1
"""What counts as similar SID, in nats/pixel: σ within 10 %."""


def run(lab: Lab) -> Findings:
    """Measures every network after each of its stages."""
    lab.data.cub()  # reports missing birds before anything is trained
    stages = {name: STAGES for name in (each.name for each in [*resnets(lab), *given(lab), *autoencoders(lab)])}
    every = [*resnets(lab), *given(lab), *autoencoders(lab), *(trained for _, trained in plain(lab))]
    layers = {each.name: stages.get(each.name) or POOLINGS[each.name] for each in every}
    runs = [(each, lab.sid(each, layers[each.name])) for each in every]
    tables = [layer_means(*each, layers=layers[each[0].name]) for each in runs]
    values = pd.concat([image_values(*each, layers=layers[each[0].name]) for each in runs], ignore_index=True)
    birds = []
    for architecture, trained in birdwatchers(lab):
        size = trained.network.input_size
        images = lab.birds("test", lab.preset.images, size)
        birds.append(layer_means(trained, lab.sid(trained, bird_poolings(lab, architecture), images)))
    restored = [(trained, lab.ru(trained, STAGES[-1:])) for trained in [*resnets(lab), *given(lab)]]
    tables += [layer_means(*each, layers=STAGES[-1:]) for each in restored]
    uncertain = pd.concat([image_values(*each, "ru", STAGES[-1:]) for each in restored], ignore_index=True)
    table = pd.concat([*tables, *birds], ignore_index=True)
    claims = (*_depth(lab, table, values, uncertain), *_tasks(lab, values), *_concentration(lab, table))
    notes = (
        accuracies(table),
        "The networks for birds were trained on the classes and images of the data set given; with few of them they "
        "are far from what the architecture can do.",
    )
    return Findings(NAME, TITLE, claims, table, _figures(lab, table), notes)


def resnets(lab: Lab) -> list[TrainedNetwork]:
    """Returns the ResNets trained here, by depth and seed; the second depth is the one of the study of epochs."""
    made = []
    for depth in lab.preset.depths:
        for seed in range(lab.preset.seeds):
            spec = f"zoo:resnet{depth}"
            made.append(epochs.final(lab, seed) if spec == epochs.architecture(lab) else lab.train(spec, seed))
    return made


def given(lab: Lab) -> list[TrainedNetwork]:
    """Returns the well-trained ResNets that the user has."""
    return [trained for depth in (20, 32, 44) if (trained := lab.given(f"resnet{depth}")) is not None]


def autoencoders(lab: Lab) -> list[TrainedNetwork]:
    """Returns the auto-encoders, by depth and seed."""
    return [
        lab.train(f"zoo:autoencoder{depth}", seed, epochs=lab.preset.autoencoder_epochs)
        for depth in lab.preset.autoencoders
        for seed in range(lab.preset.seeds)
    ]


def plain(lab: Lab) -> list[tuple[str, TrainedNetwork]]:
    """Returns AlexNet and the VGG nets for CIFAR-10, by architecture and seed."""
    return [(name, lab.train_plain(name, seed)) for name in PLAIN for seed in range(lab.preset.seeds)]


def birdwatchers(lab: Lab) -> list[tuple[str, TrainedNetwork]]:
    """Returns AlexNet and the VGG nets for birds, by architecture and seed."""
    return [(name, lab.train_on_birds(name, seed)) for name in PLAIN for seed in range(lab.preset.seeds)]


def bird_poolings(lab: Lab, architecture: str) -> tuple[str, ...]:
    """Returns the layers of a network for birds that are measured."""
    return (LIBRARY_POOLINGS if lab.preset.cub_library else POOLINGS)[architecture]


def _depth(lab: Lab, table: pd.DataFrame, values: pd.DataFrame, uncertain: pd.DataFrame) -> list[Claim]:
    """Deeper against shallower, within each family."""
    seeds, level = range(lab.preset.seeds), lab.preset.level
    own = [f"resnet{depth}" for depth in lab.preset.depths]
    shallow, deep = (f"resnet{depth}" for depth in (lab.preset.depths[0], lab.preset.depths[-1]))
    claims = []
    if shallow != deep:
        for images, what in ((values, "SID"), (uncertain, "RU")):
            higher = contrast(images[images["network"].isin(own)], deep, shallow, level=level)
            claims.append(
                direction(f"A deeper ResNet has a higher {what}.", higher, f"{what} of {deep} minus {shallow}, mean "
                          "over stages,")
            )  # fmt: skip
    if lab.data.weights("resnet20") and lab.data.weights("resnet44"):
        for measure, what in (("sid", "SID"), ("ru", "RU")):
            more = [
                mean_of(table, "resnet44 (given)", None, measure) - mean_of(table, "resnet20 (given)", None, measure)
            ]
            claims.append(
                direction(f"A deeper ResNet has a higher {what} (well-trained).", more, f"{what} of the given resnet44 "
                          "minus resnet20, mean over stages,")
            )  # fmt: skip
    more = _differences(table, "vgg19", "vgg16", seeds, "sid")  # whose stages have other names
    claims.append(
        direction(
            "A deeper VGG net has a higher SID.", more, "SID of vgg19 minus vgg16, mean over stages,", level=level
        )
    )
    more = _differences(table, "vgg19 on birds", "vgg16 on birds", seeds, "concentration")
    claims.append(
        direction("A deeper network has a higher concentration.", more, "concentration of vgg19 minus vgg16 on birds, "
                  "mean over stages,", level=level)
    )  # fmt: skip
    return claims


def _differences(table: pd.DataFrame, one: str, other: str, seeds: Sequence[int], measure: str) -> list[float]:
    return [mean_of(table, one, seed, measure) - mean_of(table, other, seed, measure) for seed in seeds]


def _tasks(lab: Lab, values: pd.DataFrame) -> list[Claim]:
    """Auto-encoders against the classifiers of their depth and seed, stage by stage."""
    means = values.groupby(["network", "seed", "layer"])["value"].mean()
    parts = {}
    for stage in STAGES:
        gaps = [
            float(
                means.get((f"autoencoder{depth}", seed, stage), nan) - means.get((f"resnet{depth}", seed, stage), nan)
            )
            for depth in lab.preset.autoencoders
            for seed in range(lab.preset.seeds)
        ]
        parts[stage] = Interval.of(gaps, lab.preset.level)
    what = "SID of the auto-encoder minus the classifier"
    return [equalities("Classifiers and auto-encoders have similar SID.", parts, SIMILAR, what)]


def _concentration(lab: Lab, table: pd.DataFrame) -> list[Claim]:
    """VGG against AlexNet, at the first and the last pooling, on birds."""
    low: list[float] = []
    high: list[float] = []
    for seed in range(lab.preset.seeds):
        for values, end in ((low, 0), (high, -1)):
            alexnet, *vggs = (
                mean_of(table, f"{name} on birds", seed, "concentration", [bird_poolings(lab, name)[end]])
                for name in PLAIN
            )
            values.append(sum(vggs) / len(vggs) - alexnet)
    what = "concentration of the VGG nets minus AlexNet's on birds, after the {} pooling,"
    return [
        direction("In low layers VGG nets attend to the background, compared with AlexNet.", [-x for x in low],
                  "minus the " + what.format("first"), level=lab.preset.level),
        direction("In high layers VGG nets concentrate on the object, compared with AlexNet.", high,
                  what.format("last"), level=lab.preset.level),
    ]  # fmt: skip


def _figures(lab: Lab, table: pd.DataFrame) -> dict[str, Figure]:
    own = [f"resnet{depth}" for depth in lab.preset.depths]
    ready = [name for name in dict.fromkeys(table["network"]) if name.endswith("(given)")]
    restoring = [f"autoencoder{depth}" for depth in lab.preset.autoencoders]
    figure, axes = panels(4, 3.6)
    curves(axes[0], table, "sid", [*own, *ready, *restoring], "ResNets and auto-encoders, CIFAR-10")
    curves(axes[1], table, "ru", [*own, *ready], "RU")
    curves(axes[2], table, "sid", PLAIN, "AlexNet and VGG, CIFAR-10", by="position")
    curves(axes[3], table, "concentration", [f"{name} on birds" for name in PLAIN], "birds", by="position")
    for ax in axes:
        ax.legend(fontsize=6, frameon=False)
    return {"networks": figure}
