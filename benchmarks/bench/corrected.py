"""Corrected values of whole solves against those of a long run with many fresh draws."""

from __future__ import annotations

import math
from typing import Any

import torch

from infodiscard.solver.correction import FreshDraws, contrast
from infodiscard.solver.entropy import concentration, gaussian_entropy
from infodiscard.solver.expectation import ratio_of
from infodiscard.solver.sample_noise import SampleNoise

from .judge import CHUNK, JudgedProblem
from .ours import Solve

SEED = 2_000_003
"""Of the draws at the reference, which neither it nor the judge has seen."""


def centre(problem: JudgedProblem) -> torch.Tensor:
    """The region that concentrations are of: the middle of every image, half as high and as wide, `n × H × W`."""
    count, _, height, width = problem.inputs.shape
    inside = torch.zeros(count, height, width, dtype=torch.bool, device=problem.inputs.device)
    inside[:, height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return inside


def truth(problem: JudgedProblem, log_sigma: torch.Tensor, draws: int) -> dict[str, Any]:
    """Estimates the value at the optimum of each image from the reference and fresh draws at it.

    Those draws tell both how far the reference is from the constraint, by E(σ) / δ_f² on common noise, and what it
    still misses there. The second is small after a long run, so that its method matters little.

    Args:
        log_sigma: of the reference, near the constraint, `n × 1 × H × W`.
        draws: fresh draws at it, per image.

    Returns:
        Lists of `n`: `value`, its standard error without (`noise`) and of the systematic part alone (`systematic`), the
        correction in it (`gap`), `concentration` and `concentration_se`, and the smallest log σ (`least`).
    """
    space, rows = problem.space(), torch.arange(len(log_sigma), device=log_sigma.device)
    fresh, noise = FreshDraws.none(log_sigma), SampleNoise(problem.inputs, SEED, "truth")
    for row in rows.split(1):
        for _ in range(math.ceil(draws / CHUNK)):
            unit = noise.draw(row.tolist(), CHUNK)
            z = log_sigma[row].exp()[:, None] * unit
            level, gradient = problem.distance.gradient(row, z)
            small = problem.distance(row, problem.tau**0.5 * unit)
            fresh.add(row, space.gather(z * gradient), space.gather(gradient.square()), level, small)
    (ratio, ratio_se), power = ratio_of(fresh.sums, fresh.count), fresh.power().clamp(0.25, 4)
    free = (log_sigma < math.log(problem.cap)).to(log_sigma)
    missing = fresh.correction(space, log_sigma, free)
    share = free.mean((1, 2, 3)) / power
    reached, inside = gaussian_entropy(log_sigma.exp()), centre(problem)
    more, more_se = contrast(missing.shift, missing.shift_se, missing.gap, space, inside)
    columns = {
        "value": reached.mean((1, 2, 3)) - share * (ratio / problem.alpha).log() + missing.gap,
        "noise": (missing.gap_se.square() + (share * ratio_se / problem.alpha).square()).sqrt(),
        "systematic": missing.systematic,
        "gap": missing.gap,
        "concentration": concentration(reached[:, 0], inside) + more,
        "concentration_se": more_se,
        "least": log_sigma.amin((1, 2, 3)),
    }
    return {name: value.tolist() for name, value in columns.items()}


def whole(problem: JudgedProblem, solve: Solve) -> dict[str, Any]:
    """Compares a whole solve with the judge's measurements of it.

    Returns:
        `seconds` per image, and lists of `n`: gradient `passes`, `forwards`, `converged`; what it reached at equal
        constraint (`entropy`) and by its own account (`stated`); `corrected`, NaN where it tells nothing, and its
        standard error `se`; the same of concentrations; the judge's `distance` ÷ target with `distance_se`; and the
        smallest log σ (`least`).
    """
    solution, space, inside = solve.solution, problem.space(), centre(problem)
    map_ = gaussian_entropy(solution.log_sigma.exp())
    stated, reached = map_.mean((1, 2, 3)), concentration(map_[:, 0], inside)
    more, more_se = contrast(solution.shift, solution.shift_se, solution.correction, space, inside)
    distance, distance_se = problem.reached(solution.log_sigma)
    columns = {
        "passes": solve.passes,
        "forwards": solve.forwards,
        "converged": solution.converged,
        "entropy": problem.entropy(solution.log_sigma, space),
        "stated": stated,
        "corrected": stated + solution.correction,
        "se": solution.correction_se,
        "concentration": reached,
        "concentration_corrected": (reached + more).masked_fill(solution.correction.isnan(), math.nan),
        "concentration_se": more_se,
        "distance": distance,
        "distance_se": distance_se,
        "least": solution.log_sigma.amin((1, 2, 3)),
    }
    return {name: value.tolist() for name, value in columns.items()} | {"seconds": solve.seconds / len(stated)}
