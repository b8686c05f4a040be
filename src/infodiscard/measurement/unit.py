"""Unit of work: what a run stores of some samples at one layer of one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ..core.metrics import METRICS, all_variables
from ..core.metrics.variable import FAILURES
from ..core.settings import Settings
from ..data.inputs import Inputs, sample_caps
from ..errors import NotCalledError, SampleError
from ..networks.probe import Probe
from ..solver.correction import contrast
from ..solver.effort import Effort
from ..solver.entropy import concentration, gaussian_entropy
from ..solver.feature_distance import FeatureDistance
from ..solver.problem import Problem
from ..solver.ru import Reconstruction, ReconstructionProblem, maximise_reconstruction_error
from ..solver.sid import Solution, maximise_entropy
from ..solver.sigma_space import SigmaSpace
from ..solver.stage import Snapshot, Stage, Watch
from .prepared_network import PreparedNetwork
from .rounding import check_noise

Values = dict[str, torch.Tensor]
"""Variable of the run → its values, samples first."""

Pass = Callable[[torch.Tensor, torch.Tensor], object]
"""A forward and backward pass of noisy inputs: their samples' rows, `m`, and their noise, `m × C × H × W`."""


@dataclass(frozen=True)
class Follower:
    """Who follows the measurement of one unit.

    Attributes:
        tell: is told every stage, with the metric and the names of the samples that it is of.
        kept: returns the snapshot that an interrupted measurement of the unit has left of a metric and just these
            samples, if there is one.
    """

    tell: Callable[[str, tuple[str, ...], Stage], None]
    kept: Callable[[str, tuple[str, ...]], Snapshot | None]


@dataclass(frozen=True)
class LayerSamples:
    """Samples of one extent at one layer.

    Attributes:
        network: of the layer.
        probe: of the layer.
        part: the samples, n of them.
        settings: of the run.
        batch_size: noisy inputs in one forward pass.
        sigma: of the layer before, where the search for SID begins, `n × C or 1 × H × W`.
        follower: of the measurement.
    """

    network: PreparedNetwork
    probe: Probe
    part: Inputs
    settings: Settings
    batch_size: int | None = None
    sigma: torch.Tensor | None = None
    follower: Follower | None = None

    @property
    def space(self) -> SigmaSpace:
        """Where σ is free."""
        return SigmaSpace.parse(self.settings.sigma, self.part.shape)

    @property
    def masks(self) -> torch.Tensor | None:
        """True on the object, `n × H × W`, on the network's device."""
        return None if self.part.masks is None else self.part.masks.to(self.network.device)

    @property
    def task(self) -> tuple[SigmaSpace, float, float, float | torch.Tensor, int]:
        """What every solver takes: the space of σ, α, τ, the cap (one number or `n`) and the seed."""
        alpha, tau = self.settings.alpha, self.settings.tau
        caps = sample_caps(self.network.normalised(self.part), self.network.cap, alpha, tau)
        return self.space, alpha, tau, caps, self.settings.seed

    def watch(self, metric: str) -> Watch | None:
        """Who is told the stages of a search."""
        return None if self.follower is None else partial(self.follower.tell, metric, self.part.names)

    def snapshot(self, metric: str) -> Snapshot | None:
        """Where the search was when it was interrupted."""
        return None if self.follower is None else self.follower.kept(metric, self.part.names)

    def effort(self, metric: str) -> Effort:
        """How hard to search."""
        return Effort(self.settings.tolerance, self.settings.max_passes[metric])


@dataclass(frozen=True)
class MetricSolver:
    """How one metric is computed.

    Attributes:
        solve: computes the run's variables.
        one_pass: returns the objective, and a pass of it that can be timed.
    """

    solve: Callable[[LayerSamples], Values]
    one_pass: Callable[[LayerSamples], tuple[FeatureDistance, Pass]]


def measured(
    network: PreparedNetwork,
    layer: str,
    samples: Inputs,
    settings: Settings,
    batch_size: int | None = None,
    sigma: torch.Tensor | None = None,
    follower: Follower | None = None,
) -> dict[str, np.ndarray]:
    """Computes one unit of work.

    Args:
        network: of the layer.
        layer: its address.
        samples: of the unit.
        settings: of the run's plan.
        batch_size: noisy inputs in one forward pass.
        sigma: of the layer before, from which the search for SID begins, `n × C or 1 × H × W`.
        follower: of the measurement.

    Returns:
        Variable of the run → its values, samples first; NaN on padding, and where `failure` says why.
    """
    readable = samples.readable()
    failure = np.full(len(samples.names), FAILURES.index("input_unreadable"), np.uint8)
    failure[readable] = 0
    failure[network.not_calling(layer, samples.names)] = FAILURES.index("layer_not_called")
    able = np.flatnonzero(failure == 0).tolist()
    whole: dict[str, np.ndarray] = {"failure": failure}
    groups = [([able[i] for i in places], columns, part) for places, columns, part in samples.unpadded(able)]
    if network.calls:  # which way a batch takes must not depend on who is in it
        groups = [one for group in groups for one in _singles(*group)]
    with network.layer(layer) as probe:
        while groups:
            places, columns, part = groups.pop()
            before = None if sigma is None else sigma[places][..., columns]
            at, values = LayerSamples(network, probe, part, settings, batch_size, before, follower), Values()
            try:
                check_noise(network, part, settings.tau)
                for metric in settings.metrics:
                    values |= SOLVERS[metric].solve(at)
            except SampleError as error:
                failure[[places[row] for row in error.rows]] = FAILURES.index(error.reason)
                rest = [row for row in range(len(places)) if row not in error.rows]
                groups += [([places[row] for row in rest], columns, part.part(rest))] if rest else []
                continue
            except NotCalledError:
                if len(places) > 1:
                    groups += _singles(places, columns, part)
                else:
                    failure[places] = FAILURES.index("layer_not_called")
                continue
            for name, value in values.items():
                _put(whole, name, value.cpu().numpy(), samples, (places, columns))
    _withdraw(whole, failure)
    return whole


def _singles(places: list[int], columns: slice, part: Inputs) -> list[tuple[list[int], slice, Inputs]]:
    """Splits a group of samples into groups of one."""
    return [([place], columns, part.part([row])) for row, place in enumerate(places)]


def passes_of(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the passes of each sample of a unit, those of all metrics together, `n`."""
    names = [metric.own("passes") for metric in METRICS.values()]
    return sum((values[name].astype(int) for name in names if name in values), np.zeros(1, int))


def _put(
    whole: dict[str, np.ndarray], name: str, value: np.ndarray, samples: Inputs, at: tuple[list[int], slice]
) -> None:
    """Puts some samples' values, at these places and columns, among those of all `samples`."""
    (places, columns), count = at, len(samples.names)
    wide = "x" in all_variables()[name].dims
    value = samples.layout.chart(value) if wide else value
    shape = (count, *value.shape[1:-1], samples.shape[2]) if wide else (count, *value.shape[1:])
    if name not in whole:
        whole[name] = np.full(shape, np.nan if value.dtype.kind == "f" else 0, value.dtype)
    whole[name][(places, ..., columns) if wide else places] = value


def _withdraw(values: Mapping[str, np.ndarray], failure: np.ndarray) -> None:
    """Withdraws the values of samples whose distance overflowed on the way, and notes why."""
    scalars = [value for name, value in values.items() if name in METRICS or name.endswith("feature_distance")]
    for value in scalars:
        failure[~np.isfinite(value) & (failure == 0)] = FAILURES.index("feature_not_finite")
    for name, value in values.items():
        if name != "failure":
            value[failure > 0] = np.nan if value.dtype.kind == "f" else 0


def _stored(sigma: torch.Tensor, space: SigmaSpace) -> torch.Tensor:
    """σ as a run holds it: with a dimension for the channels only where they differ."""
    return sigma if space.name == "unit" else sigma[:, 0]


def _rounded(noise: torch.Tensor) -> torch.Tensor:
    """Rounds to 8 bits, which is all that noise has to say: the others are zeros, which take no space in a store."""
    return noise.bfloat16().float()


def sid_variables(solution: Solution, space: SigmaSpace, masks: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Returns what a run stores of the SID of n samples; masks, `n × H × W`, are true on the object."""
    sigma = space.expand(solution.log_sigma.exp())
    entropy = gaussian_entropy(sigma).mean(1)
    mean, shift_se = entropy.mean((1, 2)), space.expand(solution.shift_se)
    values = {
        "sid": mean,
        "sid_corrected": mean + solution.correction,
        "sid_corrected_se": solution.correction_se,
        "sid_map": entropy,
        "correction_map": _rounded(space.expand(solution.shift).mean(1)),
        "correction_se_map": _rounded(shift_se.square().sum(1).sqrt() / shift_se.shape[1]),
        "sigma": _stored(sigma, space),
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
        missing, error = contrast(solution.shift, solution.shift_se, solution.correction, space, masks)
        unsafe = solution.correction.isnan()
        values["concentration_corrected"] = (values["concentration"] + missing).masked_fill(unsafe, torch.nan)
        values["concentration_corrected_se"] = error.masked_fill(unsafe, torch.nan)
    return values


def ru_variables(solution: Reconstruction, space: SigmaSpace, masks: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Returns what a run stores of the RU of n samples; masks, `n × H × W`, are true on the object."""
    entropy, floor = solution.entropy.mean(1), solution.floor.mean(1)
    values = {
        "ru": entropy.mean((1, 2)),
        "ru_map": entropy,
        "ru_floor": floor.mean((1, 2)),
        "ru_floor_map": floor,
        "ru_sigma": _stored(space.expand(solution.log_sigma.exp()), space),
        "ru_feature_distance": solution.distance,
        "ru_feature_distance_se": solution.distance_se,
        "ru_converged": solution.converged,
        "ru_passes": solution.passes,
        "ru_gap": solution.gap,
    }
    if masks is not None:
        values["ru_concentration"] = concentration(entropy, masks)
    return values


def _solve_sid(at: LayerSamples) -> Values:
    """Maximises the entropy."""
    distance = at.network.distance(at.probe, at.part, at.batch_size)
    samples, start = distance.inputs, None
    if at.sigma is not None:
        start = at.space.mean(at.sigma.to(samples).log().expand_as(samples))
    problem, watch, snapshot = Problem(distance, *at.task), at.watch("sid"), at.snapshot("sid")
    solution = maximise_entropy(problem, at.effort("sid"), start, watch, snapshot)
    return sid_variables(solution, at.space, at.masks)


def _sid_pass(at: LayerSamples) -> tuple[FeatureDistance, Pass]:
    distance = at.network.distance(at.probe, at.part, at.batch_size)
    return distance, distance.gradient


def _solve_ru(at: LayerSamples) -> Values:
    """Maximises the reconstruction error."""
    error = at.network.reconstruction(at.probe, at.part, at.batch_size)
    problem = ReconstructionProblem(error, *at.task)
    values = ru_variables(maximise_reconstruction_error(problem, at.effort("ru"), at.watch("ru")), at.space, at.masks)
    return values | {"reconstruction": at.part.shown(at.network.as_images(error.restored()).cpu())}


def _ru_pass(at: LayerSamples) -> tuple[FeatureDistance, Pass]:
    error = at.network.reconstruction(at.probe, at.part, at.batch_size)
    ones = torch.ones_like(error.inputs)
    return error, lambda rows, noise: error.slopes(rows, noise, ones, noise)


SOLVERS = {"sid": MetricSolver(_solve_sid, _sid_pass), "ru": MetricSolver(_solve_ru, _ru_pass)}
"""Metric → how it is computed."""
