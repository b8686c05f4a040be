"""Network compression (the paper's Fig. 4b): VGG-16 by Deep Compression at several thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from ...training.compress import compress
from ...zoo import load as load_network
from ..figures import curves, panels
from ..findings import Findings, layer_means, mean_of
from ..lab import BIRDS_CROP, Lab, TrainedNetwork
from ..verdicts import Claim, direction, equality
from .networks import POOLINGS, bird_poolings

NAME, TITLE = "compression", "what does Deep Compression cost VGG-16, in information?"
ARCHITECTURE = "vgg16"
LAYERS = POOLINGS[ARCHITECTURE]
RU_LAYERS = ("features.23",)
HARDLY = 0.05
"""What still counts as hardly moving, in nats/pixel: a change of σ by 5 %."""


def run(lab: Lab) -> Findings:
    """Compresses each training of VGG-16, for CIFAR-10 and for birds, and measures before and after."""
    lab.data.cub()  # reports missing birds before anything is trained
    tables, sizes = [], []
    for seed in range(lab.preset.seeds):
        original = lab.train_plain(ARCHITECTURE, seed)
        made = [(original, ""), *compressed(lab, original)]
        for trained, about in made:
            tables.append(layer_means(trained, lab.sid(trained, LAYERS)))
            sizes += [about] if about else []
        for trained, _ in (made[0], made[-1]):  # the claims need no more, and decoders take long
            tables.append(layer_means(trained, lab.ru(trained, RU_LAYERS)))
        original = lab.train_on_birds(ARCHITECTURE, seed)
        images = lab.birds("test", lab.preset.images, original.network.input_size)
        for trained, about in [(original, ""), *compressed(lab, original)]:
            tables.append(layer_means(trained, lab.sid(trained, bird_poolings(lab, ARCHITECTURE), images)))
            sizes += [about] if about else []
    table = pd.concat(tables, ignore_index=True)
    figure, axes = panels(3)
    names = [ARCHITECTURE, *(_name(ARCHITECTURE, threshold) for threshold in lab.preset.thresholds)]
    birds = f"{ARCHITECTURE} on birds"
    watchers = [birds, *(_name(birds, threshold) for threshold in lab.preset.thresholds)]
    for ax, measure, shown in zip(axes, ("sid", "ru", "concentration"), (names, names, watchers), strict=True):
        curves(ax, table, measure, shown, "birds" if shown is watchers else "CIFAR-10", by="position")
        ax.legend(fontsize=6, frameon=False)
    notes = ("Weights left, bytes and test accuracy: " + "; ".join(sizes) + ".",)
    return Findings(NAME, TITLE, _claims(lab, table), table, {"compression": figure}, notes)


def compressed(lab: Lab, original: TrainedNetwork) -> list[tuple[TrainedNetwork, str]]:
    """Returns the compressed networks of an original for CIFAR-10 or for birds, each with its size in words."""
    preset, made = lab.preset, []
    if original.name == ARCHITECTURE:
        specs: dict[str, Any] = {"data": lab.data.cifar10("train"), "test_data": lab.data.cifar10("test")}
        recipe: dict[str, Any] = {
            "samples": preset.samples,
            "epochs": preset.retrain_epochs,
            "batch_size": preset.batch_size,
        }
    else:
        specs = {"data": lab.data.cub(), "test_data": lab.data.cub()}
        recipe = {"epochs": max(1, preset.cub_epochs // 4), "batch_size": 32, "crop": BIRDS_CROP}
    for threshold in preset.thresholds:
        name = _name(original.name, threshold)
        folder = lab.out / "networks" / f"{name.replace(' ', '-')}-seed{original.seed}"
        print(f"{folder.name}:", flush=True)
        result = compress(
            original.network.source,
            threshold=threshold,
            out=folder,
            weights=original.weights,
            test_samples=preset.test_samples,
            seed=original.seed,
            **specs,
            **recipe,
        )
        total = result.report.iloc[-1]
        accuracy = result.accuracy["shared"]
        about = (
            f"{name} (seed {original.seed}) {total['share_left']:.0%}, {total['huffman']:,.0f} bytes "
            f"({total['ratio']:.0f} times fewer), {accuracy:.1%} (original {original.accuracy:.1%})"
        )
        network = load_network(str(result.weights), name=name)
        made.append((replace(original, name=name, network=network, weights=result.weights, accuracy=accuracy), about))
    return made


def _name(original: str, threshold: float) -> str:
    return f"{original} pruned at {threshold:g} std"


def _claims(lab: Lab, table: pd.DataFrame) -> tuple[Claim, ...]:
    """At the highest threshold, where there is most to see."""
    threshold, seeds = lab.preset.thresholds[-1], range(lab.preset.seeds)

    def change(original: str, measure: str) -> list[float]:
        pairs = [
            [mean_of(table, name, seed, measure) for name in (original, _name(original, threshold))] for seed in seeds
        ]
        return [after - before for before, after in pairs]

    falls = [-value for value in change(ARCHITECTURE, "sid")]
    level = lab.preset.level  # two kinds at a time: the more is pruned, the more trainings scatter
    at = f"at {threshold:g} standard deviations, mean over layers,"
    return (
        direction("Compression decreases SID.", falls, f"SID of VGG-16 minus that of the one pruned {at}", level=level),
        equality(
            "Compression hardly changes RU.", change(ARCHITECTURE, "ru"), HARDLY, f"change of RU {at}", level=level
        ),
        equality(
            "Compression hardly changes concentration.",
            change(f"{ARCHITECTURE} on birds", "concentration"),
            HARDLY,
            f"change of concentration on birds {at}",
            level=level,
        ),
    )
