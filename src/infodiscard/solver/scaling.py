"""Scaling of σ, by one number per sample, to the target distance."""

from __future__ import annotations

import torch

from .effort import Effort
from .expectation import expected_distance
from .problem import Problem
from .rows import Rows

SMALL_MISS, MISS = 0.1, 0.25
"""Relative distances from the target: below the second, one step on many draws leads near enough; below the first none
is needed, if the distance was known to the precision wanted."""


def scaled(log_sigma: torch.Tensor, shift: torch.Tensor, log_cap: torch.Tensor) -> torch.Tensor:
    """Moves log σ (`n × planes × rows × columns`) by `shift` (`n`), except at the cap, whose value is no σ's own.

    `log_cap` is `n × 1 × 1 × 1`.
    """
    moved = (log_sigma + shift[:, None, None, None]).clamp(max=log_cap)
    return torch.where(log_sigma >= log_cap, log_sigma, moved)


def scale_to_target(
    problem: Problem,
    log_sigma: torch.Tensor,
    power: torch.Tensor,
    effort: Effort,
    looks: int,
    *,
    rows: Rows | None = None,
    finish: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales σ so that E(σ) / E(√τ) = α: a secant search on few draws, then one step on many.

    Args:
        problem: the distance, α and the cap.
        log_sigma: `n × planes × rows × columns`.
        power: d log E / d log(scale of σ) where the search begins, `n`.
        effort: the precision and the draws of either part.
        looks: most steps of the search.
        rows: the samples to scale; all by default.
        finish: whether to take the step on many draws.

    Returns:
        The scaled log σ, and the forward passes used per sample (`n`).
    """

    def miss(rows: Rows, wanted: tuple[float, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """log(E / α), whether it is known to the precision wanted, and the forward passes, each `n`."""
        place = scaled(log_sigma, shift, problem.log_cap)
        estimate = expected_distance(problem, place, problem.stream("scale"), *wanted, rows, relative=True)
        return (estimate.mean / target).log(), estimate.se <= effort.precision * estimate.mean, estimate.draws

    rows = chosen = problem.all if rows is None else rows
    target, power = torch.full_like(power, problem.alpha), power.clone()
    shift, forwards = torch.zeros_like(target), torch.zeros_like(problem.rows)
    precise = torch.zeros_like(forwards).bool()
    old, old_miss = shift.clone(), torch.full_like(target, torch.nan)
    for _ in range(looks):
        new_miss, exact, draws = miss(rows, effort.coarse)
        forwards = forwards + draws
        moved = shift - old
        slope = (new_miss - old_miss) / moved
        # Between a plateau (power near 0) and a cliff: never trust a slope that would throw σ far away.
        slope = torch.where(slope > 0.3, slope, 1.0).clamp(max=6)
        index = rows.index
        power[index] = torch.where(moved.abs() > 1e-2, slope, power)[index]
        old[index], old_miss[index] = shift[index], new_miss[index]
        shift[index] -= (new_miss / power)[index].clamp(-0.5, 0.5)
        size = new_miss[index].abs()
        near = size < MISS
        precise[index] = torch.where(near, exact[index] & (size < SMALL_MISS), precise[index])
        rows = rows.kept(~near)
        if not len(rows):
            break
    rows = chosen.kept(~precise[chosen.index]) if finish else chosen
    if finish and len(rows):
        fine_miss, _, draws = miss(rows, effort.fine)
        shift[rows.index] -= (fine_miss / power)[rows.index].clamp(-0.1, 0.1)
        forwards = forwards + draws
    return scaled(log_sigma, shift, problem.log_cap), forwards
