"""Architectural flaws (the paper's Fig. 4a): a block without a skip between two residual blocks."""

from __future__ import annotations

import pandas as pd

from ..contrasts import contrast, image_values
from ..figures import curves, panels
from ..findings import Findings, accuracies, layer_means, mean_of
from ..lab import Lab, TrainedNetwork
from ..verdicts import Claim, direction

NAME, TITLE = "flaws", "do damaged networks discard more, and most at the damage?"


def run(lab: Lab) -> Findings:
    """Trains the shallowest ResNet with and without damage; measures SID around the damage and at the stages' ends."""
    depth = lab.preset.depths[0]
    intact = f"resnet{depth}"
    runs = [(trained, lab.sid(trained, layers(lab, trained))) for trained in networks(lab)]
    table = pd.concat([layer_means(*each) for each in runs], ignore_index=True)
    values = pd.concat([image_values(*each) for each in runs], ignore_index=True)
    claims = [claim for place in lab.preset.damage for claim in _claims(lab, table, values, place)]
    figure, axes = panels(len(lab.preset.damage))
    for ax, place in zip(axes, lab.preset.damage, strict=True):
        curves(ax, table, "sid", [intact, damaged_name(intact, place)], f"damage after {place}")
        ax.legend(fontsize=7, frameon=False)
    return Findings(NAME, TITLE, tuple(claims), table, {"flaws": figure}, (accuracies(table),))


def _claims(lab: Lab, table: pd.DataFrame, values: pd.DataFrame, place: str) -> list[Claim]:
    """The claims about damage in one place, which share the intact networks with those about another."""
    depth, stage = lab.preset.depths[0], place.partition(".")[0]
    intact, jumps, level = f"resnet{depth}", [], lab.preset.level
    name, following = damaged_name(intact, place), _next(place, depth)

    def sid(network: str, seed: int, *layers: str) -> float:
        return mean_of(table, network, seed, "sid", layers)

    for seed in range(lab.preset.seeds):
        before, block, after = (sid(name, seed, layer) for layer in (place, f"{stage}.damage", following))
        usual = sid(intact, seed, following) - sid(intact, seed, place)
        jumps.append(block - before - max(after - block, usual))
    return [
        direction(
            f"A network damaged after {place} discards more than the original.",
            contrast(values, name, intact, _common(place), level),
            f"SID of the damaged minus the intact {intact}, mean over the ends of the stages from the damage on,",
        ),
        direction(
            f"The block inserted after {place} boosts the discarding, more than the block behind it does.",
            jumps,
            "rise of SID across the inserted block minus that across the next one (the larger of the damaged and the "
            "intact network's),",
            level=level,
        ),
    ]


def networks(lab: Lab) -> list[TrainedNetwork]:
    """Returns the intact and the damaged networks."""
    depth, made = lab.preset.depths[0], []
    for seed in range(lab.preset.seeds):
        made.append(lab.train(f"zoo:resnet{depth}", seed))
        for place in lab.preset.damage:
            spec = f"zoo:resnet{depth},damage={place}"
            made.append(lab.train(spec, seed, damaged_name(f"resnet{depth}", place)))
    return made


def damaged_name(intact: str, place: str) -> str:
    """Returns what tables call a damaged network."""
    return f"{intact},damage={place}"


def layers(lab: Lab, trained: TrainedNetwork) -> list[str]:
    """Returns the layers about every place of damage, and the ends of the stages."""
    depth = lab.preset.depths[0]
    wanted = {"bn1", "layer1", "layer2", "layer3"}
    for place in lab.preset.damage:
        wanted |= {place, _next(place, depth)}
        if f"damage={place}" in trained.name:
            wanted.add(f"{place.partition('.')[0]}.damage")
    # A stage's end is its last block's output; one name for it is enough.
    last = (depth - 2) // 6 - 1
    return sorted(wanted - {f"layer{stage}.{last}" for stage in (1, 2, 3)}, key=lambda name: (name != "bn1", name))


def _next(place: str, depth: int) -> str:
    """Returns the block after a place of damage, by the name that `layers` has for it."""
    stage, _, block = place.partition(".")
    last = (depth - 2) // 6 - 1
    if int(block) == last:
        return f"layer{int(stage[-1]) + 1}.0"
    return stage if int(block) + 1 == last else f"{stage}.{int(block) + 1}"


def _common(place: str) -> list[str]:
    """Returns the ends of the stages from the damage on."""
    return [f"layer{stage}" for stage in range(int(place.partition(".")[0][-1]), 4)]
