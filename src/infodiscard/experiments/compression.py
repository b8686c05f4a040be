"""Network compression (the paper's Fig. 4b): VGG-16 by Deep Compression at several thresholds."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ..zoo import load as load_network
from .claims import Claim, direction, equality
from .curves import curves, panels
from .findings import Findings, layer_means, mean_of
from .workshop import Product, Workshop

NAME, TITLE = "compression", "what does Deep Compression cost VGG-16, in information?"
ARCHITECTURE = "vgg16"
LAYERS = ("features.6", "features.13", "features.23", "features.33", "features.43")  # after each pooling
RU_LAYERS = ("features.23",)
HARDLY = 0.05
"""What still counts as hardly moving, in nats/pixel: a change of σ by 5 %."""


def run(shop: Workshop) -> Findings:
    """Prunes, retrains and shares the weights of each training of VGG-16, and measures SID and RU before and after."""
    tables, sizes = [], []
    for seed in range(shop.profile.seeds):
        original = shop.train_plain(ARCHITECTURE, seed)
        for product, about in [(original, ""), *compressed(shop, original)]:
            tables.append(layer_means(product, shop.sid(product, LAYERS), shop.ru(product, RU_LAYERS)))
            if about:
                sizes.append(about)
    table = pd.concat(tables, ignore_index=True)
    figure, axes = panels(2)
    names = [ARCHITECTURE, *(_name(threshold) for threshold in shop.profile.thresholds)]
    for ax, measure in zip(axes, ("sid", "ru"), strict=True):
        curves(ax, table, measure, names)
        ax.legend(fontsize=7, frameon=False)
    notes = ("Seed by seed: " + "; ".join(sizes) + ".", *_concentration_note())
    return Findings(NAME, TITLE, _claims(shop, table), table, {"compression": figure}, notes)


def compressed(shop: Workshop, original: Product) -> list[tuple[Product, str]]:
    """Returns the compressed networks of one original, each with its size and accuracy in words."""
    from ..compression import compress

    profile, made = shop.profile, []
    for threshold in profile.thresholds:
        name = _name(threshold)
        folder = shop.out / "networks" / f"{name.replace(' ', '-')}-seed{original.seed}"
        print(f"{folder.name}:", flush=True)
        result = compress(
            profile.spec(ARCHITECTURE),
            shop.places.cifar10("train"),
            threshold,
            folder,
            weights=original.weights,
            test_data=shop.places.cifar10("test"),
            test_samples=profile.test_samples,
            samples=profile.samples,
            epochs=profile.retrain_epochs,
            batch_size=profile.batch_size,
            seed=original.seed,
        )
        total = result.report.iloc[-1]
        accuracy = result.accuracy["shared"]
        about = (
            f"{name} (seed {original.seed}) keeps {total['share_left']:.0%} of the weights in "
            f"{total['huffman']:,.0f} bytes, {total['ratio']:.0f} times fewer, at {accuracy:.1%} accuracy instead of "
            f"{original.accuracy:.1%}"
        )
        network = load_network(str(result.weights), name=name)
        made.append((replace(original, name=name, network=network, weights=result.weights, accuracy=accuracy), about))
    return made


def _name(threshold: float) -> str:
    return f"{ARCHITECTURE} pruned at {threshold:g} std"


def _claims(shop: Workshop, table: pd.DataFrame) -> tuple[Claim, ...]:
    """At the highest threshold, where there is most to see."""
    name, seeds = _name(shop.profile.thresholds[-1]), range(shop.profile.seeds)
    change = {
        measure: [mean_of(table, name, seed, measure) - mean_of(table, ARCHITECTURE, seed, measure) for seed in seeds]
        for measure in ("sid", "ru")
    }
    falls = [-value for value in change["sid"]]
    what = f"of VGG-16 {{}} {name.removeprefix(ARCHITECTURE + ' ')}, mean over layers,"
    return (
        direction("Compression decreases SID.", falls, "SID " + what.format("minus that of the one")),
        equality("Compression hardly changes RU.", change["ru"], HARDLY, "change of RU, mean over layers,"),
        Claim(
            "Compression hardly changes concentration.",
            "cannot tell",
            "CIFAR-10 has no objects' boxes, and the given birds are too few to compress a network for",
        ),
    )


def _concentration_note() -> tuple[str, ...]:
    return ()
