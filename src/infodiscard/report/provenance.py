"""Provenance: how a run was made, so that another can make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..results.run import StoredRun


class Recipe(NamedTuple):
    """How a run was made: its name, the command that measures it again, and names and values by heading."""

    name: str
    command: str
    tables: dict[str, dict[str, str]]


def recipes(runs: Mapping[str, StoredRun]) -> list[Recipe]:
    """Returns settings, hashes, versions, the date and a command, for each run."""
    all_recipes = []
    for name, run in runs.items():
        attributes = run.dataset.attrs
        tables = {
            "Settings": run.plan.settings.stored(),
            "Hashes (SHA-256)": run.plan.hashes,
            "Versions": json.loads(attributes["versions"]) | {"created": attributes["created"]},
        }
        all_recipes.append(Recipe(name, command(run), {heading: _texts(items) for heading, items in tables.items()}))
    return all_recipes


def command(run: StoredRun) -> str:
    """Returns the command that repeats a run's measurement; what a run does not record is left to fill in."""
    plan = run.plan
    words = ["infodiscard", "measure", *["NETWORK"] * len(plan.networks), "--data", "SPEC"]
    words += [word for name in plan.networks for word in ("--name", name)]
    alike = len(set(plan.layers.values())) == 1
    words += ["--samples", str(len(plan.samples)), "--layers", ",".join(plan.union()) if alike else "LAYERS"]
    words += ["--metrics", ",".join(run.metrics), *_options(run)]
    return shlex.join(words)


def _options(run: StoredRun) -> Iterator[str]:
    """Yields the options with a run's settings, where an option can say them."""
    settings = run.plan.settings.stored()
    for name in run.plan.settings.names("quantity", "noise", "search"):
        if name in settings:
            yield from (f"--{name.replace('_', '-')}", str(settings[name]))


def _texts(items: Mapping[str, object]) -> dict[str, str]:
    """Returns values as texts: those that are none as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in items.items()
    }
