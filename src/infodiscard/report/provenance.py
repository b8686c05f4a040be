"""How a run was made, so that another can make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from ..results.run import StoredRun
from .markup import element


def provenance(runs: Mapping[str, StoredRun]) -> list[Element]:
    """Returns settings, hashes, versions, the date and a command, for each run."""
    parts = []
    for name, run in runs.items():
        attributes = run.dataset.attrs
        tables = {
            "Settings": run.plan.settings.stored(),
            "Hashes (SHA-256)": run.plan.hashes,
            "Versions": json.loads(attributes["versions"]) | {"created": attributes["created"]},
        }
        inside = [
            element("p", "To measure it again (NETWORK and SPEC are what has the hashes below):"),
            element("pre", element("code", command(run)), tabindex=0, aria_label="command"),
        ]
        for title, items in tables.items():
            inside += [element("h4", title), _listed(items)]
        parts.append(element("details", element("summary", name), *inside, open=len(runs) == 1))
    return parts


def command(run: StoredRun) -> str:
    """Returns the command that measures the like of a run; what a run does not record is left to fill in."""
    plan = run.plan
    words = ["infodiscard", "measure", *["NETWORK"] * len(plan.networks), "--data", "SPEC"]
    words += [word for name in plan.networks for word in ("--name", name)]
    alike = len(set(plan.layers.values())) == 1
    words += ["--samples", str(len(plan.samples)), "--layers", ",".join(plan.union()) if alike else "LAYERS"]
    words += ["--metrics", ",".join(run.metrics)]
    settings = plan.settings.stored()
    for name in plan.settings.names("quantity", "noise", "search"):
        if name in settings:
            words += [f"--{name.replace('_', '-')}", str(settings[name])]
    return shlex.join(words)


def _listed(items: Mapping[str, Any]) -> Element:
    """Returns names and values."""
    parts = []
    for name, value in items.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        parts += [element("dt", str(name)), element("dd", text)]
    return element("dl", *parts)
