"""What is promised of every measurement, and how much of each allowance a case uses."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

import infodiscard
from infodiscard.core.kinds import LAYOUTS

from .cases import SAMPLES, Case
from .judge import DRAWS, MOST, Bound, Feature, at_constraint, entropy, improved, uniform

PASSES = 400
"""Most passes of a measurement."""

DISTANCE = 0.08
"""Most relative miss of α by a value called converged, beyond three standard errors of the judge."""

BELOW = 0.02
"""Nats by which the stated interval may end below a σ that the judge has found."""

SAME = 1e-3
"""Nats, or share of a distance, within which two values are the same but for rounding."""

ROUNDING = 1e-5
"""Change of a feature, relative to its size, that may be rounding alone."""

SIGMAS = 4.0
"""Standard errors within which the values of two seeds have to lie."""

PROMISES = {
    "distance": "a converged value has the distance α",
    "uniform": "the stated interval reaches the uniform σ",
    "blocks": "the stated interval reaches any σ that a search without gradients finds",
    "unit": "a feature of another unit has the same values",
    "company": "so have samples in another order, batch and company, unless rounding alone moves the feature",
    "seed": "other noise gives the same value within the stated errors",
    "sound": "σ is positive and below the cap, its mean log is the SID; no value is missing but where nothing is felt",
    "untouched": "network, inputs and random generators stay as they were",
    "error": "what cannot be measured is refused in a sentence",
}
"""Name of a promise → what it says."""


@dataclass
class Verdict:
    """How a case came out.

    Attributes:
        case: what was measured.
        status: `measured`, `failed` (no sample has a value) or `refused`.
        words: of a refusal or of an error, and of broken promises.
        values: samples that have a value.
        converged: those of them that are called converged.
        used: promise → largest share of its allowance that was used; above 1 it is broken.
    """

    case: Case
    status: str = "measured"
    words: list[str] = field(default_factory=list)
    values: int = 0
    converged: int = 0
    used: dict[str, float] = field(default_factory=dict)

    def note(self, promise: str, used: float, words: str) -> None:
        """Notes how much of a promise's allowance was used, and in words where that is all of it."""
        used = math.inf if math.isnan(used) else used
        self.used[promise] = max(self.used.get(promise, 0.0), used)
        if used > 1:
            self.words.append(f"{promise}: {words}")

    @property
    def broken(self) -> list[str]:
        """The promises that are broken."""
        return [name for name, used in self.used.items() if used > 1]


def judged(case: Case, thorough: bool = True) -> Verdict:
    """Measures a case and holds the results against the promises.

    Args:
        case: what is measured.
        thorough: whether to test the dear promises too: `blocks`, `unit` and `seed`.
    """
    verdict, network, x = Verdict(case), case.network(), case.inputs()
    measurement = _guarded(verdict, case, network, x)
    if measurement is None:
        verdict.status = "refused"
        return verdict
    verdict.values = int(np.isfinite(measurement.of("sid")).sum())
    verdict.converged = int(measurement.of("converged").sum())
    verdict.status = "measured" if verdict.values else "failed"
    for row in range(SAMPLES):
        _judge_sample(verdict, measurement, row, thorough and row == 0)
    if verdict.values:
        _judge_again(verdict, measurement, thorough)
    return verdict


@dataclass(frozen=True)
class Measurement:
    """A run of one case, and what it was made of.

    Attributes:
        case, network, x: what was measured.
        values: variable of the run → its values, samples first.
    """

    case: Case
    network: nn.Module
    x: torch.Tensor
    values: dict[str, np.ndarray]

    def cap(self, row: int) -> float:
        """Largest σ of a sample: ten times its own range, which counts as ten times the small noise at least."""
        return 10 * max(float(self.x[row].max() - self.x[row].min()), 10 * self.case.tau**0.5)

    def of(self, name: str) -> np.ndarray:
        """A variable of the run, samples first."""
        return self.values[name]

    def sigma(self, row: int) -> torch.Tensor:
        """σ of a sample, shaped as its input."""
        layout, shape = LAYOUTS[self.case.kind], self.x.shape[1:]
        sigma = layout.unchart(torch.from_numpy(self.of("sigma")[row]))
        whole = sigma if self.case.sigma == "unit" else sigma[None]
        inside = whole.expand(layout.inside(self.x).shape[1:])
        return layout.outside(inside[None])[0].reshape(shape)

    def parameters(self) -> torch.Tensor:
        """Number of the parameter of σ behind each element of an input."""
        layout = LAYOUTS[self.case.kind]
        channels, height, width = layout.inside(self.x).shape[1:]
        planes = channels if self.case.sigma == "unit" else 1
        numbers = torch.arange(planes * height * width).view(planes, height, width).expand(channels, -1, -1)
        return layout.outside(numbers[None])[0]


def _measured(case: Case, network: nn.Module, x: torch.Tensor, **options: Any) -> Measurement:
    """Measures the network's output on inputs x."""
    settings = {"sigma": case.sigma, "alpha": case.alpha, "tau": case.tau, "tolerance": case.tolerance}
    settings |= {"kind": case.kind, "max_passes": PASSES, "progress": False}
    run = infodiscard.measure(network, x, ["output"], **(settings | options))
    # Read once: every reading of a run's data set costs more than a search here.
    values = {name: each.values[0, 0] for name, each in run.dataset.load().items() if each.dims[0] == "network"}
    return Measurement(case, network, x, values)


# ---- what a measurement leaves behind --------------------------------------------------------------------------------


def _surroundings(network: nn.Module, x: torch.Tensor) -> dict[str, object]:
    """All that must not change: of the network, of its inputs and of the process."""
    tensors = dict(network.state_dict(keep_vars=True)) | {"inputs": x}
    return {
        "tensors": {name: (id(each), each.detach().numpy().tobytes()) for name, each in tensors.items()},
        "gradients": {name: (each.requires_grad, each.grad is None) for name, each in network.named_parameters()},
        "attributes": {name: _attributes(module) for name, module in network.named_modules()},
        "classes": [type(module) for module in network.modules()],
        "random": random.getstate(),
        "numpy": repr(np.random.get_state()),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "settings": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
    }


def _attributes(module: nn.Module) -> dict[str, str]:
    """A module's own attributes in words: hooks, flags, and whatever else it holds."""
    return {name: repr(value) for name, value in vars(module).items() if name not in ("_parameters", "_buffers")}


def _guarded(verdict: Verdict, case: Case, network: nn.Module, x: torch.Tensor, **options: Any) -> Measurement | None:
    """Measures under watch; returns `None` where that was refused or ended in an error."""
    before, measurement = _surroundings(network, x), None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            measurement = _measured(case, network, x, **options)
        verdict.note("error", 0.0, "")
    except infodiscard.InfodiscardError as error:
        verdict.words.append(f"refused: {error}")
        verdict.note("error", 0.0, "")
    except Exception as error:  # what else there may be is what is looked for
        verdict.note("error", math.inf, f"{type(error).__name__}: {error}")
    after = _surroundings(network, x)
    changed = [name for name in before if before[name] != after[name]]
    verdict.note("untouched", math.inf if changed else 0.0, f"changed: {', '.join(changed)}")
    return measurement


# ---- one sample against the judge ------------------------------------------------------------------------------------


def _judge_sample(verdict: Verdict, measurement: Measurement, row: int, thorough: bool) -> None:
    """Holds the values of a sample against the judge."""
    case, cap = verdict.case, measurement.cap(row)
    feature = Feature(measurement.network, measurement.x[row], case.tau)
    sid, failure = float(measurement.of("sid")[row]), int(measurement.of("failure")[row])
    reacting = feature.reacts(DRAWS, 11) or feature.reacts(MOST, 12)
    verdict.note(
        "sound",
        math.inf if (reacting == 0 and math.isfinite(sid)) or (failure > 0) != math.isnan(sid) else 0.0,
        f"sample {row}: SID {sid:.3f} and failure {failure} where {reacting:.1%} of small noises move the feature",
    )
    verdict.note("sound", math.inf if failure and _felt(feature) else 0.0, f"sample {row}: failed, but it reacts")
    if not math.isfinite(sid) or reacting == 0:
        return
    sigma = measurement.sigma(row)
    worth = entropy(sigma) if bool((sigma > 0).all()) else math.nan
    highest = float(sigma.max()) / cap - 1
    verdict.note("sound", abs(worth - sid) / 1e-4, f"sample {row}: σ has entropy {worth:.4f}, SID is {sid:.4f}")
    verdict.note("sound", highest / 1e-4, f"sample {row}: σ is {highest:.2%} above the cap")
    for name, used, words in _bounds(measurement, feature, sigma, row, thorough):
        verdict.note(name, used, f"sample {row}: {words}")


def _felt(feature: Feature) -> bool:
    """Whether a feature reacts to one small noise in ten, and by more than rounding does."""
    return feature.reacts(DRAWS, 11, ROUNDING) > 0.1


def _bounds(
    measurement: Measurement, feature: Feature, sigma: torch.Tensor, row: int, thorough: bool
) -> Iterator[tuple[str, float, str]]:
    """Yields the promises about the distance and the interval of a sample: name, share of the allowance, words."""
    alpha, cap = measurement.case.alpha, measurement.cap(row)
    if measurement.of("converged")[row]:
        used, words = _distance_used(feature, sigma, alpha, 21)
        if used > 1:  # once more, on many other draws
            used, words = _distance_used(feature, sigma, alpha, 22, MOST)
        yield "distance", used, f"{words}, stated {measurement.of('feature_distance')[row]:.3f}"
    yield "uniform", *_interval_used(measurement, row, lambda draws, seed: uniform(feature, alpha, cap, draws, seed))
    if thorough:
        better = improved(feature, sigma, measurement.parameters(), alpha, cap, 31)
        yield (
            "blocks",
            *_interval_used(
                measurement, row, lambda draws, seed: at_constraint(feature, better, alpha, cap, draws, seed)
            ),
        )


def _distance_used(
    feature: Feature, sigma: torch.Tensor, alpha: float, seed: int, draws: int = DRAWS
) -> tuple[float, str]:
    """Share of the allowance that a converged value's distance uses, and that distance in words."""
    ratio = feature.ratio(sigma, draws, seed, wanted=0.01)
    used = abs(ratio.value - alpha) / (DISTANCE * alpha + 3 * ratio.se)
    return used, f"distance {ratio.value:.3f} ± {ratio.se:.3f} for α = {alpha}"


def _interval_used(measurement: Measurement, row: int, bound: Callable[[int, int], Bound]) -> tuple[float, str]:
    """Share of the allowance by which a sample's stated interval ends below a bound; anything goes where none is."""
    sid, gap, corrected, se = (
        float(measurement.of(name)[row]) for name in ("sid", "gap", "sid_corrected", "sid_corrected_se")
    )
    ends = {"SID + gap": sid + gap, "corrected + 2 se": corrected + 2 * se}
    name, end = min(ends.items(), key=lambda each: each[1] if math.isfinite(each[1]) else math.inf)
    if not math.isfinite(end):
        return 0.0, ""
    found = bound(DRAWS, 41)
    if end + BELOW + 3 * found.se < found.value:  # once more, on many other draws
        found = bound(MOST, 42)
    state = "converged" if measurement.of("converged")[row] else "not converged"
    words = f"{name} = {end:.3f} ({state}, SID {sid:.3f}) where {found.value:.3f} ± {found.se:.3f} is reached"
    return (found.value - end) / (BELOW + 3 * found.se), words


# ---- measured again --------------------------------------------------------------------------------------------------


def _judge_again(verdict: Verdict, first: Measurement, thorough: bool) -> None:
    """Measures again in another order, batch and company; if `thorough` also in another unit, and with another seed."""
    case, network, x = verdict.case, first.network, first.x
    order, everyone = [2, 0], list(range(SAMPLES))
    again = _guarded(verdict, case, network, x[order], batch_size=5)
    _compare_exactly(verdict, "company", first, again, order)
    if thorough:
        power = 2.0 ** random.Random(case.number).choice((-20, -3, 5, 24))
        other = nn.Sequential(network, _Times(power)).eval()
        _compare_exactly(verdict, "unit", first, _guarded(verdict, case, other, x), everyone)
        _compare_seeds(verdict, first, _guarded(verdict, case, network, x, seed=1))


class _Times(nn.Module):
    """A change of the feature's unit."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiplies by the factor."""
        return x * self.factor


def _compare_exactly(
    verdict: Verdict, promise: str, first: Measurement, again: Measurement | None, order: list[int]
) -> None:
    """Compares values that should be the same but for rounding; `order`: the samples of `again`, `None` if refused.

    In some networks, steps amplify rounding fiftyfold each: what has not converged may differ within its errors.
    """
    errors = {
        "sid": ("gap", 1),
        "sid_corrected": ("sid_corrected_se", 2),
        "feature_distance": ("feature_distance_se", 2),
    }
    for place, row in enumerate(order):
        if not _felt(Feature(first.network, first.x[row], first.case.tau)):
            continue  # what rounding decides is nobody's fault
        for name, (error, times) in errors.items():
            old, new = float(first.of(name)[row]), float(again.of(name)[place]) if again else math.nan
            same = old == new or (math.isnan(old) and math.isnan(new))
            slack = 0.0 if first.of("converged")[row] else times * float(first.of(error)[row])
            slack = slack if math.isfinite(slack) else math.inf
            used = 0.0 if same or slack == math.inf else abs(old - new) / (SAME * max(1.0, abs(old)) + slack)
            verdict.note(promise, used, f"sample {row}: {name} {old:.5f}, then {new:.5f}")


def _compare_seeds(verdict: Verdict, first: Measurement, again: Measurement | None) -> None:
    """Compares the corrected values that two seeds call converged."""
    both = first.of("converged") & again.of("converged") if again else ()
    for row in np.flatnonzero(both):
        old, new = float(first.of("sid_corrected")[row]), float(again.of("sid_corrected")[row])
        se = math.hypot(float(first.of("sid_corrected_se")[row]), float(again.of("sid_corrected_se")[row]))
        used = abs(old - new) / (SIGMAS * se + SAME)
        verdict.note("seed", used, f"sample {row}: {old:.3f}, then {new:.3f}, with a standard error of {se:.3f}")
