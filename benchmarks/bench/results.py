"""Raw results on disk: one file per network, layer and noise level, part by part, so that it can be continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import infodiscard

HERE, PACKAGE = Path(__file__).parent, Path(infodiscard.__file__).parent
SOLVER = sorted((PACKAGE / "solver").glob("*.py"))
MEASUREMENT = sorted(path for name in ("solver", "measurement", "results") for path in (PACKAGE / name).rglob("*.py"))
JUDGE = [HERE / "judge.py", HERE / "optimum.py"]
OURS = [*SOLVER, *JUDGE, HERE / "ours.py", HERE / "price.py"]
REFERENCES = [*JUDGE, HERE / "references.py"]
TRUTH = [*JUDGE, PACKAGE / "solver" / "correction.py", HERE / "corrected.py"]


def code_hash(files: Iterable[Path]) -> str:
    """A short hash of source files: results of other code are computed again."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def settings_hash(settings: dict[str, Any]) -> str:
    """A short hash of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]


@dataclass
class Case:
    """The results of one network, layer and noise level.

    Attributes:
        folder: where its file is.
        network, layer, tau: what it is.
        settings: what all its parts have in common: hashes of weights and images, α, the judge's draws.
        parts: what has been computed, by name.
    """

    folder: Path
    network: str
    layer: str
    tau: float
    settings: dict[str, Any]
    parts: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Its file; other settings have another."""
        name = self.layer.replace("/", "_")
        return self.folder / f"{self.network}-{name}-{self.tau**0.5:g}-{settings_hash(self.settings)}.json"

    @property
    def root(self) -> float:
        """√τ."""
        return round(self.tau**0.5, 6)

    def part(
        self, name: str, settings: dict[str, Any], compute: Callable[[], dict[str, Any]], force: bool = False
    ) -> dict[str, Any]:
        """Returns a part of the results; computes and writes it unless the file has it with the same settings."""
        stored = self._read()
        known = stored["parts"].get(name)
        if force or known is None or known["settings"] != json.loads(json.dumps(settings)):
            known = {"settings": settings, "value": compute()}
            stored = self._read()
            stored["parts"][name] = known
            self._write(stored)
        self.parts[name] = known["value"]
        return known["value"]

    def load(self) -> Case:
        """Reads whatever parts there are, whatever code they are from."""
        self.parts = {name: part["value"] for name, part in self._read()["parts"].items()}
        return self

    def _read(self) -> dict[str, Any]:
        if self.path.is_file():
            return json.loads(self.path.read_text())
        whole = {"network": self.network, "layer": self.layer, "tau": self.tau, "settings": self.settings}
        return whole | {"parts": {}}

    def _write(self, stored: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(stored))
        partial.replace(self.path)
