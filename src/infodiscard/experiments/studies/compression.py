"""Network compression (the paper's Fig. 4b): VGG-16 by Deep Compression at several thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from ...zoo import load as load_network
from ..figures import curves, panels
from ..findings import Findings, layer_means, mean_of
from ..lab import BIRDS_CROP, Product, Workshop
from ..verdicts import Claim, direction, equality
from .networks import POOLINGS, bird_poolings

NAME, TITLE = "compression", "what does Deep Compression cost VGG-16, in information?"
ARCHITECTURE = "vgg16"
LAYERS = POOLINGS[ARCHITECTURE]
RU_LAYERS = ("features.23",)
HARDLY = 0.05
"""What still counts as hardly moving, in nats/pixel: a change of σ by 5 %."""


def run(shop: Workshop) -> Findings:
    """Compresses each training of VGG-16, for CIFAR-10 and for birds, and measures before and after."""
    shop.places.cub()  # if the birds are missing, it is said before anything is trained
    tables, sizes = [], []
    for seed in range(shop.profile.seeds):
        original = shop.train_plain(ARCHITECTURE, seed)
        made = [(original, ""), *compressed(shop, original)]
        for product, about in made:
            tables.append(layer_means(product, shop.sid(product, LAYERS)))
            sizes += [about] if about else []
        for product, _ in (made[0], made[-1]):  # the claims need no more, and decoders take long
            tables.append(layer_means(product, shop.ru(product, RU_LAYERS)))
        original = shop.train_on_birds(ARCHITECTURE, seed)
        images = shop.birds("test", shop.profile.images, original.network.input_size)
        for product, about in [(original, ""), *compressed(shop, original)]:
            tables.append(layer_means(product, shop.sid(product, bird_poolings(shop, ARCHITECTURE), images)))
            sizes += [about] if about else []
    table = pd.concat(tables, ignore_index=True)
    figure, axes = panels(3)
    names = [ARCHITECTURE, *(_name(ARCHITECTURE, threshold) for threshold in shop.profile.thresholds)]
    birds = f"{ARCHITECTURE} on birds"
    watchers = [birds, *(_name(birds, threshold) for threshold in shop.profile.thresholds)]
    for ax, measure, shown in zip(axes, ("sid", "ru", "concentration"), (names, names, watchers), strict=True):
        curves(ax, table, measure, shown, "birds" if shown is watchers else "CIFAR-10", by="position")
        ax.legend(fontsize=6, frameon=False)
    notes = ("Weights left, bytes and test accuracy: " + "; ".join(sizes) + ".",)
    return Findings(NAME, TITLE, _claims(shop, table), table, {"compression": figure}, notes)


def compressed(shop: Workshop, original: Product) -> list[tuple[Product, str]]:
    """Returns the compressed networks of an original for CIFAR-10 or for birds, each with its size in words."""
    from ...training.compress import compress

    profile, made = shop.profile, []
    if original.name == ARCHITECTURE:
        data: dict[str, Any] = {"data": shop.places.cifar10("train"), "test_data": shop.places.cifar10("test")}
        recipe: dict[str, Any] = {
            "samples": profile.samples,
            "epochs": profile.retrain_epochs,
            "batch_size": profile.batch_size,
        }
    else:
        data = {"data": shop.places.cub(), "test_data": shop.places.cub()}
        recipe = {"epochs": max(1, profile.cub_epochs // 4), "batch_size": 32, "crop": BIRDS_CROP}
    for threshold in profile.thresholds:
        name = _name(original.name, threshold)
        folder = shop.out / "networks" / f"{name.replace(' ', '-')}-seed{original.seed}"
        print(f"{folder.name}:", flush=True)
        result = compress(
            original.network.source,
            threshold=threshold,
            out=folder,
            weights=original.weights,
            test_samples=profile.test_samples,
            seed=original.seed,
            **data,
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


def _claims(shop: Workshop, table: pd.DataFrame) -> tuple[Claim, ...]:
    """At the highest threshold, where there is most to see."""
    threshold, seeds = shop.profile.thresholds[-1], range(shop.profile.seeds)

    def change(original: str, measure: str) -> list[float]:
        pairs = [
            [mean_of(table, name, seed, measure) for name in (original, _name(original, threshold))] for seed in seeds
        ]
        return [after - before for before, after in pairs]

    falls = [-value for value in change(ARCHITECTURE, "sid")]
    at = f"at {threshold:g} standard deviations, mean over layers,"
    return (
        direction("Compression decreases SID.", falls, f"SID of VGG-16 minus that of the one pruned {at}"),
        equality("Compression hardly changes RU.", change(ARCHITECTURE, "ru"), HARDLY, f"change of RU {at}"),
        equality(
            "Compression hardly changes concentration.",
            change(f"{ARCHITECTURE} on birds", "concentration"),
            HARDLY,
            f"change of concentration on birds {at}",
        ),
    )
