"""Provenance: how a run was made, so that another can make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
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
            "Origin": run.plan.origin,
            "Settings": run.plan.settings.stored(),
            "Hashes (SHA-256)": run.plan.hashes,
            "Versions": json.loads(attributes["versions"]) | {"created": attributes["created"]},
        }
        texts = {heading: _texts(items) for heading, items in tables.items() if items}
        all_recipes.append(Recipe(name, command(run), texts))
    return all_recipes


def command(run: StoredRun) -> str:
    """Returns the command that repeats a run's measurement, one for each network where they differ in layers or cap.

    What a run does not record is left to fill in, in capitals.
    """
    plan = run.plan
    caps = {name: plan.settings.of_network("cap", name) for name in plan.networks}
    alike = len(set(plan.layers.values())) == 1 == len(set(caps.values()))
    groups = [plan.networks] if alike else [(name,) for name in plan.networks]
    return "\n".join(shlex.join(_words(run, names, caps[names[0]])) for names in groups)


def _words(run: StoredRun, networks: Sequence[str], cap: object) -> Iterator[str]:
    """Yields the words of the command that measures some networks of a run, which are alike in layers and cap."""
    plan, origin = run.plan, run.plan.origin
    yield from ("infodiscard", "measure", *(origin.get(f"network/{name}", "NETWORK") for name in networks))
    kind = "text" if plan.tokens or "text" in origin else "data"
    yield from (f"--{kind}", origin.get(kind, "FILE" if kind == "text" else "SPEC"))
    options = ("split", "crop", "size", "annotations")
    yield from (word for name in options if name in origin for word in (f"--{name}", origin[name]))
    files = ["-" if name in plan.random else origin.get(f"weights/{name}", "-") for name in networks]
    if set(files) != {"-"}:
        yield from (word for file in files for word in ("--weights", file))
    if set(networks) & {*plan.random}:
        yield "--random-weights"
    yield from (word for name in networks for word in ("--name", name))
    for key in ("mean", "std"):
        own = {origin.get(f"{key}/{name}") for name in networks}
        if len(own) == 1 and (value := own.pop()):
            yield from (f"--{key}", value)
    yield from ("--samples", str(len(plan.samples)), "--layers", ",".join(plan.layers[networks[0]]))
    yield from ("--metrics", ",".join(run.metrics))
    settings = plan.settings.stored()
    for name in plan.settings.names("quantity", "noise", "search"):
        if name in settings and name != "max_passes":
            yield from (f"--{name.replace('_', '-')}", str(settings[name]))
    yield from ("--cap", str(cap))
    passes = {plan.settings.max_passes[name] for name in run.metrics}
    if len(passes) == 1:
        yield from ("--max-passes", str(passes.pop()))


def _texts(items: Mapping[str, object]) -> dict[str, str]:
    """Returns values as texts: those that are none as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in items.items()
    }
