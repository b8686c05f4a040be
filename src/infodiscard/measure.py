"""The main job: a loop over networks, layers and blocks of samples that fills a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .entropy import concentration, gaussian_entropy
from .errors import InfodiscardError
from .inputs import Inputs, coerce_inputs
from .network import Network, placed, weights_hash
from .noise import SampleNoise, SigmaSpace
from .objectives import FeatureDistance
from .probes import Probe, choose_layers, list_layers, untouched
from .solver import MIN_PASSES, Effort, Solution, check_variation, maximise_entropy

if TYPE_CHECKING:
    from .plan import Plan, Unit
    from .run import Run

TAU_PRESETS = {"paper": 0.01, "code": 1e-4}
"""`paper`: x' ~ N(x, 0.01 I), a standard deviation of 0.1. `code`: the authors' public code, which uses 0.01."""

METRICS = ("sid",)

STARTS = ("uniform", "before")

PRECISIONS = ("full", "bf16")

DEFAULT_BLOCK = {"cpu": 4, "cuda": 32}
"""Few enough for a progress bar that moves and little to redo after a kill; enough to fill the device."""


def measure(
    networks: nn.Module | Network | Mapping[str, nn.Module | Network],
    data: Any,
    layers: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    metrics: Sequence[str] = ("sid",),
    alpha: float = 1.5,
    tau: float | str = 0.01,
    sigma: str = "pixel",
    seed: int = 0,
    masks: Any = None,
    out: str | Path | None = None,
    progress: bool = True,
    *,
    tolerance: float = 0.02,
    max_passes: int = 5000,
    cap: float | str = "range",
    start: str = "uniform",
    precision: str = "full",
    block: int | None = None,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
) -> Run:
    """Measures how much of the input each layer discards.

    Args:
        networks: a module, a `Network`, or several by name. A `Network` that knows its normalisation takes images in
            [0, 1]; a bare module takes its inputs as they are.
        data: an `ImageSet`, a float tensor `n × C × H × W`, or a map-style data set of such images (or of tuples that
            begin with an image and a label).
        layers: names or patterns (see `infodiscard.probes`), for all networks or by network; by default the network's
            own `default_layers`.
        metrics: `sid`.
        alpha: the feature distance at which values are reported, in units of δ_f².
        tau: variance of the noise that defines δ_f²; or `paper` (0.01), or `code` (1e-4, as in the authors' code).
        sigma: where σ is free: `pixel`, `unit` or `grid:G`.
        seed: of all noise; results depend on it, on the input and on the network, and on nothing else.
        masks: true on the object (`n × H × W`), or boxes `n × 4` as x, y, width, height; by default the data's own.
        out: directory of the run; continued if it holds an unfinished one of the same plan. `None` keeps it in memory.
        progress: draw a progress bar on standard error.
        tolerance: stop when the estimated gap to the optimum is below this, in nats per pixel.
        max_passes: most forward-and-backward passes per sample and layer.
        cap: largest σ: `range` (ten times the dynamic range of the input space), `data` (the standard deviation of the
            given inputs) or a number.
        start: where the search begins: `uniform`, or at the σ of the layer measured `before`, which saves passes in the
            last layers; values then depend, within their gap, on which layers are measured.
        precision: of the network's forward and backward passes: `full`, its own; or `bf16`, by autocast. Distances and
            entropies are always computed in float32 or better.
        block: samples solved and stored together, by default 4 on a CPU and 32 on a GPU; no result depends on it.
        batch_size: noisy inputs in one forward pass; no result depends on it.
        device: where to compute, on a copy of the network if it lies elsewhere; by default where the network is.

    Returns:
        The finished run.

    Raises:
        InfodiscardError: any input that cannot be measured, or an `out` that holds something else.
    """
    from .run import Run

    settings = _settings(metrics, alpha, tau, sigma, seed, tolerance, max_passes, start, precision)
    named = _named(networks)
    inputs = coerce_inputs(data, masks)
    jobs = {
        name: _Job.prepare(name, network, inputs, layers, cap, device, precision) for name, network in named.items()
    }
    settings["cap"] = {name: job.cap for name, job in jobs.items()}
    SigmaSpace.parse(sigma, inputs.shape)
    if batch_size is not None and batch_size < 1:
        raise InfodiscardError(f"batch_size was {batch_size}; it must be at least 1, or None for the usual one.")
    # Before anything is written: a run that cannot be finished must not take up the directory.
    for job in jobs.values():
        job.check_layers(inputs, settings["tau"])
    plan = _plan(jobs, inputs, settings, block or min(DEFAULT_BLOCK.get(job.device.type, 4) for job in jobs.values()))
    effort = Effort(tolerance=tolerance, max_passes=max_passes)
    with Run.resume_or_create(plan, out, **inputs.pictures()) as run, _progress(progress, run) as advance:
        for unit in run.pending():
            begin = _before(run, unit) if start == "before" else None
            run.write(unit, _measured(jobs[unit.network], unit, inputs, settings, effort, batch_size, begin))
            advance(unit)
    return run


def _settings(
    metrics: Sequence[str],
    alpha: float,
    tau: float | str,
    sigma: str,
    seed: int,
    tolerance: float,
    max_passes: int,
    start: str,
    precision: str,
) -> dict[str, Any]:
    """Returns the settings that define a run, checked."""
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise InfodiscardError(f"metrics was {metrics}; what can be measured is {', '.join(METRICS)}.")
    if isinstance(tau, str):
        if tau not in TAU_PRESETS:
            raise InfodiscardError(f"tau was '{tau}'; give a variance, 'paper' (0.01) or 'code' (0.0001).")
        tau = TAU_PRESETS[tau]
    numbers: dict[str, float] = {"alpha": alpha, "tau": tau, "tolerance": tolerance, "max_passes": max_passes}
    for name, value in numbers.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise InfodiscardError(f"{name} was {value}; it must be a positive number.")
    if max_passes < MIN_PASSES:
        raise InfodiscardError(f"max_passes was {max_passes}; a measurement needs at least {MIN_PASSES}.")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InfodiscardError(f"seed was {seed!r}; it must be a whole number.")
    for name, word, allowed in (("start", start, STARTS), ("precision", precision, PRECISIONS)):
        if word not in allowed:
            raise InfodiscardError(f"{name} was {word!r}; it can be {' or '.join(map(repr, allowed))}.")
    return {"metrics": metrics, "sigma": sigma, "seed": seed, "start": start, "precision": precision, **numbers}


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


@dataclass(frozen=True)
class _Job:
    """One network, ready to be measured."""

    network: Network
    module: nn.Module
    layers: tuple[str, ...]
    cap: float
    device: torch.device
    dtype: torch.dtype
    precision: str

    @classmethod
    def prepare(
        cls,
        name: str,
        network: Network,
        inputs: Inputs,
        layers: Sequence[str] | Mapping[str, Sequence[str]] | None,
        cap: float | str,
        device: str | torch.device | None,
        precision: str,
    ) -> _Job:
        """Checks a network against the inputs and finds its layers."""
        network.check_size(inputs.shape[1:], name)
        module, where = placed(network.module, device)
        floats = [p.dtype for p in module.parameters() if p.is_floating_point()]
        job = cls(network, module, (), math.nan, where, floats[0] if floats else torch.float32, precision)
        example = job.take(inputs, slice(0, 1)).to(job.dtype)
        wanted = layers.get(name) if isinstance(layers, Mapping) else layers
        known = list_layers(module, example)
        return replace(
            job, layers=choose_layers(known, wanted, network.default_layers, name), cap=inputs.cap(network, cap)
        )

    def take(self, inputs: Inputs, part: slice) -> torch.Tensor:
        """Some of the samples in the network's input space, on its device, in float32 or better."""
        images = inputs.images[part].to(self.device, torch.float64 if self.dtype == torch.float64 else torch.float32)
        return self.network.normalise(images) if self.network.mean is not None else images

    @contextmanager
    def layer(self, address: str) -> Iterator[Probe]:
        """The probe of one layer; the network is left as it was, and errors say which layer they are about."""
        try:
            with untouched(self.module) as module:
                yield Probe(module, address)
        except InfodiscardError as error:
            raise InfodiscardError(f"Layer '{address}' of '{self.network.name}' cannot be measured: {error}") from error

    def distance(self, probe: Probe, samples: torch.Tensor, batch_size: int | None = None) -> FeatureDistance:
        """The feature distance at one layer; only the network itself works in its own precision."""

        def feature(noisy: torch.Tensor) -> torch.Tensor:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                return probe(noisy.to(self.dtype))

        return FeatureDistance(feature, samples, batch_size)

    def check_layers(self, inputs: Inputs, tau: float) -> None:
        """Raises InfodiscardError if a layer is random, mixes samples, is constant or passes no gradient."""
        samples = self.take(inputs, slice(0, 2))
        for address in self.layers:
            with self.layer(address) as probe:
                _check_deterministic(probe, samples.to(self.dtype))
                distance = self.distance(probe, samples[:1])
                noise = SampleNoise(samples[:1], 0, "trial").draw([0], 2)
                values, _ = distance.gradient(torch.zeros(1, dtype=torch.long, device=samples.device), noise * tau**0.5)
                check_variation(values.mean(1))


def _plan(jobs: Mapping[str, _Job], inputs: Inputs, settings: dict[str, Any], block: int) -> Plan:
    """Returns everything that defines the run."""
    from .plan import Plan

    channels, height, width = inputs.shape
    return Plan(
        networks=tuple(jobs),
        layers={name: job.layers for name, job in jobs.items()},
        samples=inputs.names,
        height=height,
        width=width,
        channels=channels,
        settings=settings,
        hashes={f"weights/{name}": weights_hash(job.module) for name, job in jobs.items()} | inputs.hashes(),
        labels=inputs.labels,
        classes=inputs.classes,
        block=block,
    )


def _measured(
    job: _Job,
    unit: Unit,
    inputs: Inputs,
    settings: Mapping[str, Any],
    effort: Effort,
    batch_size: int | None,
    sigma: torch.Tensor | None = None,
) -> dict[str, Any]:
    """Computes one unit of work: the values of some samples at one layer, from `sigma` of the layer before on."""
    part = slice(unit.start, unit.stop)
    samples = job.take(inputs, part)
    space = SigmaSpace.parse(settings["sigma"], inputs.shape)
    with job.layer(unit.layer) as probe:
        distance = job.distance(probe, samples, batch_size)
        start = None if sigma is None else space.mean(sigma.to(samples).log().expand_as(samples))
        solution = maximise_entropy(
            distance, space, settings["alpha"], settings["tau"], job.cap, settings["seed"], effort, start
        )
    masks = None if inputs.masks is None else inputs.masks[part].to(samples.device)
    return {name: value.cpu().numpy() for name, value in _values(solution, space, masks).items()}


def _before(run: Run, unit: Unit) -> torch.Tensor | None:
    """The σ of the same samples at the layer measured before, `n × C or 1 × H × W`; `None` at the first."""
    layers = run.plan.layers[unit.network]
    place = layers.index(unit.layer)
    if place == 0:
        return None
    sigma = torch.from_numpy(run.read(unit.network, layers[place - 1], unit.start, unit.stop, "sigma"))
    return sigma if sigma.ndim == 4 else sigma[:, None]


def _check_deterministic(probe: Probe, samples: torch.Tensor) -> None:
    """Raises InfodiscardError if the feature is random, or depends on the other samples of the batch."""
    with torch.no_grad(), torch.random.fork_rng():
        first, again, alone = probe(samples), probe(samples), probe(samples[:1])
    if not torch.equal(first, again) and not first.isnan().any():
        raise InfodiscardError(
            "its output is random (two passes over the same input differ): switch off what makes it so, usually by "
            "calling model.eval()."
        )
    if first.shape[0] == len(samples):
        scale = first.abs().max().clamp(min=1e-12)
        if (first[:1] - alone).abs().max() > 1e-2 * scale:
            raise InfodiscardError(
                "the feature of an input depends on the other inputs of its batch; a layer must treat each on its own."
            )


def _values(solution: Solution, space: SigmaSpace, masks: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Takes a solution to what a run stores; a leading dimension for the samples."""
    sigma = space.expand(solution.log_sigma.exp())
    entropy = gaussian_entropy(sigma).mean(1)
    values = {
        "sid": entropy.mean((1, 2)),
        "sid_map": entropy,
        "sigma": sigma if space.name == "unit" else sigma[:, 0],
        "feature_distance": solution.distance,
        "feature_distance_se": solution.distance_se,
        "converged": solution.converged,
        "passes": solution.passes,
        "gap": solution.gap,
        "capped_share": solution.capped_share,
        "cap_matters": solution.cap_matters,
    }
    if masks is not None:
        values["concentration"] = concentration(entropy, masks)
    return values


@contextmanager
def _progress(show: bool, run: Run) -> Iterator[Callable[[Unit], None]]:
    """Draws a bar with the time left; yields what to call with each finished unit."""
    units = run.pending()
    if not show or not units:
        yield lambda unit: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} samples × layers"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        done = sum(unit.stop - unit.start for unit in run.plan.units()) - sum(u.stop - u.start for u in units)
        task = bar.add_task(
            f"{units[0].network} {units[0].layer}",
            total=sum(unit.stop - unit.start for unit in run.plan.units()),
            completed=done,
        )
        following = dict(zip(units, [*units[1:], None], strict=True))

        def advance(unit: Unit) -> None:
            after = following[unit]
            text = f"{after.network} {after.layer}" if after else "done"
            bar.update(task, advance=unit.stop - unit.start, description=text)

        yield advance
