"""Learning (the paper's Fig. 5b): SID and RU of each stage's output through the training of a ResNet-32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ..plots import COLOURS
from ..zoo import load as load_network
from .claims import Claim, direction
from .curves import finish, panels
from .findings import Findings, layer_means
from .flaws import accuracies
from .workshop import Product, Workshop

NAME, TITLE = "epochs", "do high layers first take information in, and then throw it away?"
LAYERS = ("layer1", "layer2", "layer3")
RU_LAYERS = ("layer3",)


def run(shop: Workshop) -> Findings:
    """Measures the weights of some epochs of each training."""
    tables, sid = [], []
    for seed in range(shop.profile.seeds):
        for epoch, product in checkpoints(shop, seed):
            extra = {"epoch": epoch}
            measured = shop.sid(product, LAYERS)
            tables += [layer_means(product, measured, extra=extra)]
            sid.append(measured.to_dataframe().assign(seed=seed, epoch=epoch))
            if seed == 0:
                tables += [layer_means(product, shop.ru(product, RU_LAYERS), extra=extra)]
    table, images = pd.concat(tables, ignore_index=True), pd.concat(sid, ignore_index=True)
    return Findings(NAME, TITLE, _claims(images), table, {"epochs": _figure(table)}, (_accuracy(shop),))


def architecture(shop: Workshop) -> str:
    """Returns the spec of what is trained: the second of the profile's ResNets, or its only one."""
    return f"zoo:resnet{shop.profile.depths[:2][-1]}"


def final(shop: Workshop, seed: int) -> Product:
    """Returns the trained network."""
    return shop.train(architecture(shop), seed, keep_epochs=shop.profile.kept_epochs)


def checkpoints(shop: Workshop, seed: int) -> list[tuple[int, Product]]:
    """Returns the networks of a training by epoch."""
    product, made = final(shop, seed), []
    for epoch in shop.profile.kept_epochs:
        weights = product.weights.with_name(f"epoch-{epoch:03}.safetensors")
        name = f"{product.name} epoch {epoch}"
        made.append(
            (epoch, replace(product, name=name, network=load_network(str(weights), name=name), weights=weights))
        )
    return made


def _claims(images: pd.DataFrame) -> tuple[Claim, ...]:
    """The two phases at the last stage's output.

    The epoch of least SID is chosen on one half of the images and judged on the other: the least of noisy values lies
    below the others by itself.
    """
    falls, rises = [], []
    names = sorted(set(images["sample"]))
    last = images[images["layer"] == LAYERS[-1]]
    for _, own in last.groupby("seed"):
        by_epoch = own.pivot_table(index="sample", columns="epoch", values="sid")
        first, second = by_epoch.loc[names[::2]].mean(), by_epoch.loc[names[1::2]].mean()
        for choose, judge in ((first, second), (second, first)):
            least = float(judge.iloc[int(choose.to_numpy().argmin())])
            falls.append(judge.iloc[0] - least)
            rises.append(judge.iloc[-1] - least)
    # The halves of one training are not independent of one another: one value per training.
    halves = [np.asarray(values).reshape(-1, 2).mean(1).tolist() for values in (falls, rises)]
    what = f"SID at {LAYERS[-1]} {{}} its least over the epochs"
    return (
        direction("Fitting: high layers first come to discard less than at the start.", halves[0],
                  what.format("at the start minus")),
        direction("Compression: they end by discarding more than at their least.", halves[1],
                  what.format("at the end minus")),
    )  # fmt: skip


def _figure(table: pd.DataFrame):  # type: ignore[no-untyped-def]
    figure, axes = panels(2)
    for ax, measure in zip(axes, ("sid", "ru"), strict=True):
        rows = table[table["measure"] == measure]
        for number, layer in enumerate(LAYERS):
            own = rows[rows["layer"] == layer]
            if own.empty:
                continue
            groups = own.groupby("epoch")["mean"]
            error = groups.sem() if groups.count().max() > 1 else own.groupby("epoch")["se"].mean()
            mean = groups.mean()
            ax.errorbar(mean.index, mean, error.fillna(0), color=COLOURS[number], marker="o", ms=3.5, lw=1.5, capsize=2,
                        label=layer)  # fmt: skip
        ax.set_xlabel("epoch", fontsize=8)
        ax.legend(fontsize=7, frameon=False)
        finish(ax, measure, "")
    return figure


def _accuracy(shop: Workshop) -> str:
    finals = [final(shop, seed) for seed in range(shop.profile.seeds)]
    return accuracies(
        pd.DataFrame([{"network": each.name, "seed": each.seed, "accuracy": each.accuracy} for each in finals])
    )
