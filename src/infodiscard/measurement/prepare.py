"""The preparation of a measurement: every argument checked, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core.kinds import IMAGE
from ..core.metrics import METRICS
from ..data.inputs import Inputs, coerce_inputs
from ..errors import InfodiscardError
from ..networks.network import Network, weights_hash
from ..solver.noise import SigmaSpace
from ..solver.sid import MIN_PASSES
from .engines import Work
from .prepared_network import Job

if TYPE_CHECKING:
    from ..results.plan import Plan

TAU_PRESETS = {"paper": 0.01, "code": 1e-4}
"""`paper`: x' ~ N(x, 0.01 I), a standard deviation of 0.1. `code`: the authors' public code, which uses 0.01."""

STARTS = ("uniform", "before")

PRECISIONS = ("full", "bf16")

PASSES = {"sid": 5000, "ru": 1600}
"""Most passes per sample and layer, if nothing is said."""

LEAST_PASSES = {"sid": MIN_PASSES, "ru": 256}
"""Fewest that may be allowed; RU needs its own for two steps, and for the feature distance before and after them."""

DEFAULT_BLOCK = {"cpu": 4, "cuda": 32}
"""Few enough for a progress bar that moves and little to redo after a kill; enough to fill the device."""


@dataclass(frozen=True)
class Ready:
    """A measurement that is checked and of which nothing is done yet.

    Attributes:
        plan: what defines its run.
        work: to be done.
        inputs: all samples.
    """

    plan: Plan
    work: Work
    inputs: Inputs


def prepare(
    networks: Any,
    data: Any,
    layers: Sequence[str] | Mapping[str, Sequence[str]] | None,
    metrics: Sequence[str],
    alpha: float,
    tau: float | str,
    sigma: str,
    seed: int,
    masks: Any,
    decoders: str | Path | None,
    tolerance: float,
    max_passes: int | Mapping[str, int] | None,
    cap: float | str,
    start: str,
    precision: str,
    kind: str | None,
    noise_on: str | int | None,
    valid: Any,
    block: int | None,
    batch_size: int | None,
    device: str | torch.device | None,
    device_type: str | None = None,
) -> Ready:
    """Checks everything that a measurement needs.

    Args:
        device_type: of the workers; `None` if the work is done in this process, on `device`.

    All others, and errors, are as for `measure`.
    """
    settings = _settings(metrics, alpha, tau, sigma, seed, tolerance, max_passes, start, precision)
    named = _named(networks)
    inputs = coerce_inputs(data, masks, kind, noise_on, valid)
    # Where workers have devices of their own, the networks are only looked at here.
    here = device if device_type is None else "cpu"
    jobs = {name: Job.prepare(name, network, inputs, layers, cap, here, precision) for name, network in named.items()}
    settings["cap"] = {name: job.cap for name, job in jobs.items()}
    settings |= {} if inputs.noise_on == 0 else {"noise_on": inputs.noise_on}
    _check_shapes(jobs, settings)
    if batch_size is not None and batch_size < 1:
        raise InfodiscardError(f"batch_size was {batch_size}; it must be at least 1, or None for the usual one.")
    # Before anything is written: a run that cannot be finished must not take up the directory.
    for name, job in jobs.items():
        job.check_layers(settings["tau"])
        if "ru" in settings["metrics"]:
            jobs[name] = job.with_decoders(decoders)
    kinds = [device_type or job.device.type for job in jobs.values()]
    plan = _plan(jobs, inputs, settings, block or min(DEFAULT_BLOCK.get(kind, 4) for kind in kinds))
    return Ready(plan, Work(jobs, settings, batch_size), inputs)


def _settings(
    metrics: Sequence[str],
    alpha: float,
    tau: float | str,
    sigma: str,
    seed: int,
    tolerance: float,
    max_passes: int | Mapping[str, int] | None,
    start: str,
    precision: str,
) -> dict[str, Any]:
    """Returns the settings that define a run, checked."""
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise InfodiscardError(f"metrics was {metrics}; what can be measured is {', '.join(METRICS)}.")
    metrics = [name for name in METRICS if name in metrics]
    if start == "before" and "sid" not in metrics:
        raise InfodiscardError("start was 'before', which is for SID; RU always starts from a uniform σ.")
    if isinstance(tau, str):
        if tau not in TAU_PRESETS:
            raise InfodiscardError(f"tau was '{tau}'; give a variance, 'paper' (0.01) or 'code' (0.0001).")
        tau = TAU_PRESETS[tau]
    numbers: dict[str, float] = {"alpha": alpha, "tau": tau, "tolerance": tolerance, **_passes(metrics, max_passes)}
    for name, value in numbers.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise InfodiscardError(f"{name} was {value}; it must be a positive number.")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InfodiscardError(f"seed was {seed!r}; it must be a whole number.")
    for name, word, allowed in (("start", start, STARTS), ("precision", precision, PRECISIONS)):
        if word not in allowed:
            raise InfodiscardError(f"{name} was {word!r}; it can be {' or '.join(map(repr, allowed))}.")
    return {"metrics": metrics, "sigma": sigma, "seed": seed, "start": start, "precision": precision, **numbers}


def _passes(metrics: Sequence[str], given: int | Mapping[str, int] | None) -> dict[str, int]:
    """Returns the most passes for each metric, under the names that settings have for them."""
    if not isinstance(given, Mapping):
        given = {} if given is None else dict.fromkeys(metrics, given)
    found = {}
    for metric, name in (("sid", "max_passes"), ("ru", "ru_max_passes")):
        if metric in metrics:
            found[name] = given.get(metric, PASSES[metric])
            if found[name] < (least := LEAST_PASSES[metric]):
                raise InfodiscardError(
                    f"max_passes was {found[name]}; a measurement of {METRICS[metric].title} needs at least {least}."
                )
    return found


def _named(networks: Any) -> dict[str, Network]:
    """Takes one or several modules or Networks to Networks by name."""
    if isinstance(networks, nn.Module):
        networks = {type(networks).__name__: networks}
    elif isinstance(networks, Network):
        networks = {networks.name: networks}
    if not isinstance(networks, Mapping) or not networks:
        raise InfodiscardError(
            f"networks was a {type(networks).__name__}; give a torch.nn.Module, a Network or a dict of such."
        )
    named = {}
    for name, value in networks.items():
        if isinstance(value, nn.Module):
            value = Network(value, str(name))
        if not isinstance(value, Network):
            raise InfodiscardError(
                f"Network '{name}' is a {type(value).__name__}; it must be a torch.nn.Module or an infodiscard.Network."
            )
        named[str(name)] = value
    return named


def _check_shapes(jobs: Mapping[str, Job], settings: Mapping[str, Any]) -> None:
    """Raises InfodiscardError if the inputs fit no σ, no decoder, or differ between the networks."""
    first, *rest = jobs.items()
    inputs = first[1].inputs
    for name, job in rest:
        if job.inputs.shape != inputs.shape:
            raise InfodiscardError(
                f"The embeddings of '{first[0]}' have {inputs.shape[0]} values and those of '{name}' "
                f"{job.inputs.shape[0]}, which cannot be compared; measure them in separate runs."
            )
    shortest = min((part for _, _, part in inputs.unpadded(slice(None))), key=lambda part: part.shape[2])
    SigmaSpace.parse(settings["sigma"], shortest.shape)
    if "ru" in settings["metrics"] and inputs.layout is not IMAGE:
        raise InfodiscardError(
            f"RU is for images, since its decoders restore images, but the inputs are {inputs.layout.name}; measure "
            "metrics=['sid']."
        )


def _plan(jobs: Mapping[str, Job], inputs: Inputs, settings: dict[str, Any], block: int) -> Plan:
    """Returns everything that defines the run."""
    from ..results.plan import Plan

    channels, height, width = next(iter(jobs.values())).inputs.shape
    hashes = {f"weights/{name}": weights_hash(job.module) for name, job in jobs.items()}
    for name, job in jobs.items():
        hashes |= {f"decoder/{name}/{layer}": decoder.digest for layer, decoder in job.decoders.items()}
    return Plan(
        networks=tuple(jobs),
        layers={name: job.layers for name, job in jobs.items()},
        samples=inputs.names,
        height=height,
        width=width,
        channels=channels,
        settings=settings,
        hashes=hashes | inputs.hashes(),
        labels=inputs.labels,
        classes=inputs.classes,
        block=block,
        kind=inputs.layout.name,
        tokens=inputs.tokens,
        words=inputs.words,
    )
