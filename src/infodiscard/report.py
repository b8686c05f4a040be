"""A run as files that anyone can open: pictures, tables and one page of HTML."""

from __future__ import annotations

import json
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import texts
from .compare import DISTANCE_ERROR, distrust
from .errors import InfodiscardError
from .plots import identity_level, layer_curve, map_sheet, reconstruction_sheet
from .sheets import ROWS
from .store import METRICS, diagnostics, told

if TYPE_CHECKING:
    import pandas as pd

    from .run import Run

_NAMES = {"network": ("network", "{}"), "layer": ("layer", "{}"), "n": ("samples", "{:d}")}
# Metric → column → heading and how to print it. Columns that a run lacks are left out.
COLUMNS: dict[str, dict[str, tuple[str, str]]] = {
    "sid": _NAMES
    | {
        "sid": ("SID", "{:.3f}"),
        "sid_se": ("± se", "{:.3f}"),
        "concentration": ("concentration", "{:.3f}"),
        "concentration_se": ("± se", "{:.3f}"),
        "converged": ("converged", "{:.0%}"),
        "feature_distance": ("distance", "{:.3f}"),
        "gap": ("gap", "{:.3f}"),
        "capped_share": ("at cap", "{:.1%}"),
        "passes": ("passes", "{:.0f}"),
    },
    "ru": _NAMES
    | {
        "ru": ("RU", "{:.3f}"),
        "ru_se": ("± se", "{:.3f}"),
        "ru_floor": ("floor", "{:.3f}"),
        "ru_concentration": ("concentration", "{:.3f}"),
        "ru_concentration_se": ("± se", "{:.3f}"),
        "ru_converged": ("converged", "{:.0%}"),
        "ru_feature_distance": ("distance", "{:.3f}"),
        "ru_gap": ("gap", "{:.3f}"),
        "ru_passes": ("passes", "{:.0f}"),
    },
}

STYLE = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5b6875; --line: #dfe4ea; --accent: #0072b2; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); max-width: 66rem; margin: 2.5rem auto; }
body { padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
.lead, figcaption, .small { color: var(--soft); } .small { font-size: .87rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; border-bottom: 2px solid var(--accent); white-space: nowrap; }
td.text, th.text { text-align: left; } td.warn { text-align: left; color: #a33d00; min-width: 12rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.note { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem 1rem; }
"""

READING = {
    "sid": """
<p><b>SID</b> (strict information discarding) says how much about the input a layer throws away. Every pixel is given as
much Gaussian noise as it bears while the layer's feature stays within a fixed distance of the clean one; the entropy of
that noise, averaged over pixels, is the SID in nats per pixel. Higher means that more is discarded; one nat is a factor
e in the noise's standard deviation. The dashed line is an <i>identity layer</i>: it passes its input on unchanged.</p>
""",
    "ru": """
<p><b>RU</b> (reconstruction uncertainty) says how much of the input cannot be reconstructed from a layer: the entropy
of a decoder's error when the noise, within the same distance of the feature, is chosen to confuse it most, in nats per
pixel of the network's input space. Higher means that less can be recovered. The <i>floor</i> (dotted) is the decoder's
own error, without noise: a badly trained decoder shows there first, and only what is above the floor is the layer's
doing.</p>
""",
    "concentration": """
<p><b>Concentration</b> is the mean {measured} of the background minus that of the object: above zero, the layer keeps
more of the object than of what surrounds it.</p>
""",
    "": """
<p>Values are comparable between layers, networks and inputs of the same size that were measured under the same
settings.</p>
""",
}
CURVE = "Means and 95 % intervals over the samples. Faint dots are single samples; hollow marks did not converge."
SHEETS = {"sid": "maps", "ru": "maps_ru"}
TEXTS = "texts.html"


def write_report(run: Run, out: str | Path | None = None) -> Path:
    """Writes a run's pictures, tables (`summary.csv`, `values.csv`) and `report.html`.

    The pictures are `layers.png`; the sheets of maps, `maps.png` of SID and `maps_ru.png` of RU; and with RU
    `reconstructions.png`. A run of several networks gets one sheet of each kind for every network: `maps.png`,
    `maps-2.png`, …, in the order of its plan. A run of texts also gets
    `texts.html` (see `write_texts`).

    Args:
        run: a run with something measured.
        out: the directory; the run's own by default. Reports written there before are replaced.

    Returns:
        The path of `report.html`, which needs no other file.

    Raises:
        InfodiscardError: nothing is measured, no directory is known, or it cannot be written.
    """
    folder = run.path if out is None else Path(out).expanduser()
    if folder is None:
        raise InfodiscardError("This run is in memory only; say where to write its report (out).")
    values, summary = run.to_dataframe(), run.summary()
    with told("write the report in", folder):
        folder.mkdir(parents=True, exist_ok=True)
        layer_curve(run, path=folder / "layers.png")
        sheets = _write_sheets(run, folder, set(summary["network"]))
        summary.to_csv(folder / "summary.csv", index=False)
        values.to_csv(folder / "values.csv", index=False)
        if run.plan.tokens:
            write_texts(run, folder / TEXTS)
        page = folder / "report.html"
        page.write_text(_page(run, values, summary, folder / "layers.png", sheets), encoding="utf-8")
    return page


def write_texts(run: Run, path: str | Path | None = None) -> Path:
    """Writes a page of HTML with every text of a run: a line of words per layer, shaded by how much is discarded.

    Args:
        run: a run of texts (`infodiscard.data.text`) with something measured.
        path: the file; by default `texts.html` in the run's own directory. One that is there is replaced.

    Returns:
        The path of the page, which needs no other file.

    Raises:
        InfodiscardError: the run is not one of texts, nothing is measured, no directory is known, or it cannot be
            written.
    """
    if path is None and run.path is None:
        raise InfodiscardError("This run is in memory only; say where to write its texts (path).")
    page = Path(run.path or "", TEXTS) if path is None else Path(path).expanduser()
    names = escape(", ".join(run.plan.networks))
    content = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{names}, word by word</title><style>{STYLE}{texts.STYLE}</style></head>
<body>
<h1>Information discarding of {names}, word by word</h1>
{_reading_words(run)}
{texts.section(run)}
</body></html>
"""
    with told("write the texts to", page):
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(content, encoding="utf-8")
    return page


def _reading_words(run: Run) -> str:
    """Returns what the shades of words mean."""
    level = identity_level(run.plan.settings)
    least = "" if level is None else f" A layer that passes its input on unchanged has {texts.signed(level)}."
    return f"""<p class="lead">A word is shaded by its SID: the entropy of the noise that its tokens bear, the mean of
theirs, in nats per value of an embedding. Brighter means that the layer discards more of the word. One scale for all
texts and layers. Point at a word for its number; special tokens are small.{least}</p>"""


def _write_sheets(run: Run, folder: Path, measured: set[str]) -> dict[Path, str]:
    """Draws maps and reconstructions of the `measured` networks; returns file → caption, in the order of the page."""
    sheets = {}
    names = [name for name in run.plan.networks if name in measured]
    networks = [(name, f"-{number}" if number > 1 else "") for number, name in enumerate(names, start=1)]
    for metric in run.metrics:
        for network, number in networks:
            path = folder / f"{SHEETS[metric]}{number}.png"
            map_sheet(run, network=network, metric=metric, path=path)
            sheets[path] = (
                f"{METRICS[metric]} of each {run.plan.layout.unit} in {network}; one colour scale for the whole sheet."
            )
    if "ru" in run.metrics:
        for network, number in networks:
            path = folder / f"reconstructions{number}.png"
            reconstruction_sheet(run, network=network, path=path)
            sheets[path] = f"What a decoder restores of the input from each layer of {network}, without noise."
    return sheets


def _page(run: Run, values: pd.DataFrame, summary: pd.DataFrame, curve: Path, sheets: dict[Path, str]) -> str:
    """Returns the whole page."""
    plan = run.plan
    names = escape(", ".join(plan.networks))
    left = len(run.pending())
    state = (
        "" if not left else f'<p class="note"><b>Not finished:</b> {left} of {len(plan.units())} units are missing.</p>'
    )
    size = plan.size
    tables = [_table(summary, metric, _warnings(run, values, metric)) for metric in run.metrics]
    words = plan.layout.words
    trust = [words(_trust(values, plan.settings, metric)) for metric in run.metrics]
    if len(trust) > 1:
        trust = [f"<p>{METRICS[metric]}:</p>{items}" for metric, items in zip(run.metrics, trust, strict=True)]
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Information discarding of {names}</title><style>{STYLE}{texts.STYLE if plan.tokens else ""}</style></head>
<body>
<h1>Information discarding of {names}</h1>
<p class="lead">{len(plan.samples)} samples of {size}, {summary["layer"].nunique()} layers, measured layer by layer and
{words("pixel by pixel")}.</p>
{state}
<h2>By layer</h2>
{_figure(curve, CURVE)}
{"".join(f'<div class="wide">{table}</div>' for table in tables)}
<h2>{words("By pixel")}</h2>
{"".join(_figure(path, caption) for path, caption in sheets.items())}
{_by_word(run)}
<h2>How to read it</h2>
{words(_reading(run.metrics, summary))}
<h2>How far to trust it</h2>
{"".join(trust)}
<h2>How it was made</h2>
{_provenance(run)}
</body></html>
"""


def _by_word(run: Run) -> str:
    """Returns the first texts, word by word; nothing of a run that is not one of texts."""
    if not run.plan.tokens:
        return ""
    return f"<h2>By word</h2>{_reading_words(run)}{texts.section(run, ROWS)}"


def _figure(path: Path, caption: str) -> str:
    """Returns a picture embedded in the page."""
    data = b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _warnings(run: Run, values: pd.DataFrame, metric: str) -> dict[tuple[str, str], str]:
    """Returns (network, layer) → what speaks against its values of `metric`."""
    alpha, words = run.plan.settings.get("alpha"), run.plan.layout.words
    groups = values.groupby(["network", "layer"], sort=False)
    return {
        (str(network), str(layer)): words("; ".join(distrust(rows, alpha, metric))) for (network, layer), rows in groups
    }


def _table(summary: pd.DataFrame, metric: str, warnings: dict[tuple[str, str], str]) -> str:
    """Returns the summary of one metric as an HTML table; the last column says why not to trust a row, if anything."""
    columns = {name: item for name, item in COLUMNS[metric].items() if name in summary}
    text = {"network", "layer"}
    head = "".join(_cell("th", title, name in text) for name, (title, _) in columns.items())
    warned = any(warnings.values())
    head += _cell("th", "beware", True) if warned else ""
    rows = []
    for record in summary.to_dict("records"):
        cells = "".join(_cell("td", _shown(record[name], form), name in text) for name, (_, form) in columns.items())
        if warned:
            cells += f'<td class="warn">{escape(warnings[record["network"], record["layer"]])}</td>'
        rows.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cell(tag: str, content: str, text: bool) -> str:
    """Returns one cell of the table; words are set to the left, numbers to the right."""
    kind = ' class="text"' if text else ""
    return f"<{tag}{kind}>{escape(content)}</{tag}>"


def _shown(value: Any, form: str) -> str:
    """Prints a value; a dash where there is none."""
    return "–" if value != value else form.format(value)


def _reading(metrics: tuple[str, ...], summary: pd.DataFrame) -> str:
    """Returns what the numbers mean: of the metrics that were measured only."""
    parts = [READING[metric] for metric in metrics]
    if {"concentration", "ru_concentration"} & set(summary):
        parts.append(READING["concentration"].format(measured=" or ".join(METRICS[metric] for metric in metrics)))
    return "".join([*parts, READING[""]])


def _trust(values: pd.DataFrame, settings: dict[str, Any], metric: str) -> str:
    """Returns what the solver says about itself, as a list."""
    trust, lines = diagnostics(values, metric), []
    if "converged" in trust:
        lines.append(f"{trust['converged'].mean():.1%} of the {len(trust)} solutions met the solver's tolerance.")
    alpha = settings.get("alpha")
    if "feature_distance" in trust and alpha:
        error = (trust["feature_distance"] / alpha - 1).abs()
        lines.append(
            f"The feature distance was to be α = {alpha:g}. On fresh noise it is off by {error.median():.1%} in the "
            f"median, and by more than {DISTANCE_ERROR:.0%} for {(error > DISTANCE_ERROR).mean():.1%} of the solutions."
        )
    if "gap" in trust and trust["gap"].notna().any():
        lines.append(
            f"The solver estimates that a longer search would find {trust['gap'].mean():.3f} nats/pixel more in the "
            f"mean, {trust['gap'].max():.3f} in the worst case. Differences smaller than that mean nothing."
        )
    if "capped_share" in trust:
        matters = f"{trust['cap_matters'].mean():.1%}" if "cap_matters" in trust else "an unknown share"
        lines.append(
            f"{trust['capped_share'].mean():.2%} of the pixels are at the cap on σ, where the layer hardly looks; the "
            f"mean depends on the cap for {matters} of the solutions."
        )
    if metric == "ru":
        lines.append(
            f"The decoders' own error, without noise, is {values['ru_floor'].mean():.3f} nats/pixel in the mean; RU is "
            f"{(values['ru'] - values['ru_floor']).mean():.3f} above it. Every layer has a decoder of its own: where "
            "the floors differ, RU may for that reason alone."
        )
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _provenance(run: Run) -> str:
    """Returns the settings, versions and hashes."""
    attributes = run.dataset.attrs
    parts = {
        "settings": {name: _compact(value) for name, value in run.plan.settings.items()},
        "hashes (SHA-256)": run.plan.hashes,
        "versions": json.loads(attributes["versions"]) | {"created": attributes["created"]},
    }
    return "\n".join(
        f'<p class="small">{escape(title)}</p><dl>'
        + "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in items.items())
        + "</dl>"
        for title, items in parts.items()
        if items
    )


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
