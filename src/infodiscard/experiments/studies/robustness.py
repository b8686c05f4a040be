"""Robustness (claimed but not measured in the paper's 3.3): accuracy under noise and attack beside SID."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ...analysis.robustness import rank_correlation, robustness
from ...plots.palette import COLOURS
from ..figures import panels
from ..findings import Findings, layer_means
from ..lab import Lab, TrainedNetwork
from ..verdicts import FAILS, HOLDS, UNKNOWN, Claim, direction
from . import compression, distillation, flaws, networks

NAME, TITLE = "robustness", "are networks with a high SID robust, and compressed or distilled ones sensitive?"
NOISE, EPSILON = 0.1, 1 / 255
KINDS = {"noise": f"Gaussian noise, standard deviation {NOISE:g} of [0, 1]", "pgd": "PGD, L∞ ≤ 1/255"}


def run(lab: Lab) -> Findings:
    """Measures how many images stay right, for every classifier of CIFAR-10 that the other studies train."""
    images = lab.test_images(lab.preset.attacked)
    rows = []
    for family, trained, layers in classifiers(lab):
        sid = layer_means(trained, lab.sid(trained, layers), layers=layers)
        kept = robustness(trained.network, images, noise=(NOISE,), epsilons=(EPSILON,)).set_index("kind")
        row: dict[str, Any] = {
            "family": family,
            "network": trained.name,
            "seed": trained.seed,
            "accuracy": trained.accuracy,
        }
        row |= {"sid": float(sid["mean"].mean()), "last_sid": float(sid["mean"].iloc[-1])}
        row |= {kind: kept.loc[kind, "kept"] for kind in KINDS}
        rows.append(row | {f"{kind}_se": kept.loc[kind, "kept_se"] for kind in KINDS})
    table = pd.DataFrame(rows)
    notes = (
        f"Kept is the share of the images classified right that stay so, of {len(images)} test images. SID is the mean "
        "over a network's stages; networks with other layers than each other are ranked together, which is one more "
        "reason for care.",
    )
    last = lab.preset.seeds == lab.preset.schedule[-1]
    return Findings(
        NAME,
        TITLE,
        (*_ranks(table, last), *_changed(table, lab.preset.level)),
        table,
        {"robustness": _figure(table)},
        notes,
    )


def classifiers(lab: Lab) -> list[tuple[str, TrainedNetwork, tuple[str, ...]]]:
    """Returns every classifier of CIFAR-10 of the other studies: its family, itself, and the layers measured."""
    every: list[tuple[str, TrainedNetwork, tuple[str, ...]]] = []
    every += [("resnet", each, networks.STAGES) for each in networks.resnets(lab)]
    every += [("given", each, networks.STAGES) for each in networks.given(lab)]
    every += [("damaged", each, networks.STAGES) for each in flaws.networks(lab) if "damage" in each.name]
    every += [(name, each, networks.POOLINGS[name]) for name, each in networks.plain(lab) if name != distillation.PLAIN]
    every += [
        ("distilled" if "from" in each.name else "alexnet", each, distillation.LAYERS)
        for each in distillation.students(lab)
    ]
    for seed in range(lab.preset.seeds):
        original = lab.train_plain(compression.ARCHITECTURE, seed)
        every += [("compressed", each, compression.LAYERS) for each, _ in compression.compressed(lab, original)]
    return every


def _ranks(table: pd.DataFrame, last: bool = True) -> list[Claim]:
    """The order of all networks, which is judged once, after the last trainings."""
    claims = []
    for kind, words in KINDS.items():
        rank = rank_correlation(table["sid"].to_numpy(), table[kind].to_numpy())
        verdict = UNKNOWN if not last else HOLDS if rank.low > 0 else FAILS if rank.high < 0 else UNKNOWN
        statistic = (
            f"Spearman's ρ of SID and the share of images kept {rank.rho:+.2f}, 95 % {rank.low:+.2f} … "
            f"{rank.high:+.2f} ({rank.n} networks)"
        )
        claims.append(Claim(f"Networks with a higher SID are more robust: {words}.", verdict, statistic))
    return claims


def _changed(table: pd.DataFrame, level: float = 0.95) -> list[Claim]:
    """Compressed and distilled networks against the ones that they come from, of the same seed."""
    claims = []
    for family, base, words in (("compressed", "vgg16", "Compressed"), ("distilled", "alexnet", "Distilled")):
        originals = table[table["family"] == base].set_index("seed")
        changed = table[table["family"] == family]
        for kind, how in KINDS.items():
            by_seed = changed.groupby("seed")[kind].mean()
            less = [float(originals.loc[seed, kind] - by_seed[seed]) for seed in by_seed.index]
            claims.append(
                direction(f"{words} networks are more sensitive than {base}: {how}.", less,
                          "share of images kept by the original minus the changed one", unit="", level=level)
            )  # fmt: skip
    return claims


def _figure(table: pd.DataFrame) -> Figure:
    figure, axes = panels(2)
    for ax, (kind, words) in zip(axes, KINDS.items(), strict=True):
        for number, (family, own) in enumerate(table.groupby("family", sort=False)):
            marker = "o" if number < len(COLOURS) else "s"
            ax.scatter(own["sid"], own[kind], s=22, marker=marker, color=COLOURS[number % len(COLOURS)], label=family)
        ax.set_xlabel("SID (nats/pixel), mean over stages", fontsize=8)
        ax.set_ylabel("share of the images kept", fontsize=8)
        ax.set_title(words, fontsize=8, loc="left")
        ax.tick_params(labelsize=7)
        ax.grid(color="#dddddd", lw=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=6, frameon=False)
    return figure
