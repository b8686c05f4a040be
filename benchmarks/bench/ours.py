"""Our solver in the benchmark: snapshots of the ascent, whole solves, and the sampling noise that sets the floor."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from infodiscard.solver.ascent import AscentState, advance
from infodiscard.solver.effort import Effort
from infodiscard.solver.sample_noise import SampleNoise
from infodiscard.solver.sid import Solution, maximise_entropy
from infodiscard.solver.sigma_space import SigmaSpace

from .judge import JudgedProblem, Snapshot

DRAWS = 16
"""Noisy inputs per sample and step, as the solver's default."""


def ladder(most: int) -> list[int]:
    """Numbers of passes at which snapshots are taken: 16, 32, 48, 64, 96, 128, 192, … up to `most`."""
    steps = (base << power for power in range(1, 40) for base in (DRAWS, DRAWS * 3 // 2))
    return [DRAWS, *itertools.takewhile(lambda passes: passes <= most, (p for p in steps if p % DRAWS == 0))]


def climb(
    problem: JudgedProblem, space: SigmaSpace, passes: Sequence[int], start: torch.Tensor | None = None, seed: int = 0
) -> Iterator[Snapshot]:
    """Lets the solver ascend and takes snapshots; what is done between them is not in their seconds.

    Args:
        passes: where to look, ascending.
        start: log σ to start from; uniform by default.
    """
    begin = problem.uniform(space, problem.alpha) if start is None else start.clone()
    states = ascend(problem, space, begin, seed)
    spent, since = 0.0, time.perf_counter()
    for wanted in passes:
        state = next(state for state in states if int(state.passes.min()) >= wanted)
        synchronise(problem.inputs.device)
        spent += time.perf_counter() - since
        yield Snapshot(int(state.passes.min()), state.log_sigma.clone(), spent)
        since = time.perf_counter()


def ascend(
    problem: JudgedProblem, space: SigmaSpace, start: torch.Tensor, seed: int, draws: int = DRAWS
) -> Iterator[AscentState]:
    """Takes the solver's own steps, for ever; yields the state after each, the same object.

    Args:
        start: log σ, `n × planes × rows × columns`.
        draws: noisy inputs per sample and step, but half as many in the first two steps.
    """
    unsolved = problem.unsolved(space, seed)
    state = AscentState.begin(start, space, problem.target, unsolved.log_cap)
    stream = unsolved.stream("solve")
    while True:
        advance(unsolved, state, stream, unsolved.all, draws)
        yield state


@dataclass(frozen=True)
class Solve:
    """A whole solve: its solution, the seconds for all samples, gradient passes and forward passes per sample (`n`)."""

    solution: Solution
    seconds: float
    passes: torch.Tensor
    forwards: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        """Passes with a forward counting one third."""
        return self.passes + self.forwards / 3


def solve(problem: JudgedProblem, tolerance: float, max_passes: int, seed: int = 0) -> Solve:
    """Runs `maximise_entropy` per pixel, with all that belongs to it: δ_f², calibration, correction and check."""
    distance, since = problem.constraint(), time.perf_counter()
    effort = Effort(tolerance=tolerance, max_passes=max_passes)
    solution = maximise_entropy(problem.unsolved(problem.space(), seed, distance), effort)
    synchronise(problem.inputs.device)
    return Solve(solution, time.perf_counter() - since, distance.passes, distance.forwards)


def synchronise(device: torch.device) -> None:
    """Waits for a GPU, so that clocks are right."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def sampling_noise(
    problem: JudgedProblem, reference: torch.Tensor, counts: Sequence[int], seed: int = 7
) -> dict[str, Any]:
    """Measures r, and the noise left by averaging and by the solver's filter, at the reference solution.

    r is the relative standard deviation of one draw's g_i = ∂L/∂s_i = z_i ∂L/∂z_i, its root mean square over the pixels
    below the cap. After N draws, plain averaging of the Newton target s_i − ½ (g_i / ḡ − 1) leaves an error of
    mean square r²/4N. The solver's own estimate comes from an ascent that is put back to the reference after every
    step, so that all its draws are taken there; its error is the mean squared difference from the reference's shape.

    Args:
        reference: log σ at the target distance, `n × 1 × H × W`.
        counts: N, ascending.

    Returns:
        `r` (list of `n`), `counts`, and by count lists of `n`: `plain` and `filtered`, mean squared errors.
    """
    space = problem.space()
    log_cap = math.log(problem.cap)
    free = (reference < log_cap - 1e-6).to(reference)
    r: list[float] = []
    plain: dict[int, list[float]] = {count: [] for count in counts}
    rows = torch.arange(len(reference), device=reference.device)
    noise = SampleNoise(problem.inputs, seed, "sampling")
    for row in rows.split(1):  # one sample at a time: what is held grows with the draws
        slopes = _slopes(problem, space, reference[row], row, noise, max(counts))
        relative = slopes / _mean(slopes.mean(0), free[row[0]])
        r.append(_mean(relative.var(0), free[row[0]]).sqrt().item())
        for count in counts:
            blocks = relative.unflatten(0, (-1, count)).mean(1) if len(relative) % count == 0 else relative[:count]
            plain[count].append(_mean((0.5 * (blocks - 1)).square().mean(0), free[row[0]]).item())
    filtered = _filtered_errors(problem, space, reference, free, counts, seed)
    return {"r": r, "counts": list(counts), "plain": list(plain.values()), "filtered": filtered}


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)


def _slopes(
    problem: JudgedProblem,
    space: SigmaSpace,
    log_sigma: torch.Tensor,
    row: torch.Tensor,
    noise: SampleNoise,
    draws: int,
) -> torch.Tensor:
    """g of each of `draws` draws of one sample, `draws × planes × rows × columns`."""

    parts = []
    for start in range(0, draws, 64):
        z = space.expand(log_sigma.exp())[:, None] * noise.draw(row.tolist(), min(64, draws - start))
        parts.append(space.gather(z * problem.distance.gradient(row, z)[1])[0])
    return torch.cat(parts)


def _filtered_errors(
    problem: JudgedProblem,
    space: SigmaSpace,
    reference: torch.Tensor,
    free: torch.Tensor,
    counts: Sequence[int],
    seed: int,
) -> list[list[float]]:
    """Mean squared error of the solver's estimate of the shape of log σ, by count and sample."""
    errors: list[list[float]] = []
    wanted, live = list(counts), free.sum((1, 2, 3)).clamp(min=1)
    for state in ascend(problem, space, reference.clone(), seed):
        if int(state.passes.min()) >= wanted[0]:
            difference = (state.log_sigma - reference) * free
            difference = (difference - (difference.sum((1, 2, 3)) / live)[:, None, None, None]) * free
            errors.append((difference.square().sum((1, 2, 3)) / live).tolist())
            wanted.pop(0)
            if not wanted:
                break
        state.log_sigma.copy_(reference)
    return errors
