"""Learning (the paper's Fig. 5b): SID and RU of each stage's output through the training of a ResNet-32."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from ...analysis.display import shown
from ...plots.palette import COLOURS
from ...zoo import load as load_network
from ..figures import finish, panels, shown_variable
from ..findings import Findings, accuracies, layer_means
from ..lab import Lab, TrainedNetwork
from ..verdicts import Claim, direction

NAME, TITLE = "epochs", "do high layers first take information in, and then throw it away?"
LAYERS = ("layer1", "layer2", "layer3")
RU_LAYERS = ("layer3",)


def run(lab: Lab) -> Findings:
    """Measures the weights of some epochs of each training."""
    tables, images = [], []
    for seed in range(lab.preset.seeds):
        for epoch, trained in checkpoints(lab, seed):
            runs = [lab.sid(trained, LAYERS)]
            if seed < lab.preset.ru_trainings:
                runs.append(lab.ru(trained, RU_LAYERS))
            tables.append(layer_means(trained, *runs, extra={"epoch": epoch}))
            images += [run.to_dataframe().assign(seed=seed, epoch=epoch) for run in runs]
    table, every = pd.concat(tables, ignore_index=True), pd.concat(images, ignore_index=True)
    claims = _claims(every, level=lab.preset.level)
    if lab.preset.ru_trainings > 1:  # one has nothing to choose the epoch of the least by
        claims += _claims(every, "ru", lab.preset.level)
    return Findings(NAME, TITLE, claims, table, {"epochs": _figure(table)}, (_accuracy(lab),))


def architecture(lab: Lab) -> str:
    """Returns the spec of what is trained: the second of the profile's ResNets, or its only one."""
    return f"zoo:resnet{lab.preset.depths[:2][-1]}"


def final(lab: Lab, seed: int) -> TrainedNetwork:
    """Returns the trained network."""
    return lab.train(architecture(lab), seed, keep_epochs=lab.preset.kept_epochs)


def checkpoints(lab: Lab, seed: int) -> list[tuple[int, TrainedNetwork]]:
    """Returns the networks of a training by epoch."""
    trained, made = final(lab, seed), []
    for epoch in lab.preset.kept_epochs:
        weights = trained.weights.with_name(f"epoch-{epoch:03}.safetensors")
        # The last epoch's weights are the network's, by whose name other studies measure it.
        name = f"{trained.name} epoch {epoch}" if epoch < lab.preset.epochs else trained.name
        made.append(
            (epoch, replace(trained, name=name, network=load_network(str(weights), name=name), weights=weights))
        )
    return made


def _claims(images: pd.DataFrame, measure: str = "sid", level: float = 0.95) -> tuple[Claim, ...]:
    """The two phases at the last stage's output, by SID or RU.

    The least of noisy values is below the others by chance, and both images and trainings scatter. So the epoch of
    the least is chosen by the other trainings on one half of the images, and judged by this one on the other half.
    """
    halves = {name: number % 2 for number, name in enumerate(sorted(set(images["sample"])))}
    value = shown(measure, images)
    last = images[images["layer"] == LAYERS[-1]].dropna(subset=[value])
    means = last.assign(half=last["sample"].map(halves)).pivot_table(
        index=["seed", "half"], columns="epoch", values=value
    )
    keys, values, rows = means.index.to_list(), means.to_numpy(), []
    for (seed, half), own in zip(keys, values, strict=True):
        others = [row for row, (other, side) in enumerate(keys) if other != seed and side != half]
        if others:
            course = values[others].mean(0)
            # What never falls must be able to show: with the start among them, the least would be the start itself.
            later = 1 + course[1:].argmin()
            rows.append({"seed": seed, "falls": own[0] - own[later], "rises": own[-1] - own[course.argmin()]})
    # The halves of one training are not independent of one another: one value per training.
    by_seed = pd.DataFrame(rows, columns=["seed", "falls", "rises"]).groupby("seed").mean()
    name, what = measure.upper(), f"{measure.upper()} at {LAYERS[-1]} {{}} its least over the epochs"
    return (
        direction(f"Fitting: in high layers {name} first falls below that of the start.", by_seed["falls"].tolist(),
                  what.format("at the start minus"), level=level),
        direction(f"Compression: it ends above its least ({name}).", by_seed["rises"].tolist(),
                  what.format("at the end minus"), level=level),
    )  # fmt: skip


def _figure(table: pd.DataFrame) -> Figure:
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
        finish(ax, shown_variable(rows, measure), "")
    return figure


def _accuracy(lab: Lab) -> str:
    finals = [final(lab, seed) for seed in range(lab.preset.seeds)]
    return accuracies(
        pd.DataFrame([{"network": each.name, "seed": each.seed, "accuracy": each.accuracy} for each in finals])
    )
