"""What networks given say about the paper's claims: the values, intervals and verdicts, study by study.

One network of a kind says nothing about the kind: the intervals are over images, and a verdict is about these networks.
Where three or more pairs are given, they are over pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from ..analysis.display import shown, systematic_difference
from ..analysis.robustness import under_attack, under_noise
from .given import Evidence, GivenNetwork
from .interval import Interval
from .verdicts import FEW, UNKNOWN, Claim, direction, equality, together

HARDLY = 0.05
"""What still counts as hardly moving, in nats/pixel, as in the study of compression."""
NOISE, EPSILON = 0.1, 1 / 255
"""The noise and the attack of the study of robustness."""

Frames = Mapping[str, pd.DataFrame]


def claims(evidence: Evidence, frames: Frames, kept: pd.DataFrame | None = None) -> list[Claim]:
    """Returns a study's claims with their verdicts on the networks given.

    Args:
        evidence: the networks.
        frames: of `Evidence.measured`, by the name of the network.
        kept: of `perturbed`, for the study of robustness.
    """
    makers: dict[str, Callable[[Evidence, Frames], list[Claim]]] = {
        "networks": _networks,
        "flaws": _flaws,
        "compression": _compression,
        "distillation": _distillation,
        "epochs": _epochs,
    }
    if evidence.study == "robustness":
        assert kept is not None
        return _robustness(evidence, frames, kept)
    return makers[evidence.study](evidence, frames)


def difference(one: pd.DataFrame, other: pd.DataFrame, measure: str = "sid") -> tuple[pd.Series, float]:
    """Returns the mean over layers of a measure of one network minus another's, by image; and its systematic error.

    Layers are those of the same name, or if none is, of the same place. Images without a value at one of them are left
    out.
    """
    variable = shown(measure, one, other)
    by = "layer" if set(one["layer"]) & set(other["layer"]) else "position"
    pairs = [key for key in dict.fromkeys(one[by]) if key in set(other[by])]
    columns, errors = [], []
    for key in pairs:
        left, right = (side[side[by] == key].set_index("sample") for side in (one, other))
        right = right.loc[left.index]
        columns.append(left[variable] - right[variable])
        known = columns[-1].notna()
        errors.append(systematic_difference(left[known], right[known], variable) if known.any() else 0.0)
    values = pd.concat(columns, axis=1).dropna().mean(axis=1)
    return values, float(np.mean(errors))


def by_layer(one: pd.DataFrame, other: pd.DataFrame, measure: str = "sid") -> str:
    """Returns the difference at each layer in words."""
    words = []
    for layer in dict.fromkeys(one["layer"]):
        if layer not in set(other["layer"]):
            continue
        values, systematic = difference(one[one["layer"] == layer], other[other["layer"] == layer], measure)
        interval = Interval.of(values.tolist(), systematic=systematic)
        words.append(f"{layer} {interval.mean:+.3f} ± {interval.se:.3f}")
    return ", ".join(words)


def perturbed(each: GivenNetwork, evidence: Evidence, images: int) -> pd.DataFrame:
    """Returns which images stay right under noise and attack, of those that a network classifies right.

    Returns:
        A row for each such image: network, kind (`noise` or `pgd`) and kept, 0 … 1.
    """
    chosen = evidence.images.take(min(images, len(evidence.images)))
    clean = under_noise(each.network, chosen, 0.0, 1)[:, 0]
    noisy = under_noise(each.network, chosen, NOISE).mean(1)
    attacked = under_attack(each.network, chosen, EPSILON)
    return pd.concat(
        pd.DataFrame({"network": each.name, "kind": kind, "kept": values[clean].astype(float)})
        for kind, values in (("noise", noisy), ("pgd", attacked))
    )


def _over(
    evidence: Evidence, frames: Frames, kinds: tuple[str, str], measure: str = "sid"
) -> tuple[Interval, str, list[tuple[GivenNetwork, GivenNetwork]]]:
    """Returns the interval of the first of each pair minus the second, what it is over, and the pairs."""
    pairs = list(zip(evidence.of(kinds[0]), evidence.of(kinds[1]), strict=True))
    every = [difference(frames[one.name], frames[other.name], measure) for one, other in pairs]
    if len(pairs) >= FEW:
        return Interval.of([float(values.mean()) for values, _ in every]), "pairs", pairs
    values = pd.concat([values for values, _ in every], axis=1).dropna().mean(axis=1)
    return Interval.of(values.tolist(), systematic=float(np.mean([error for _, error in every]))), "images", pairs


def _names(networks: Sequence[GivenNetwork]) -> str:
    return " and ".join(dict.fromkeys(each.network.name for each in networks))


def _flaws(evidence: Evidence, frames: Frames) -> list[Claim]:
    interval, of, pairs = _over(evidence, frames, ("damaged", "intact"))
    worse, whole = (_names([pair[side] for pair in pairs]) for side in (0, 1))
    return [
        direction(f"{worse} discards more than {whole}.", interval, "SID of the damaged minus the intact, mean over "
                  "layers,", of=of)
    ]  # fmt: skip


def _distillation(evidence: Evidence, frames: Frames) -> list[Claim]:
    interval, of, pairs = _over(evidence, frames, ("ordinary", "distilled"))
    plain, taught = (_names([pair[side] for pair in pairs]) for side in (0, 1))
    return [
        direction(f"{taught} discards less than {plain}.", interval, "SID of the ordinary minus the distilled, mean "
                  "over layers,", of=of)
    ]  # fmt: skip


def _compression(evidence: Evidence, frames: Frames) -> list[Claim]:
    if not evidence.of("original"):
        return [
            Claim("Compression decreases SID.", UNKNOWN, "no original was given to compare with",
                  change="The network before its compression, given as original=SPEC.")
        ]  # fmt: skip
    interval, of, _ = _over(evidence, frames, ("original", "compressed"))
    found = [direction("Compression decreases SID.", interval, "SID of the original minus the compressed, mean over "
                       "layers,", of=of)]  # fmt: skip
    if all("concentration" in frame for frame in frames.values()):
        interval, of, _ = _over(evidence, frames, ("compressed", "original"), "concentration")
        what = "change of concentration, mean over layers,"
        found.append(equality("Compression hardly changes concentration.", interval, HARDLY, what, of=of))
    return found


def _networks(evidence: Evidence, frames: Frames) -> list[Claim]:
    """The slope of SID over the depth, which uses all networks; of these, whatever their trainings."""
    networks = evidence.of("depth")
    doublings = np.log2([each.place.number or 1 for each in networks])
    weights = (doublings - doublings.mean()) / ((doublings - doublings.mean()) ** 2).sum()
    variable = shown("sid", *frames.values())
    means = [frames[each.name].pivot(index="sample", columns="layer", values=variable) for each in networks]
    per_network = pd.concat([mean.mean(axis=1, skipna=False) for mean in means], axis=1).dropna().to_numpy()
    errors = [difference(frames[a.name], frames[b.name])[1] for a, b in pairwise(networks)]
    systematic = float(np.mean(errors) * np.sqrt((weights**2).sum()))
    interval = Interval.of((per_network @ weights).tolist(), systematic=systematic)
    return [
        direction("The deeper of these networks discard more.", interval, f"SID per doubling of the depth over "
                  f"{len(networks)} networks, mean over layers,", of="images")
    ]  # fmt: skip


def _epochs(evidence: Evidence, frames: Frames) -> list[Claim]:
    """The two phases at the last layer: one half of the images chooses the epoch of the least, the other judges it.

    What never falls must be able to show: of the start minus the least, that is the least after the start.
    """
    networks = evidence.of("epoch")
    variable = shown("sid", *frames.values())
    columns = []
    for each in networks:
        last = _last(frames[each.name])
        columns.append(last.set_index("sample")[variable])
    table = pd.concat(columns, axis=1).dropna()
    values, half = table.to_numpy(), np.arange(len(table)) % 2
    falls, rises = np.empty(len(table)), np.empty(len(table))
    least = []
    for side in (0, 1):
        course = values[half != side].mean(0)
        later, lowest = 1 + int(course[1:].argmin()), int(course.argmin())
        own = values[half == side]
        falls[half == side], rises[half == side] = own[:, 0] - own[:, later], own[:, -1] - own[:, lowest]
        least.append((later, lowest))
    where = last["layer"].iloc[0]
    afterwards, ever = (
        " or ".join(dict.fromkeys(str(networks[pair[place]].place.number) for pair in least)) for place in (0, 1)
    )
    first, end = networks[0].place.number, networks[-1].place.number
    _, systematic = difference(_last(frames[networks[0].name]), _last(frames[networks[-1].name]))
    return [
        direction(f"Fitting: in high layers SID first falls below that of epoch {first}.",
                  Interval.of(falls.tolist(), systematic=systematic if falls.any() else 0.0),
                  f"SID at {where} at epoch {first} minus its least afterwards (epoch {afterwards}),", of="images"),
        direction(f"Compression: at epoch {end} it is above its least.",
                  Interval.of(rises.tolist(), systematic=systematic if rises.any() else 0.0),
                  f"SID at {where} at epoch {end} minus its least (epoch {ever}),", of="images"),
    ]  # fmt: skip


def _last(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["position"] == frame["position"].max()]


def _robustness(evidence: Evidence, frames: Frames, kept: pd.DataFrame) -> list[Claim]:
    """Whether the more robust of a pair has the higher SID; both differences must be told."""
    interval, of, pairs = _over(evidence, frames, ("robust", "standard"))
    more = direction("", interval, "SID of the robust minus the standard, mean over layers,", of=of)
    words = {"noise": f"Gaussian noise, standard deviation {NOISE:g}", "pgd": "PGD, L∞ ≤ 1/255"}
    found = []
    for kind, how in words.items():
        gains = []
        for pair in pairs:
            robust, standard = (
                kept[(kept["network"] == each.name) & (kept["kind"] == kind)]["kept"].to_numpy(float) for each in pair
            )
            error = np.hypot(*(part.std(ddof=1) / len(part) ** 0.5 for part in (robust, standard)))
            gains.append((robust.mean() - standard.mean(), error, min(len(robust), len(standard))))
        means, errors, counts = (np.array(each, dtype=float) for each in zip(*gains, strict=True))
        if len(pairs) >= FEW:
            share = Interval.of(means.tolist())
        else:
            count, error = int(counts.min()), float(np.sqrt((errors**2).mean() / len(errors)))
            share = Interval.about(float(means.mean()), error, count, count - 1)
        gain = direction("", share, "share of images kept by the robust minus the standard", unit="", of=of)
        found.append(together(f"Of the pair, the network with the higher SID is more robust: {how}.", more, gain))
    return found
