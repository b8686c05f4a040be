"""Sentences on one run or several: where most is lost, what differs, what not to trust, and how far the solver came."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..analysis.display import is_corrected, is_reached, lacking
from ..analysis.statistics import half_width
from ..analysis.trust import DISTANCE_ERROR, FEW_SAMPLES, diagnostics
from ..analysis.verdict import CHANGED, LESS, MIXED, MORE, SAME, UNKNOWN, in_words, named
from ..core.metrics import METRICS
from ..core.numbers import printed
from ..results.run import StoredRun
from .content import Content, Entry
from .rendering import formatted
from .scalars import LOSES, Scalar, page_scalars

if TYPE_CHECKING:
    import pandas as pd

PERCENT = re.compile(r"[\d.]+ ?%")


def answer(content: Content) -> list[str]:
    """Returns what a page is about in at most three sentences: where information is lost, what differs, and doubts."""
    first = content.scalars[0]
    entries = [entry for entry in content.entries if entry.has(first.name)]
    sentences = [_in_short(entries[0], first, content.unit)] if len(entries) == 1 else []
    if content.compared:
        rows = content.pairs[content.pairs["metric"] == first.name]
        pairs = [_compared(str(a), str(b), first, of, content) for (a, b), of in rows.groupby(["a", "b"], sort=False)]
        # Three sentences in all: of several pairs the first one.
        more = f" {len(pairs) - 1} more pairs are compared below." if pairs[1:] else ""
        sentences += [pair + more for pair in pairs[:1]]
    doubts = warnings(content)
    many = f"{len(doubts)} reasons not to trust all of it are given below."
    sentences.append(many if doubts[1:] else doubts[0] if doubts else "Nothing is known against these values.")
    return [content.layout.words(text) for text in sentences]


def _in_short(entry: Entry, scalar: Scalar, unit: str) -> str:
    """Returns where one network loses most, in noise that it tolerates where that can be said."""
    metric, settings = scalar.name, entry.run.plan.settings
    means = entry.means(metric)
    most = max(means, key=lambda layer: means[layer].value)
    mean, level = means[most], scalar.metric.at_identity(settings.alpha, settings.tau)
    said = f"{entry.name} {_loses(metric)[0]} in {most}"
    if level is None:
        return f"{said} ({entry.title(metric)} {_value(entry, metric, most)} {unit})."
    least = "at least " if _at_least(entry, metric) else ""
    low, high = (printed(math.exp(end - level), ".1f") for end in (mean.value - mean.half, mean.value + mean.half))
    interval = f" ({low} to {high})" if mean.half == mean.half and not least else ""
    times = printed(math.exp(mean.value - level), ".1f")
    return f"{said}: there the input may vary {least}{times} times{interval} as much as where everything is passed on."


def _compared(a: str, b: str, scalar: Scalar, rows: pd.DataFrame, content: Content) -> str:
    """Returns what is known of two networks, and the largest change that is known."""
    said = in_words(a, b, scalar.title, rows)
    changed = rows[rows["verdict"].isin(CHANGED)]
    if changed.empty:
        return said
    shifted = rows[rows["verdict"].isin((MORE, LESS))]
    far = max(shifted.to_dict("records"), key=lambda row: abs(row["difference"]), default=None)
    most = "" if far is None else f" The largest change is in {far['layer']}, {_difference(far)} {content.unit}."
    return f"{b} differs from {a}. {said}{most}"


def _difference(row: Mapping[Hashable, Any]) -> str:
    return f"{formatted(row['difference'], '+.3f')} ± {formatted(half_width(row['se'], row['n']))}"


def findings(content: Content) -> dict[str, list[str]]:
    """Returns the sentences by their heading."""
    groups = {
        "Where most is lost": losses(content),
        "What differs": changes(content),
        "What not to trust": warnings(content) or ["Nothing is known against these values."],
    }
    return {heading: [content.layout.words(text) for text in texts] for heading, texts in groups.items() if texts}


def losses(content: Content) -> list[str]:
    """Returns, for each network, where it loses most and least, and between which layers the most."""
    sentences = []
    for entry in content.entries:
        sentences += [_lost(entry, metric, content.unit) for metric in content.metrics if entry.has(metric)]
        sentences += [
            sentence
            for scalar in content.scalars
            if not scalar.is_metric and entry.has(scalar.name) and (sentence := _concentrated(entry, scalar))
        ]
    return sentences


def _lost(entry: Entry, metric: str, unit: str) -> str:
    """Returns the sentence on one metric of one network."""
    means = {layer: mean.value for layer, mean in entry.means(metric).items()}
    name = entry.title(metric)
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    if len(means) == 1:
        return f"{entry.name}, {name}: {_value(entry, metric, most)} {unit} in {most}."
    sentence = (
        f"{entry.name} {_loses(metric)[0]} in {most} ({name} {_value(entry, metric, most)} {unit}) and least "
        f"in {least} ({_value(entry, metric, least)})"
    )
    steps = [] if _at_least(entry, metric) else [entry.step(metric, *pair) for pair in pairwise(means)]
    if len(steps) > 1 and (largest := max(steps, key=lambda step: step.value)).value > largest.half:
        before, after = list(pairwise(means))[steps.index(largest)]
        size = f"{formatted(largest.value, '+.3f')} ± {formatted(largest.half)}"
        sentence += f"; the largest step is from {before} to {after} ({size})"
    return f"{sentence}."


def _at_least(entry: Entry, metric: str) -> bool:
    """Whether what is shown of a metric is what the search reached: the value itself may be larger."""
    return not is_corrected(entry.variable(metric))


def _loses(metric: str) -> tuple[str, str]:
    """Returns what a network does where a metric is highest, and what it does better with the object where lower."""
    return LOSES.get(metric, ("loses most", "keeps"))


def _concentrated(entry: Entry, scalar: Scalar) -> str:
    """Returns in which layers the object or the background is kept better, or nothing."""
    kept: dict[str, list[str]] = {"object": [], "background": []}
    for layer, mean in entry.means(scalar.name).items():
        if abs(mean.value) > mean.half:
            kept["object" if mean.value > 0 else "background"].append(layer)
    parts = [f"the {where} better in {named(layers)}" for where, layers in kept.items() if layers]
    return f"{entry.name} {_loses(scalar.metric.name)[1]} {', '.join(parts)} (concentration, at 95 %)." if parts else ""


def changes(content: Content) -> list[str]:
    """Returns, for each pair of networks and scalar, in which layers they differ significantly."""
    table = content.pairs
    if table.empty:
        return []
    groups = table.groupby(["a", "b", "metric"], sort=False)
    return [_changed(str(a), str(b), page_scalars()[str(name)], rows, content.unit) for (a, b, name), rows in groups]


def _changed(a: str, b: str, scalar: Scalar, rows: pd.DataFrame, unit: str) -> str:
    """Returns the sentence on one scalar of one pair."""
    name = scalar.title if scalar.is_metric else scalar.title[0].lower() + scalar.title[1:]
    name += " (reached)" if (rows["basis"] == "reached").all() else ""
    if (rows["difference"] == 0).all():
        return f"{name}: exactly the same for {a} and {b} in {_counted(len(rows), 'layer')}."
    parts = []
    for verdict, how in {MORE: "significantly higher", LESS: "significantly lower", MIXED: "mixed"}.items():
        group = rows[rows["verdict"] == verdict].sort_values("difference", key=abs, ascending=False)
        layers = [
            f"{row['layer']} ({_difference(row)}{', not to be trusted as it stands' if row['warning'] else ''})"
            for row in group.to_dict("records")
        ]
        if layers:
            parts.append(f"{how} in {named(layers)} {unit}")
    for verdict, how in {SAME: "the same", UNKNOWN: "not to be told apart"}.items():
        group = rows[rows["verdict"] == verdict]
        if len(group):
            far = max(group.to_dict("records"), key=lambda row: abs(row["difference"]))
            allowed = f" within ±{formatted(group['allowed'].max())}" if verdict == SAME else ""
            parts.append(f"{how}{allowed} in {_counted(len(group), 'layer')} ({_difference(far)} in {far['layer']})")
    return f"{name} of {b} against {a}: {'; '.join(parts)}."


def warnings(content: Content) -> list[str]:
    """Returns what speaks against the whole and against layers, those alike in one sentence."""
    sentences = [sentence for name, run in content.runs.items() if (sentence := _unfinished(name, run))]
    for entry in content.entries:
        if entry.network in entry.run.plan.random:
            sentences.append(f"{entry.name}: random weights, which say nothing of a trained network.")
        n = int(entry.summary["n"].min())
        if n < FEW_SAMPLES:
            why = "one sample has no standard error" if n == 1 else "means over so few say little about other inputs"
            sentences.append(f"{entry.name}: only {_counted(n, 'sample')}; {why}.")
        for metric in content.metrics:
            sentences += _doubted(entry, metric)
    if not content.pairs.empty:
        sentences += _general(content)
    return [*sentences, *content.apart]


def _unfinished(name: str, run: StoredRun) -> str:
    left, total = len(run.pending()), len(run.plan.units())
    return f"{name}: not finished, {left} of {total} units are missing." if left else ""


def _doubted(entry: Entry, metric: str) -> list[str]:
    """Returns what speaks against the layers of one network, each reason once with its layers."""
    if not entry.has(metric):
        return []
    reasons: dict[str, dict[str, str]] = {}
    for layer, texts in entry.doubts(metric).items():
        for text in texts:
            shares = PERCENT.findall(text)
            reasons.setdefault(PERCENT.sub("{}", text, count=1), {})[layer] = shares[0] if shares else ""
    return [
        f"{entry.name}, {METRICS[metric].title} in {named([*at])}: {reason.replace('{}', _range([*at.values()]))}."
        for reason, at in reasons.items()
    ]


def _range(shares: Sequence[str]) -> str:
    """Returns "7%" or "3%–20%"."""
    ordered = sorted(set(shares), key=lambda share: float(share.rstrip(" %") or 0))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _general(content: Content) -> list[str]:
    """Returns what differs between networks that were compared, where it holds for all their layers."""
    sentences: dict[str, None] = {}
    for (a, b), rows in content.pairs.groupby(["a", "b"], sort=False):
        common = set.intersection(*({*text.split("; ")} for text in rows["warning"]))
        for text in sorted(common):
            if text and not text.startswith(("'", "only ")) and "gap" not in text:
                sentences[f"{b} against {a}: {text}."] = None
    return list(sentences)


def trusting(content: Content) -> dict[str, list[str]]:
    """Returns what the solver says about itself, by the heading of metric and network."""
    return {
        f"{METRICS[metric].title} of {entry.name}": [content.layout.words(line) for line in _trust(entry, metric)]
        for entry in content.entries
        for metric in content.metrics
        if entry.has(metric)
    }


def _trust(entry: Entry, metric: str) -> list[str]:
    """Returns the sentences on one metric of one network, per pixel."""
    table, alpha = entry.table.dropna(subset=[metric]), entry.alpha
    trust, lines = diagnostics(table, metric), []
    if "converged" in trust:
        lines.append(f"{trust['converged'].mean():.1%} of the {len(trust)} solutions met the solver's tolerance.")
    if "feature_distance" in trust:
        error = (trust["feature_distance"] / alpha - 1).abs()
        lines.append(
            f"The feature distance was to be α = {alpha:g}. On fresh noise it is off by {error.median():.1%} in the "
            f"median, and by more than {DISTANCE_ERROR:.0%} for {(error > DISTANCE_ERROR).mean():.1%} of the solutions."
        )
    if not is_reached(variable := entry.variable(metric)) and metric != variable:
        missing = table[variable] - table[metric]
        lines.append(
            f"Corrected values lie {formatted(missing.mean())} nats/pixel above what was reached in the mean, "
            f"{formatted(missing.max())} at most; the standard error of a single one is "
            f"{table[f'{variable}_se'].median():.3f} in the median. {lacking(table, metric):.1%} of the solutions have "
            "none."
        )
    if "gap" in trust and trust["gap"].notna().any():
        most = "at most " if metric != variable else ""
        lines.append(
            f"The solver estimates that a longer search would find {most}{formatted(trust['gap'].mean())} nats/pixel "
            f"more in the mean, {formatted(trust['gap'].max())} in the worst case."
        )
    if "capped_share" in trust:
        matters = f"{trust['cap_matters'].mean():.1%}" if "cap_matters" in trust else "an unknown share"
        lines.append(
            f"{trust['capped_share'].mean():.2%} of the pixels are at the cap on σ, where the layer hardly looks; the "
            f"mean depends on the cap for {matters} of the solutions."
        )
    if (floor := METRICS[metric].floor) and entry.has(floor):
        without, name = table[floor], METRICS[metric].title
        lines.append(
            f"The decoders' own error, without noise, is {formatted(without.mean())} nats/pixel in the mean; "
            f"{name} is {formatted((table[metric] - without).mean())} above it. Every layer has a decoder of its own: "
            f"where the floors differ, {name} may for that reason alone."
        )
    return lines


def _value(entry: Entry, metric: str, layer: str) -> str:
    value, half, _ = entry.means(metric)[layer]
    if _at_least(entry, metric):
        return f"at least {formatted(value)}"
    return formatted(value) + ("" if half != half else f" ± {formatted(half)}")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
