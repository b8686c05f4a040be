"""Computation of one network, layer and noise level, part by part; every part is stored as soon as it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from infodiscard.solver.effort import Effort
from infodiscard.solver.entropy import gaussian_entropy
from infodiscard.solver.sigma_space import SigmaSpace

from . import corrected, figures, ours, price, references
from .judge import JudgedProblem, Snapshot
from .optimum import Cache, best_known, ensure
from .results import JUDGE, OURS, REFERENCES, TRUTH, Case, code_hash, settings_hash

GRID = "grid:16"

TOLERANCE = Effort().tolerance
"""Of whole solves: the default."""

WARM_FINE, WARM_UNSEEN = 128, 512
"""Up to the first the warm sweep visits every rung of the ladder, beyond it every other: each rung is a sweep of its
own. Up to the second it visits the layer that it begins with, where there is nothing to judge."""

REFERENCE_FLOORS = 4
"""Length of a reference in units of the floor of a gap of 0.02: its own gap is a quarter of that."""


@dataclass(frozen=True)
class Config:
    """How much is done; `--profile` chooses one, single options change it.

    Attributes:
        samples: images, from the first.
        tau: variances of the noise behind δ_f².
        between: layers that the warm sweep passes through besides the measured ones.
        judge_draws: noisy inputs per image on which an entropy is judged.
        reference_passes, longest_reference: gradient passes of a long reference run, and of one where the sampling
            noise asks for more.
        truth_draws: fresh draws at the reference, for the value at the optimum and its error.
        max_passes: most gradient passes of ours.
        budgets, logit_budgets: passes of whole solves whose corrected values are judged, and the same at the logits.
        adam_passes: of Adam.
        grid: λ × rate combinations of the published procedure, its default always among them.
        adam: the same of Adam.
        bounded_seconds: for the bounded procedure, per layer.
        noise_draws: draws per image at which the solver's filter is looked at.
        repeats: turns of the price measurement.
        skip: parts omitted.
    """

    samples: int = 8
    tau: tuple[float, ...] = (0.01, 1e-4)
    between: tuple[str, ...] = ("layer1.0", "layer2.0", "layer3.0")
    judge_draws: int = 512
    reference_passes: int = 20_000
    longest_reference: int = 40_000
    truth_draws: int = 2048
    max_passes: int = 8192
    budgets: tuple[int, ...] = (500, 800)
    logit_budgets: tuple[int, ...] = (2000,)
    adam_passes: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    grid: tuple[tuple[float, float], ...] = references.PUBLISHED_GRID
    adam: tuple[tuple[float, float], ...] = references.ADAM_GRID
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
        log: called with the name of every part that is finished.
    """

    problem: JudgedProblem
    case: Case
    cache: Cache
    config: Config
    before: tuple[str, ...] = ()
    log: Callable[[str], None] = lambda text: None

    @property
    def space(self) -> SigmaSpace:
        return self.problem.space()

    @property
    def rungs(self) -> list[int]:
        """Where climbs are looked at: up to six times the sampling-noise floor, but not below 512 passes."""
        floor = max(figures.floors(self.case)) if "noise" in self.case.parts else figures.INFINITY
        return ours.ladder(int(min(self.config.max_passes, max(512, 6 * floor))))

    @property
    def goal(self) -> list[float]:
        """The entropy of each image at which a climb may end: below every gap that has a bar."""
        stage = figures.stage(self.case.layer)
        short = 0.006 if stage is not None and stage <= 1 else 0.012
        return [best - short for best in self.case.parts["optimum"]["entropy"]]

    def compute(self, starts: dict[int, torch.Tensor]) -> dict[int, torch.Tensor]:
        """Computes the parts that are wanted and missing; takes and returns what `warm` does."""
        config, mine, theirs = self.config, {"code": code_hash(OURS)}, {"code": code_hash(REFERENCES)}
        self._refer(config.reference_passes)
        if "noise" not in config.skip:
            wanted = int(REFERENCE_FLOORS * figures.median(figures.floors(self.case)))
            if config.reference_passes < wanted:
                self._refer(min(wanted, config.longest_reference))
        self._part("cold", mine | {"most": config.max_passes}, lambda: self._judged(self._cold(), goal=self.goal))
        places = {} if "warm" in config.skip else self.warm(starts, bool(starts))
        whole = {"code": code_hash([*OURS, *TRUTH]), "tolerance": TOLERANCE}
        self._part("solve", whole | {"most": self._most}, lambda: self._whole(self._most))
        budgets = config.logit_budgets if figures.is_logits(self.case.layer) else config.budgets
        self._part(
            "corrected",
            whole | {"budgets": budgets},
            lambda: {str(passes): self._whole(passes, seed=passes) for passes in budgets},
        )
        self._part("price", mine | {"tolerance": 0.03, "repeats": config.repeats}, self._price)
        self._part("published", theirs | {"grid": config.grid}, self._published)
        if "published" in self.case.parts:
            self._part("grid", {"code": code_hash([*OURS, *REFERENCES]), "grid": config.grid}, self._grid)
        self._part("adam", theirs | {"runs": config.adam, "passes": config.adam_passes}, self._adam)
        self._part("bounded", theirs | {"seconds": config.bounded_seconds}, self._bounded)
        return places

    def _part(
        self, name: str, settings: dict[str, Any], work: Callable[[], dict[str, Any]], force: bool = False
    ) -> None:
        if name not in self.config.skip:
            since = time.perf_counter()
            self.case.part(name, settings, work, force)
            self.log(f"{name} {time.perf_counter() - since:.0f} s")

    def _refer(self, passes: int) -> None:
        """Ensures a reference of at least that many passes, and measures what is measured there."""
        ensure(self.cache, self.case.layer, self.problem, passes)
        files = {"files": [path.name for path in self.cache.files(self.case.layer, self.problem)]}
        self._part("optimum", files | {"code": code_hash(JUDGE)}, self._optimum)
        self._part("truth", files | {"code": code_hash(TRUTH), "draws": self.config.truth_draws}, self._truth)
        self._part("noise", files | {"code": code_hash(OURS), "draws": self.config.noise_draws}, self._noise)

    def _optimum(self) -> dict[str, Any]:
        best = best_known(self.cache, self.case.layer, self.problem)
        uniform = self.problem.entropy(self.problem.uniform(self.space), self.space)
        return {"entropy": best.entropy.tolist(), "passes": best.passes.tolist(), "uniform": uniform.tolist()}

    def _truth(self) -> dict[str, Any]:
        best = best_known(self.cache, self.case.layer, self.problem)
        return corrected.truth(self.problem, best.log_sigma, self.config.truth_draws)

    def _noise(self) -> dict[str, Any]:
        best = best_known(self.cache, self.case.layer, self.problem)
        return ours.sampling_noise(self.problem, best.log_sigma, self.config.noise_draws)

    def _judged(
        self, trail: Iterable[Snapshot], space: SigmaSpace | None = None, goal: Sequence[float] | None = None
    ) -> dict[str, Any]:
        """Entropies at equal constraint, and seconds per image, of snapshots.

        Args:
            goal: the trail ends when its last three snapshots are above this on every image, after six at the
                earliest.
        """
        trace: dict[str, list[Any]] = {"passes": [], "seconds": [], "entropy": []}
        above = 0
        for snapshot in trail:
            entropy = self.problem.entropy(snapshot.log_sigma, space or self.space).tolist()
            trace["passes"].append(snapshot.passes)
            trace["seconds"].append(snapshot.seconds / len(entropy))
            trace["entropy"].append(entropy)
            if goal is not None:
                above = above + 1 if all(value >= aim for value, aim in zip(entropy, goal, strict=True)) else 0
                if above >= 3 and len(trace["passes"]) >= 6:
                    break
        return trace

    def _cold(self) -> Iterator[Snapshot]:
        return ours.climb(self.problem, self.space, self.rungs)

    @property
    def _most(self) -> int:
        """Passes of a whole solve that may end by itself: no more than what it is judged by."""
        return min(5000, self.config.reference_passes)

    def _whole(self, passes: int, seed: int = 0) -> dict[str, Any]:
        return corrected.whole(self.problem, ours.solve(self.problem, TOLERANCE, passes, seed))

    def _price(self) -> dict[str, Any]:
        part = price.prices(self.problem, 0.03, 1024, self.config.repeats, "captum" not in self.config.skip)
        part["entropy"] = self.problem.entropy(part.pop("log_sigma"), self.space).tolist()
        return part

    def _published(self) -> dict[str, Any]:
        space, default = self.problem.space(GRID), (references.LAMBDA, 1.0)
        runs = [self._published_run(space, *setting) for setting in dict.fromkeys((default, *self.config.grid))]
        uniform = self.problem.entropy(self.problem.uniform(space), space)
        return {"runs": runs, "uniform": uniform.tolist()}

    def _published_run(self, space: SigmaSpace, penalty: float, rate: float) -> dict[str, Any]:
        result = references.published(self.problem, space, penalty, rate)
        run: dict[str, Any] = {"lambda": penalty, "rate": rate}
        for rule, place in (("chosen", result.chosen), ("last", result.last.log_sigma)):
            run[rule] = self.problem.entropy(place, space).tolist()
            run[f"raw_{rule}"] = gaussian_entropy(place.exp()).mean((1, 2, 3)).tolist()
        return run | {"passes": result.last.passes, "seconds": result.last.seconds / len(self.problem.inputs)}

    def _grid(self) -> dict[str, Any]:
        """Ours on the published procedure's grid, until it is past the best of that on every image."""
        space, goal = self.problem.space(GRID), figures.best_published(self.case.parts["published"])["entropy"]
        return self._judged(ours.climb(self.problem, space, ours.ladder(1024)), space, goal)

    def _adam(self) -> dict[str, Any]:
        runs = []
        for penalty, rate in self.config.adam:
            trail = references.adam(self.problem, self.space, penalty, rate, self.config.adam_passes)
            runs.append({"lambda": penalty, "rate": rate} | self._judged(trail))
        return {"runs": runs}

    def _bounded(self) -> dict[str, Any]:
        run = references.bounded(self.problem, self.space, self.config.bounded_seconds, [64, 256, 1024, 2048])
        return self._judged(run.trail) | {"kept": self.problem.entropy(run.kept, self.space).tolist()}

    def warm(self, starts: dict[int, torch.Tensor], judged: bool) -> dict[int, torch.Tensor]:
        """One layer of the warm sweeps, one sweep for each number of passes.

        Args:
            starts: log σ of the layer before by the passes spent on every layer; empty for the first, which starts
                cold.
            judged: whether the gap here is wanted; a layer that is only passed through costs no judging.

        Returns:
            log σ here by passes. A sweep that is well past its aim here goes on from there, as an adaptive one would.
        """
        settings = {"code": code_hash(OURS), "before": self.before, "most": self.config.max_passes}
        key = settings_hash(settings | self.case.settings)
        name = f"warm-{self.case.network}-{self.case.layer}-{self.case.root:g}-{key}.safetensors"
        file, places = self.cache.folder / name, dict[int, torch.Tensor]()

        def trail() -> Iterator[Snapshot]:
            most = max(starts, default=WARM_UNSEEN)
            for passes in self.rungs if judged else ours.ladder(most):
                if passes <= WARM_FINE or passes & (passes - 1) == 0:
                    start = starts.get(passes, starts[most] if starts else None)
                    (snapshot,) = ours.climb(self.problem, self.space, [passes], start)
                    places[passes] = snapshot.log_sigma
                    yield snapshot

        def work() -> dict[str, Any]:
            part = self._judged(trail(), goal=self.goal) if judged else {"passes": [at.passes for at in trail()]}
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({str(passes): place.cpu() for passes, place in places.items()}, file)
            return part

        if judged:
            self._part("warm", settings, work, force=not file.is_file())
        elif not file.is_file():
            work()
        held = load_file(file)
        return {int(passes): held[passes].to(self.problem.inputs) for passes in sorted(held, key=int)}
