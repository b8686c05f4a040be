"""What the numbers mean, and what the solver says about itself, in words."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ..analysis.display import is_reached, lacking
from ..analysis.trust import DISTANCE_ERROR, diagnostics
from ..core.metrics import METRICS
from .content import Content, Entry
from .markup import element, figure

MEANING = {
    "sid": (
        "SID",
        " (strict information discarding) says how much about the input a layer throws away. Every pixel is given "
        "as much Gaussian noise as it bears while the layer's feature stays within a fixed distance of the clean "
        "one; the entropy of that noise, averaged over pixels, is the SID in nats per pixel. Higher means that more"
        " is discarded; one nat is a factor e in the noise's standard deviation.",
    ),
    "ru": (
        "RU",
        " (reconstruction uncertainty) says how much of the input cannot be reconstructed from a layer: the entropy"
        " of a decoder's error when the noise, within the same distance of the feature, is chosen to confuse it "
        "most, in nats per pixel of the network's input space. Higher means that less can be recovered. The floor "
        "is the decoder's own error, without noise: a badly trained decoder shows there first, and only what is "
        "above the floor is the layer's doing.",
    ),
    "concentration": (
        "Concentration",
        " is the mean {measured} of the background minus that of the object: above zero, the layer keeps more of "
        "the object than of what surrounds it.",
    ),
    "corrected": (
        "Reached and corrected.",
        " A search that ends before its optimum reaches less SID than there is. What it lacks is estimated from "
        "further noise, which moves nothing, and added: that is the SID{beside} of curves, tables and comparisons, "
        "and its error holds that of the estimate. Maps show what was reached. SID has converged if the corrected "
        "value is known to the tolerance and the distance reached is within 5 % of α.",
    ),
    "gap": (
        "Gap",
        " is how much more a longer search would find, in nats per pixel, as the solver estimates it{from_above}; "
        "smaller differences between {values} mean nothing.{converged}",
    ),
}


def reading(content: Content) -> list[Element]:
    """Returns what the numbers mean: of what was measured only."""
    corrected = "sid" in content.metrics and any(
        entry.has("sid") and entry.name not in content.reached("sid") for entry in content.entries
    )
    names = [*content.metrics, *(["concentration"] if set(content.scalars) - set(content.metrics) else [])]
    names += [*(["corrected"] if corrected else []), "gap"]
    ru = "RU" if content.metrics == ("sid", "ru") else "A value"
    converged = f" {ru} has converged if its gap is within the tolerance and the distance reached within 5 % of α."
    said = {
        "beside": ", and its concentration," if "concentration" in content.scalars else "",
        "measured": " or ".join(METRICS[metric].title for metric in content.metrics),
        "from_above": " (of SID from above)" if corrected else "",
        "values": "values as reached" if corrected else "values",
        "converged": "" if corrected and "ru" not in content.metrics else converged,
    }
    words = content.layout.words
    parts = [element("p", element("b", MEANING[name][0]), words(MEANING[name][1].format(**said))) for name in names]
    last = (
        "Values are comparable between layers, networks and inputs of the same size that were measured under the same "
        "settings."
    )
    return [*parts, element("p", last)]


def trusting(content: Content) -> list[Element]:
    """Returns what the solver says about itself, a list for each network and metric."""
    words, parts = content.layout.words, []
    for entry in content.entries:
        for metric in content.metrics:
            if entry.has(metric):
                items = [element("li", words(line)) for line in _trust(entry, metric)]
                parts += [element("h3", f"{METRICS[metric].title} of {entry.name}"), element("ul", *items)]
    return parts


def _trust(entry: Entry, metric: str) -> list[str]:
    table, alpha = entry.table.dropna(subset=[metric]), entry.alpha
    trust, lines = diagnostics(table, metric), []
    if "converged" in trust:
        lines.append(f"{trust['converged'].mean():.1%} of the {len(trust)} solutions met the solver's tolerance.")
    if "feature_distance" in trust and alpha:
        error = (trust["feature_distance"] / alpha - 1).abs()
        lines.append(
            f"The feature distance was to be α = {alpha:g}. On fresh noise it is off by {error.median():.1%} in the "
            f"median, and by more than {DISTANCE_ERROR:.0%} for {(error > DISTANCE_ERROR).mean():.1%} of the solutions."
        )
    if not is_reached(variable := entry.variable(metric)) and metric != variable:
        missing = table[variable] - table[metric]
        lines.append(
            f"Corrected values lie {figure(missing.mean())} nats/pixel above what was reached in the mean, "
            f"{figure(missing.max())} at most; the standard error of a single one is "
            f"{table[f'{variable}_se'].median():.3f} in the median. {lacking(table, metric):.1%} of the solutions have "
            "none."
        )
    if "gap" in trust and trust["gap"].notna().any():
        most = "at most " if metric != variable else ""
        lines.append(
            f"The solver estimates that a longer search would find {most}{figure(trust['gap'].mean())} nats/pixel more "
            f"in the mean, {figure(trust['gap'].max())} in the worst case."
        )
    if "capped_share" in trust:
        matters = f"{trust['cap_matters'].mean():.1%}" if "cap_matters" in trust else "an unknown share"
        lines.append(
            f"{trust['capped_share'].mean():.2%} of the pixels are at the cap on σ, where the layer hardly looks; the "
            f"mean depends on the cap for {matters} of the solutions."
        )
    if metric == "ru":
        lines.append(
            f"The decoders' own error, without noise, is {figure(table['ru_floor'].mean())} nats/pixel in the mean; RU "
            f"is {figure((table['ru'] - table['ru_floor']).mean())} above it. Every layer has a decoder of its own: "
            "where the floors differ, RU may for that reason alone."
        )
    return lines
