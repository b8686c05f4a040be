"""Inputs that saturate: where large noise no longer matters, the best σ is the cap, and no ascent leads there.

What the layer makes of such an input changes with its noise up to some size, and hardly beyond: E grows with σ, and
then stays. The best σ lies behind that stretch. How much of E the parameters of largest σ take by themselves at the cap
tells whether all others could be larger than without, at the price of a few forward passes.
"""

from __future__ import annotations

import math

import torch

from .problem import Problem
from .rows import Rows

DRAWS, SHARES = 8, 4
"""Draws on which a share of the parameters is tried at the cap, and how many shares are."""

BENT = 1.95
"""The power of E in σ from which on nothing saturates."""

STRETCH, STRETCHED_DRAWS, FAR = 3.0, 32, 3.0
"""What σ at the cap is multiplied by to see what rare draws do, on how many draws, and from which growth of E on,
beyond that of a linear feature, σ at the cap hides something."""

TINY = 1e-30


def at_cap(
    problem: Problem, log_sigma: torch.Tensor, target: torch.Tensor, power: torch.Tensor, rows: Rows
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tries the parameters of largest σ at the cap, ever more of them as long as more is gained.

    Args:
        problem: the distance and the cap.
        log_sigma: on target, `n × planes × rows × columns`.
        target: α δ_f², `n`.
        power: p = d log E / d log(scale of σ), `n`.
        rows: samples to try, one at least.

    Returns:
        log σ with the best share of the parameters at the cap and all others scaled to what is left of the target, not
        exactly, shaped as `log_sigma`; what the mean of log σ over the input units gains, `n`, 0 where nothing is
        better; and the forward passes used, `n`.
    """
    units = problem.space.weights(log_sigma)
    units = units / units.sum()
    order, best = log_sigma.flatten(1).argsort(1, descending=True), log_sigma.clone()
    gains, forwards = torch.zeros_like(power), torch.zeros_like(problem.rows)
    unit = torch.zeros_like(problem.distance.inputs)[:, None].repeat(1, DRAWS, 1, 1, 1)
    unit[rows.index] = problem.stream("release").draw(rows.numbers, DRAWS)
    for count in _shares(order.shape[1]):
        chosen = torch.zeros_like(best).flatten(1).scatter_(1, order[:, :count], 1.0).view_as(best) > 0
        index, taken = rows.index, torch.ones_like(power)
        alone = problem.noise(torch.where(chosen, problem.log_cap, -math.inf), index, unit[index])
        taken[index] = problem.distance(index, alone).mean(1) / target[index]
        forwards[index] += DRAWS
        shift = (1 - taken).clamp(min=TINY).log() / power
        moved = torch.where(chosen, problem.log_cap, log_sigma + shift[:, None, None, None])
        gain = ((moved - log_sigma) * units).sum((1, 2, 3))
        rows = rows.kept((gain > gains)[index])  # with more parameters, more is taken
        best[rows.index], gains[rows.index] = moved[rows.index], gain[rows.index]
        if not len(rows):
            break
    return best, gains, forwards


def hides(problem: Problem, log_sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether noise beyond the cap moves the feature far more than noise at the cap seems to.

    Where a parameter is at the cap because no draw has shown what it does, as behind a unit that is dead but for one
    noise in a thousand, that one may be most of E. Noise three times as large meets it in every few draws.

    Args:
        problem: the distance and the cap.
        log_sigma: `n × planes × rows × columns`.

    Returns:
        Whether, `n`, and the forward passes used, `n`.
    """
    forwards = torch.zeros_like(problem.rows)
    found = torch.zeros_like(forwards, dtype=torch.bool)
    capped = log_sigma >= problem.log_cap
    rows = problem.all.kept(capped.flatten(1).any(1))
    if len(rows):
        index, unit = rows.index, problem.stream("stretch").draw(rows.numbers, STRETCHED_DRAWS)
        usual = problem.distance(index, problem.noise(log_sigma, index, unit)).mean(1)
        beyond = problem.noise(log_sigma + math.log(STRETCH) * capped, index, unit)
        found[index] = ~(problem.distance(index, beyond).mean(1) <= FAR * STRETCH**2 * usual)
        forwards[index] += 2 * STRETCHED_DRAWS
    return found, forwards


def _shares(count: int) -> list[int]:
    """Returns how many of `count` parameters are tried together, ascending: up to a half, but at least one."""
    return sorted({max(1, count >> (2 * number + 1)) for number in range(SHARES)}) if count > 1 else []
