"""What a run or several say, in words: where most is lost, what differs, and what not to trust."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..analysis.statistics import half_width
from ..analysis.trust import FEW_SAMPLES
from ..core.metrics import METRICS
from .content import MORE, SCALARS, UNKNOWN, Content, Entry
from .markup import figure

if TYPE_CHECKING:
    import pandas as pd

NAMED = 4  # layers that a sentence names before it counts
PERCENT = re.compile(r"[\d.]+ ?%")


def losses(content: Content) -> list[str]:
    """Returns, for each network, where it loses most and least, and between which layers the most."""
    sentences = []
    for entry in content.entries:
        sentences += [_lost(entry, metric, content.unit) for metric in content.metrics if entry.has(metric)]
        sentences += [
            sentence
            for metric in ("concentration", "ru_concentration")
            if entry.has(metric) and (sentence := _concentrated(entry, metric))
        ]
    return sentences


def _lost(entry: Entry, metric: str, unit: str) -> str:
    """Returns the sentence on one metric of one network."""
    import pandas as pd

    means = pd.Series({layer: mean.value for layer, mean in entry.means(metric).items()})
    name = entry.said(metric)
    most, least = str(means.idxmax()), str(means.idxmin())
    what = "discards" if metric == "sid" else "loses"
    how = "" if metric == "sid" else " in reconstruction"
    if len(means) == 1:
        return f"{entry.name}, {name}: {_value(entry, metric, most)} {unit} in {most}."
    sentence = (
        f"{entry.name} {what} most{how} in {most} ({name} {_value(entry, metric, most)} {unit}) and least "
        f"in {least} ({_value(entry, metric, least)})"
    )
    steps = means.diff().dropna()
    if len(means) > 2 and steps.max() > 0:
        after = str(steps.idxmax())
        before = str(means.index[list(means.index).index(after) - 1])
        sentence += f"; the largest step is from {before} to {after} (+{steps.max():.3f})"
    return f"{sentence}."


def _concentrated(entry: Entry, metric: str) -> str:
    """Returns in which layers the object or the background is kept better, or nothing."""
    kept: dict[str, list[str]] = {"object": [], "background": []}
    for layer, mean in entry.means(metric).items():
        if abs(mean.value) > mean.half:
            kept["object" if mean.value > 0 else "background"].append(layer)
    parts = [f"the {where} better in {some(layers)}" for where, layers in kept.items() if layers]
    verb = "keeps" if metric == "concentration" else "lets a decoder restore"
    return f"{entry.name} {verb} {', '.join(parts)} (concentration, at 95 %)." if parts else ""


def changes(content: Content) -> list[str]:
    """Returns, for each pair of networks and scalar, in which layers they differ significantly."""
    table = content.pairs
    if table.empty:
        return []
    groups = table.groupby(["a", "b", "metric"], sort=False)
    return [_changed(str(a), str(b), str(metric), rows, content.unit) for (a, b, metric), rows in groups]


def _changed(a: str, b: str, metric: str, rows: pd.DataFrame, unit: str) -> str:
    name = SCALARS[metric] if metric in METRICS else SCALARS[metric].lower().replace("of ru", "of RU")
    name += " (reached)" if (rows["basis"] == "reached").all() else ""
    found = rows[rows["verdict"] != UNKNOWN]
    if found.empty:
        if (rows["difference"] == 0).all():
            return f"{name}: the same for {a} and {b} in {_counted(len(rows), 'layer')}."
        far = max(rows.to_dict("records"), key=lambda row: abs(row["difference"]))
        beyond = " beyond the solver's gap" if metric in METRICS and (rows["gap"] > 0).any() else ""
        return (
            f"{name}: no significant difference{beyond} between {a} and {b} in {_counted(len(rows), 'layer')}; the "
            f"largest is {figure(far['difference'], '+.3f')} ± {figure(half_width(far['se'], far['n']))} {unit} in "
            f"{far['layer']}."
        )
    parts = []
    for verdict, group in found.groupby("verdict", sort=False):
        order = group.sort_values("difference", key=abs, ascending=False).to_dict("records")
        layers = [
            f"{row['layer']} ({figure(row['difference'], '+.3f')} ± {half_width(row['se'], row['n']):.3f}"
            f"{', not to be trusted as it stands' if row['warning'] else ''})"
            for row in order
        ]
        parts.append(f"{'higher' if verdict == MORE else 'lower'} in {some(layers)}")
    rest = len(rows) - len(found)
    left = f"; no significant difference in the other {rest}" if rest else ""
    return f"{name} of {b} against {a}: significantly {' and '.join(parts)} {unit}{left}."


def warnings(content: Content) -> list[str]:
    """Returns what speaks against the whole and against layers, those alike in one sentence."""
    sentences = [sentence for name, run in content.runs.items() if (sentence := _unfinished(name, run))]
    for entry in content.entries:
        n = int(entry.summary["n"].min())
        if n < FEW_SAMPLES:
            why = "one sample has no standard error" if n == 1 else "means over so few say little of other inputs"
            sentences.append(f"{entry.name}: only {_counted(n, 'sample')}; {why}.")
        for metric in content.metrics:
            sentences += _doubted(entry, metric)
    if not content.pairs.empty:
        sentences += _general(content)
    return [*sentences, *content.apart]


def _unfinished(name: str, run: object) -> str:
    left, total = len(run.pending()), len(run.plan.units())  # type: ignore[attr-defined]
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
        f"{entry.name}, {METRICS[metric].title} in {some([*layers])}: "
        f"{reason.replace('{}', _range([*layers.values()]))}."
        for reason, layers in reasons.items()
    ]


def _range(shares: Sequence[str]) -> str:
    """Returns "7%" or "3%–20%"."""
    ordered = sorted(set(shares), key=lambda share: float(share.rstrip(" %") or 0))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def _general(content: Content) -> list[str]:
    """Returns what differs between networks that were compared, as far as it holds for all their layers."""
    sentences: dict[str, None] = {}
    for (a, b), rows in content.pairs.groupby(["a", "b"], sort=False):
        common = set.intersection(*({*text.split("; ")} for text in rows["warning"]))
        for text in sorted(common):
            if text and not text.startswith(("'", "only ")) and "gap" not in text:
                sentences[f"{b} against {a}: {text}."] = None
    return list(sentences)


def some(names: Sequence[str]) -> str:
    """Returns the first names and how many more there are."""
    if len(names) <= NAMED:
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def _value(entry: Entry, metric: str, layer: str) -> str:
    value, half, _ = entry.means(metric)[layer]
    return figure(value) + ("" if half != half else f" ± {half:.3f}")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
