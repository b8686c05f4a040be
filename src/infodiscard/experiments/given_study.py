"""A study on the networks that a user gives it: measures them, and draws and judges what comes out."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..core.settings import Settings
from .figures import curves, finish, panels, shown_variable
from .findings import GIVEN, Findings, frame_means
from .given import Evidence, GivenNetwork
from .given_claims import by_layer, claims, perturbed
from .given_specs import ROLES


def run(evidence: Evidence, attacked: int) -> Findings:
    """Measures the networks and judges the study's claims on them.

    Args:
        evidence: the networks given.
        attacked: images that robustness is measured on.
    """
    frames, tables = {}, []
    for each in evidence.networks:
        print(f"SID of {each.name}", flush=True)
        frames[each.name] = frame = evidence.measured(each)
        layers = list(dict.fromkeys(frame.sort_values("position")["layer"]))
        tables.append(frame_means(frame, layers, Settings.alpha, about(each)))
    kept = None
    if evidence.study == "robustness":
        kept = pd.concat([perturbed(each, evidence, attacked) for each in evidence.networks], ignore_index=True)
        tables += [_kept(kept, each) for each in evidence.networks]
    table = pd.concat(tables, ignore_index=True)
    title = import_module(f"{__package__}.studies.{evidence.study}").TITLE
    notes = (*_notes(evidence), *_differences(evidence, frames), *_warnings(table))
    return Findings(
        evidence.study, title, tuple(claims(evidence, frames, kept)), table,
        {f"{evidence.study}_given": _figure(evidence, table)}, notes, GIVEN,
    )  # fmt: skip


def about(each: GivenNetwork) -> dict[str, Any]:
    """Returns what the rows of a table say of a network given."""
    return {"network": each.name, "seed": None, "accuracy": each.accuracy, "weights": each.digest[:12]}


def _kept(kept: pd.DataFrame, each: GivenNetwork) -> pd.DataFrame:
    own = kept[kept["network"] == each.name].groupby("kind")["kept"].agg(["mean", "sem", "size"]).reset_index()
    own = own.rename(columns={"sem": "se", "size": "n"}).assign(measure="kept under " + own["kind"], layer="output")
    return own.drop(columns="kind").assign(**about(each))


def _notes(evidence: Evidence) -> list[str]:
    shown = ", ".join(f"{each.name} {each.accuracy:.1%}" for each in evidence.networks)
    return [
        f"Accuracy on {len(evidence.images)} images of the test set: {shown}.",
        f"{evidence.count} images, at most {evidence.passes} passes for each and layer. One network of a kind says "
        "nothing about its kind: intervals over images are about these networks.",
    ]


def _differences(evidence: Evidence, frames: dict[str, pd.DataFrame]) -> list[str]:
    """Returns the differences of each pair by layer, in words."""
    roles = ROLES[evidence.study]
    if len(roles) != 2:
        return []
    pairs = zip(evidence.of(roles[0]), evidence.of(roles[1]), strict=False)
    return [
        f"SID of {other.name} minus {one.name}, nats/pixel: {by_layer(frames[other.name], frames[one.name])}."
        for one, other in pairs
    ]


def _warnings(table: pd.DataFrame) -> list[str]:
    """Returns what speaks against the values, in words."""
    known = table[table["warning"].fillna("") != ""] if "warning" in table else table.head(0)
    words = [f"{row['network']}, {row['layer']}: {row['warning']}" for _, row in known.iterrows()]
    return [f"What speaks against values: {'. '.join(words)}."] if words else []


def _figure(evidence: Evidence, table: pd.DataFrame) -> Figure:
    """Draws SID by layer, a line per network; for epochs, by epoch, a line per layer."""
    figure, (ax,) = panels(1, 4.8, 3.4)
    rows = table[table["measure"] == "sid"]
    if evidence.study != "epochs":
        curves(ax, table, "sid", [each.name for each in evidence.networks], by="layer")
    else:
        epochs = {each.name: each.place.number for each in evidence.networks}
        for layer, own in rows.groupby("layer", sort=False):
            place = own["network"].map(epochs)
            ax.errorbar(place, own["mean"], own["se"].fillna(0), marker="o", ms=3.5, lw=1.5, capsize=2, label=layer)
        ax.set_xlabel("epoch", fontsize=8)
        ax.set_xscale("log")
        finish(ax, shown_variable(rows, "sid"), "")
    ax.legend(fontsize=6, frameon=False)
    return figure
