"""A run as files that anyone can open: pictures, tables and one page of HTML."""

from __future__ import annotations

import json
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compare import DISTANCE_ERROR, distrust
from .errors import InfodiscardError
from .plots import layer_curve, map_sheet
from .store import told

if TYPE_CHECKING:
    import pandas as pd

    from .run import Run

# Column → heading and how to print it. Columns that a run lacks are left out.
COLUMNS: dict[str, tuple[str, str]] = {
    "network": ("network", "{}"),
    "layer": ("layer", "{}"),
    "n": ("samples", "{:d}"),
    "sid": ("SID", "{:.3f}"),
    "sid_se": ("± se", "{:.3f}"),
    "concentration": ("concentration", "{:.3f}"),
    "concentration_se": ("± se", "{:.3f}"),
    "converged": ("converged", "{:.0%}"),
    "feature_distance": ("distance", "{:.3f}"),
    "gap": ("gap", "{:.3f}"),
    "capped_share": ("at cap", "{:.1%}"),
    "passes": ("passes", "{:.0f}"),
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

READING = """
<p><b>SID</b> (strict information discarding) says how much about the input a layer throws away. Every pixel is given as
much Gaussian noise as it bears while the layer's feature stays within a fixed distance of the clean one; the entropy of
that noise, averaged over pixels, is the SID in nats per pixel. Higher means that more is discarded; one nat is a factor
e in the noise's standard deviation. The dashed line is an <i>identity layer</i>: it passes its input on unchanged.</p>
<p><b>Concentration</b> is the mean SID of the background minus that of the object: above zero, the layer keeps more of
the object than of what surrounds it.</p>
<p>Values are comparable between layers, networks and inputs of the same size that were measured under the same
settings.</p>
"""
CURVE = "Means and 95 % intervals over the samples. Faint dots are single samples; hollow marks did not converge."


def write_report(run: Run, out: str | Path | None = None) -> Path:
    """Writes a run's pictures (`layers.png`, `maps.png`), tables (`summary.csv`, `values.csv`) and `report.html`.

    A run of several networks gets one sheet of maps each: `maps.png`, `maps-2.png`, …, in the order of its plan.

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
        measured = set(summary["network"])
        sheets = {}
        for number, network in enumerate([name for name in run.plan.networks if name in measured], start=1):
            sheets[network] = folder / ("maps.png" if number == 1 else f"maps-{number}.png")
            map_sheet(run, network=network, path=sheets[network])
        summary.to_csv(folder / "summary.csv", index=False)
        values.to_csv(folder / "values.csv", index=False)
        page = folder / "report.html"
        page.write_text(_page(run, values, summary, folder / "layers.png", sheets), encoding="utf-8")
    return page


def _page(run: Run, values: pd.DataFrame, summary: pd.DataFrame, curve: Path, sheets: dict[str, Path]) -> str:
    """Returns the whole page."""
    plan = run.plan
    names = escape(", ".join(plan.networks))
    left = len(run.pending())
    state = (
        "" if not left else f'<p class="note"><b>Not finished:</b> {left} of {len(plan.units())} units are missing.</p>'
    )
    size = f"{plan.channels}×{plan.height}×{plan.width}"
    sheet_figures = "\n".join(
        _figure(path, f"SID of each pixel in {name}; one colour scale for the whole sheet.")
        for name, path in sheets.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Information discarding of {names}</title><style>{STYLE}</style></head>
<body>
<h1>Information discarding of {names}</h1>
<p class="lead">{len(plan.samples)} samples of {size}, {summary["layer"].nunique()} layers, measured layer by layer and
pixel by pixel.</p>
{state}
<h2>By layer</h2>
{_figure(curve, CURVE)}
<div class="wide">{_table(summary, _warnings(values, plan.settings.get("alpha")))}</div>
<h2>By pixel</h2>
{sheet_figures}
<h2>How to read it</h2>
{READING}
<h2>How far to trust it</h2>
{_trust(values, plan.settings)}
<h2>How it was made</h2>
{_provenance(run)}
</body></html>
"""


def _figure(path: Path, caption: str) -> str:
    """Returns a picture embedded in the page."""
    data = b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def _warnings(values: pd.DataFrame, alpha: float | None) -> dict[tuple[str, str], str]:
    """Returns (network, layer) → what speaks against its values."""
    groups = values.groupby(["network", "layer"], sort=False)
    return {(str(network), str(layer)): "; ".join(distrust(rows, alpha)) for (network, layer), rows in groups}


def _table(summary: pd.DataFrame, warnings: dict[tuple[str, str], str]) -> str:
    """Returns the summary as an HTML table; the last column says why not to trust a row, if anything does."""
    columns = {name: item for name, item in COLUMNS.items() if name in summary}
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


def _trust(values: pd.DataFrame, settings: dict[str, Any]) -> str:
    """Returns what the solver says about itself, as a list."""
    lines = []
    if "converged" in values:
        lines.append(f"{values['converged'].mean():.1%} of the {len(values)} solutions met the solver's tolerance.")
    alpha = settings.get("alpha")
    if "feature_distance" in values and alpha:
        error = (values["feature_distance"] / alpha - 1).abs()
        lines.append(
            f"The feature distance was to be α = {alpha:g}. On fresh noise it is off by {error.median():.1%} in the "
            f"median, and by more than {DISTANCE_ERROR:.0%} for {(error > DISTANCE_ERROR).mean():.1%} of the solutions."
        )
    if "gap" in values and values["gap"].notna().any():
        lines.append(
            f"The solver estimates that a longer search would find {values['gap'].mean():.3f} nats/pixel more in the "
            f"mean, {values['gap'].max():.3f} in the worst case. Differences smaller than that mean nothing."
        )
    if "capped_share" in values:
        matters = f"{values['cap_matters'].mean():.1%}" if "cap_matters" in values else "an unknown share"
        lines.append(
            f"{values['capped_share'].mean():.2%} of the pixels are at the cap on σ, where the layer hardly looks; the "
            f"mean depends on the cap for {matters} of the solutions."
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
