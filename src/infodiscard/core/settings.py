"""Settings of a measurement: what is measured, under which noise, and how hard the search tries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import InfodiscardError, number, one_of, quoted, whole
from .metrics import METRICS

TAU_PRESETS = {"paper": 0.01, "code": 1e-4}
"""`paper`: x' ~ N(x, 0.01 I), a standard deviation of 0.1. `code`: the authors' public code, which uses 0.01."""

STARTS = ("uniform", "before")

PRECISIONS = ("full", "bf16")


class Options:
    """Base of dataclasses whose fields carry their role in `metadata`."""

    @classmethod
    def names(cls, *roles: str) -> tuple[str, ...]:
        """Returns the names of the fields of these roles, in order; of all fields if none is given."""
        every = fields(cls)  # type: ignore[arg-type]
        return tuple(each.name for each in every if not roles or each.metadata["role"] in roles)


METRIC, QUANTITY, INPUT, LIMIT, NOISE, SEARCH = (
    {"role": role} for role in ("metrics", "quantity", "input", "limit", "noise", "search")
)


@dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """What defines the values of a run, beside its networks and samples.

    Fields have one of these roles: `metrics`; `quantity`, what exactly is measured; `input`, which is named as the
    network names it; `limit`, which each network has its own of; `noise`; and `search`, how hard the solver tries.

    Attributes:
        metrics: what is measured, in the order of `METRICS`.
        alpha: feature distance at which values are reported, in units of δ_f².
        tau: variance of the noise that defines δ_f².
        sigma: where σ is free: `pixel`, `unit` or `grid:G`.
        noise_on: name or place of the input that noise is added to.
        cap: largest σ, by network: a number, or `range` or `data` where every sample has its own; or as given, before
            networks are known.
        seed: of all noise.
        tolerance: where the search stops, nats per pixel.
        max_passes: metric → most forward and backward passes per sample and layer.
        start: where the search for SID begins: `uniform`, or at the σ of the layer `before`.
        precision: of the network's passes: `full` or `bf16`.
    """

    metrics: tuple[str, ...] = field(default=("sid",), metadata=METRIC)
    alpha: float = field(default=1.5, metadata=QUANTITY)
    tau: float = field(default=0.01, metadata=QUANTITY)
    sigma: str = field(default="pixel", metadata=QUANTITY)
    noise_on: str | int = field(default=0, metadata=INPUT)
    cap: float | str | Mapping[str, float | str] = field(default="range", metadata=LIMIT)
    seed: int = field(default=0, metadata=NOISE)
    tolerance: float = field(default=0.02, metadata=SEARCH)
    max_passes: Mapping[str, int] = field(default_factory=dict, metadata=SEARCH)
    start: str = field(default="uniform", metadata=SEARCH)
    precision: str = field(default="full", metadata=SEARCH)

    def __post_init__(self) -> None:
        """Sorts the metrics, and fills in the passes of those measured."""
        object.__setattr__(self, "metrics", tuple(name for name in METRICS if name in self.metrics))
        passes = {name: self.max_passes.get(name, METRICS[name].passes) for name in self.metrics}
        object.__setattr__(self, "max_passes", passes)

    @classmethod
    def of(cls, **given: Any) -> Settings:
        """Returns the settings that a user gives, checked.

        Args:
            given: fields by name, but as `infodiscard.measure` takes them: `metrics` may be a single one, `tau` a
                preset, `max_passes` one number for all metrics or `None`, `noise_on` `None`.

        Raises:
            InfodiscardError: a value is none of those allowed.
        """
        metrics = given.pop("metrics", cls.metrics)
        metrics = list(metrics) if isinstance(metrics, Iterable) and not isinstance(metrics, str) else [metrics]
        if not metrics or not all(isinstance(name, str) and name in METRICS for name in metrics):
            raise InfodiscardError(f"metrics was {metrics}; what can be measured is {', '.join(METRICS)}.")
        tau = given.pop("tau", cls.tau)
        if isinstance(tau, str):
            if tau not in TAU_PRESETS:
                raise InfodiscardError(f"tau was '{tau}'; give a variance, 'paper' (0.01) or 'code' (0.0001).")
            tau = TAU_PRESETS[tau]
        passes, noise_on = given.pop("max_passes", None), given.pop("noise_on", None)
        passes = passes if isinstance(passes, Mapping) else {} if passes is None else dict.fromkeys(metrics, passes)
        if unknown := [name for name in passes if name not in METRICS]:
            raise InfodiscardError(
                f"max_passes names '{unknown[0]}', which is not a metric; what can be measured is {', '.join(METRICS)}."
            )
        given |= {"tau": tau, "cap": _cap(given.get("cap", cls.cap)), "noise_on": noise_on or 0}
        given |= {name: number(name, given[name]) for name in ("alpha", "tau", "tolerance") if name in given}
        given["seed"] = whole("seed", given.get("seed", cls.seed))
        counts = {name: whole("max_passes", value, "a whole number, 1 or more") for name, value in passes.items()}
        settings = cls(metrics=tuple(metrics), max_passes=counts, **given)
        settings._check()
        return settings

    def _check(self) -> None:
        """Raises InfodiscardError if a value is none of those allowed."""
        if not isinstance(self.sigma, str):
            raise InfodiscardError(f"sigma was {quoted(self.sigma)}; it can be 'pixel', 'unit' or 'grid:G'.")
        one_of("start", self.start, STARTS)
        one_of("precision", self.precision, PRECISIONS)
        if self.start == "before" and "sid" not in self.metrics:
            raise InfodiscardError("start was 'before', which is for SID; RU always starts from a uniform σ.")
        for metric, value in self.max_passes.items():
            if value < (least := METRICS[metric].least_passes):
                raise InfodiscardError(
                    f"max_passes was {value}; a measurement of {METRICS[metric].title} needs at least {least}."
                )

    def of_network(self, name: str, network: str) -> Any:
        """Returns a setting; of the cap, that of a network."""
        value = getattr(self, name)
        return value.get(network) if name == "cap" and isinstance(value, Mapping) else value

    def stored(self) -> dict[str, object]:
        """Returns the settings under the names under which a run stores them, as plain JSON values."""
        values: dict[str, object] = {name: getattr(self, name) for name in self.names() if name != "max_passes"}
        values["metrics"] = list(self.metrics)
        values |= {METRICS[metric].passes_key: passes for metric, passes in self.max_passes.items()}
        return {name: value for name, value in values.items() if name != "noise_on" or value != 0}

    def to_json(self) -> str:
        """Returns the text that a run stores."""
        return json.dumps(self.stored())

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Returns the settings that a run stores; those that an older run lacks have their defaults.

        Raises:
            ValueError: the text is not JSON.
            KeyError: a metric is not known.
        """
        stored = json.loads(text)
        metrics = stored.get("metrics", cls.metrics)
        passes = {name: stored.get(METRICS[name].passes_key, METRICS[name].passes) for name in metrics}
        return cls(**{name: stored[name] for name in cls.names() if name in stored} | {"max_passes": passes})


def _cap(cap: Any) -> Any:
    """Returns a cap, or those of networks by name, with Python's own numbers; words are checked with the inputs."""
    if isinstance(cap, Mapping):
        return {str(name): _cap(value) for name, value in cap.items()}
    return cap if isinstance(cap, str) else number("cap", cap, "'range', 'data' or a positive number")
