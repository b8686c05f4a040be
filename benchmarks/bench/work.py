"""What is computed for one network, layer and noise level, part by part; every part is kept as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from infodiscard.entropy import gaussian_entropy
from infodiscard.noise import SigmaSpace

from . import figures, ours, price, references
from .optimum import Cache, Optimum, best_known, closed_form, ensure, is_linear
from .problem import Problem
from .references import Trail
from .results import JUDGE, OURS, REFERENCES, Case, code_hash, settings_hash

GRID = "grid:16"
WARM_FINE = 128
"""Up to here the warm sweep visits every rung of the ladder, beyond every other: each rung is a sweep of its own."""


@dataclass(frozen=True)
class Config:
    """How much is done; `profile` in `__main__` sets it.

    Attributes:
        reference_passes: gradient passes of a long reference run.
        max_passes: most gradient passes of ours.
        baseline_passes: of Adam.
        grid: λ × rate combinations of the published procedure, its default always among them.
        adam: the same of Adam.
        bounded_seconds: for the bounded procedure, per layer.
        noise_draws: draws per image at which the solver's filter is looked at.
        repeats: turns of the price measurement.
        skip: parts left out.
    """

    reference_passes: int = 20_000
    max_passes: int = 8192
    baseline_passes: int = 2048
    grid: tuple[tuple[float, float], ...] = tuple(references.published_grid())
    adam: tuple[tuple[float, float], ...] = tuple(references.adam_grid())
    bounded_seconds: float = 60.0
    noise_draws: tuple[int, ...] = (64, 256, 1024)
    repeats: int = 3
    skip: frozenset[str] = frozenset()


@dataclass
class Work:
    """One layer at one noise level, and the parts of its results.

    Attributes:
        problem: what is solved.
        case: where the results go.
        cache: where long runs and the warm sweep's σ are kept.
        config: how much is done.
        before: the layers that the warm sweep has visited already.
    """

    problem: Problem
    case: Case
    cache: Cache
    config: Config
    before: tuple[str, ...] = ()
    log: Callable[[str], None] = lambda text: None
    ladder: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.ladder = ours.ladder(self.config.max_passes)

    @property
    def space(self) -> SigmaSpace:
        return self.problem.space()

    @cached_property
    def optimum(self) -> Optimum:
        """The best solution known."""
        return best_known(self.cache, self.case.layer, self.problem)

    @property
    def most(self) -> int:
        """Where a climb ends at the latest: at six times the sampling-noise floor, but not before 512 passes."""
        floor = max(figures.floors(self.case)) if "noise" in self.case.parts else figures.INFINITY
        return int(min(self.config.max_passes, max(512, 6 * floor)))

    @property
    def short(self) -> float:
        """The gap at which a climb may end: below 0.01 where that has a bar, below 0.02 elsewhere."""
        near = figures.stage(self.case.layer)
        return 0.006 if near is not None and near <= 1 else 0.012

    def compute(self) -> None:
        """Computes whatever is wanted and not there yet."""
        ensure(self.cache, self.case.layer, self.problem, self.config.reference_passes)
        ours_code = {"code": code_hash(OURS)}
        theirs = {"code": code_hash(REFERENCES)}
        config = self.config
        files = self.cache.files(self.case.layer, self.problem)
        top = {"code": code_hash(JUDGE), "files": [path.name for path in files]}
        jobs: list[tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]] = [
            ("optimum", top, self._optimum),
            ("noise", ours_code | {"draws": config.noise_draws}, self._noise),
            ("cold", ours_code | {"most": config.max_passes}, self._cold),
            ("solve", ours_code | {"tolerance": 0.02}, self._solve),
            ("published", theirs | {"grid": config.grid}, self._published),
            ("grid", ours_code | {"grid": config.grid, "theirs": theirs["code"]}, self._grid),
            ("adam", theirs | {"runs": config.adam, "passes": config.baseline_passes}, self._adam),
            ("bounded", theirs | {"seconds": config.bounded_seconds}, self._bounded),
            ("price", ours_code | {"repeats": config.repeats, "tolerance": 0.03}, self._price),
        ]
        for name, settings, work in jobs:
            if name not in config.skip and not (name == "grid" and "published" in config.skip):
                since = time.perf_counter()
                self.case.part(name, settings, work)
                self.log(f"{name} {time.perf_counter() - since:.0f} s")

    def _optimum(self) -> dict[str, Any]:
        best = self.optimum
        uniform = self.problem.entropy(self.problem.uniform(self.space), self.space)
        exact = {}
        if is_linear(self.problem):
            entropy = self.problem.entropy(closed_form(self.problem), self.space)
            exact = {"closed_form": entropy.tolist()}
        return exact | {
            "entropy": best.entropy.tolist(),
            "passes": best.passes.tolist(),
            "spread": best.spread.tolist(),
            "uniform": uniform.tolist(),
        }

    def _noise(self) -> dict[str, Any]:
        return ours.sampling_noise(self.problem, self.optimum.log_sigma, self.config.noise_draws)

    def _gap(self, log_sigma: torch.Tensor) -> torch.Tensor:
        best = torch.tensor(self.case.parts["optimum"]["entropy"], device=log_sigma.device)
        return best - self.problem.entropy(log_sigma, self.space)

    def _cold(self) -> dict[str, Any]:
        low, seen = self.short, []

        def enough(trail: Trail, _estimate: torch.Tensor) -> bool:
            seen.append(float(self._gap(trail.places[-1]).max()))
            return len(seen) > 4 and max(seen[-2:]) < low

        rungs = [rung for rung in self.ladder if rung <= self.most]
        trail, estimates = ours.climb(self.problem, self.space, rungs, enough=enough)
        return self._judged(trail) | {"estimate": [row.tolist() for row in estimates]}

    def _judged(self, trail: Trail, space: SigmaSpace | None = None) -> dict[str, Any]:
        """A trail's entropies at equal constraint, and seconds per image."""
        where = space or self.space
        return {
            "passes": trail.passes,
            "seconds": [seconds / len(self.problem.inputs) for seconds in trail.seconds],
            "entropy": [self.problem.entropy(place, where).tolist() for place in trail.places],
        }

    def _solve(self) -> dict[str, Any]:
        found = ours.solve(self.problem, 0.02, 5000)
        return {
            "seconds": found.seconds / len(self.problem.inputs),
            "passes": found.passes.tolist(),
            "forwards": found.forwards.tolist(),
            "estimate": found.solution.gap.tolist(),
            "converged": found.solution.converged.tolist(),
            "entropy": self.problem.entropy(found.solution.log_sigma, self.space).tolist(),
        }

    def _published(self) -> dict[str, Any]:
        space, default = self.problem.space(GRID), (references.LAMBDA, 1.0)
        runs = [self._published_run(space, *setting) for setting in dict.fromkeys((default, *self.config.grid))]
        uniform = self.problem.entropy(self.problem.uniform(space), space)
        return {"runs": runs, "uniform": uniform.tolist()}

    def _published_run(self, space: SigmaSpace, penalty: float, rate: float) -> dict[str, Any]:
        found = references.published(self.problem, space, penalty, rate)
        run = {"lambda": penalty, "rate": rate, "chosen_step": found.chosen_steps.tolist()}
        for rule, place in (("chosen", found.chosen), ("last", found.trail.places[-1])):
            run[rule] = self.problem.entropy(place, space).tolist()
            run[f"raw_{rule}"] = gaussian_entropy(place.exp()).mean((1, 2, 3)).tolist()
        return run | {
            "passes": found.trail.passes[-1],
            "seconds": found.trail.seconds[-1] / len(self.problem.inputs),
        }

    def _grid(self) -> dict[str, Any]:
        """Ours on the published procedure's grid, until it is past the best of that on every image."""
        space = self.problem.space(GRID)
        wanted = torch.tensor(figures.best_published(self.case.parts["published"])["entropy"])
        past: list[bool] = []

        def enough(trail: Trail, _estimate: torch.Tensor) -> bool:
            entropy = self.problem.entropy(trail.places[-1], space).cpu()
            past.append(bool((entropy >= wanted).all()))
            return len(past) > 5 and all(past[-3:])

        passes = [rung for rung in self.ladder if rung <= 1024]
        return self._judged(ours.climb(self.problem, space, passes, enough=enough)[0], space)

    def _adam(self) -> dict[str, Any]:
        passes = [p for p in (64, 128, 256, 512, 1024, 2048, 4096, 8192) if p <= self.config.baseline_passes]
        runs = []
        for penalty, rate in self.config.adam:
            trail = references.adam(self.problem, self.space, penalty, rate, passes)
            runs.append({"lambda": penalty, "rate": rate} | self._judged(trail))
        return {"runs": runs}

    def _bounded(self) -> dict[str, Any]:
        rungs = [64, 256, 1024, 2048]
        found = references.bounded(self.problem, self.space, self.config.bounded_seconds, rungs)
        kept = self.problem.entropy(found.kept, self.space)
        return self._judged(found.trail) | {"kept": kept.tolist()}

    def _price(self) -> dict[str, Any]:
        captum = "captum" not in self.config.skip
        found = price.prices(self.problem, 0.03, 1024, self.config.repeats, captum)
        found["entropy"] = self.problem.entropy(found.pop("log_sigma"), self.space).tolist()
        return found

    # -- the warm sweep --------------------------------------------------------------------------------------------

    def warm(self, starts: dict[int, torch.Tensor], measured: bool) -> dict[int, torch.Tensor]:
        """One layer of the warm sweeps, one sweep for each number of passes.

        Args:
            starts: log σ of the layer before by the passes spent on every layer; empty for the first, which starts
                cold.
            measured: the layer's own gap is wanted; one that is only passed through has none and costs no judging.

        Returns:
            log σ here by passes. A sweep that is well past its aim here goes on from there, as an adaptive one would.
        """
        settings = {"code": code_hash(OURS), "before": self.before, "most": self.config.max_passes}
        file = self._warm_file(settings)

        def work() -> dict[str, Any]:
            trail = self._sweep(starts, measured)
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({str(p): place.cpu() for p, place in zip(trail.passes, trail.places, strict=True)}, file)
            return {"first": not starts} | (self._judged(trail) if measured else {"passes": trail.passes})

        self.case.part("warm", settings, work, force=not file.is_file())
        held = load_file(file)
        return {int(passes): held[passes].to(self.problem.inputs) for passes in sorted(held, key=int)}

    def _warm_file(self, settings: dict[str, Any]) -> Path:
        key = settings_hash(settings | self.case.settings)
        return self.cache.folder / f"warm-{self.case.network}-{self.case.layer}-{self.case.root:g}-{key}.safetensors"

    def _sweep(self, starts: dict[int, torch.Tensor], measured: bool) -> Trail:
        whole, seen = Trail(), list[float]()
        for passes in self._warm_rungs():
            start = starts.get(passes, starts[max(starts)] if starts else None)
            trail, _ = ours.climb(self.problem, self.space, [passes], start)
            whole.passes.append(passes)
            whole.places.append(trail.places[-1])
            whole.seconds.append(trail.seconds[-1])
            if measured:
                seen.append(float(self._gap(trail.places[-1]).max()))
                if len(seen) > 4 and max(seen[-2:]) < self.short:
                    break
            elif starts and passes >= max(starts):
                break
        return whole

    def _warm_rungs(self) -> list[int]:
        coarse = [p for p in self.ladder if p > WARM_FINE and p & (p - 1) == 0]
        return [p for p in self.ladder if p <= min(WARM_FINE, self.most)] + [p for p in coarse if p <= self.most]
