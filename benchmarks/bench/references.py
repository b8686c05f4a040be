"""Reference procedures, written from their descriptions; baselines of the benchmark only.

All of them take the true δ_f² from the judge (a favour: the authors' code uses eight draws), work on all images at
once, each by itself, and give snapshots: log σ by passes. The judge scales them afterwards.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from infodiscard.solver.sample_noise import SampleNoise
from infodiscard.solver.sigma_space import SigmaSpace

from .judge import JudgedProblem, Snapshot

STEPS, DRAWS = 100, 8
"""Of the published procedure."""

LAMBDA, RATE = 5.0, 1e-4
"""Defaults of the authors' public code, where σ starts at 0.01."""

PUBLISHED_GRID = tuple(itertools.product((1.5, 2.0, 3.0, 5.0), (1.0, 4.0, 16.0)))
"""λ × rate searched for the published procedure; rates as multiples of its default, scaled as `published` says."""

ADAM_GRID = tuple(itertools.product((1.0, 1.5, 3.0), (0.03, 0.1)))
"""λ × rate searched for Adam; the distance settles at λ δ_f² where E is quadratic, at less where it saturates."""

BOUND_STEPS, BOUND_RATE, BOUND_STDS = 5000, 0.01, 10.0
"""Of Guan et al.: steps, rate, and the bound on σ in standard deviations of the input."""


def slope(
    problem: JudgedProblem, space: SigmaSpace, sigma: torch.Tensor, noise: SampleNoise, draws: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The feature's term of every loss here, and its gradient.

    Returns:
        L / δ_f² averaged over `draws` (`n`), and its derivative with respect to each σ (as `sigma`).
    """
    rows = torch.arange(len(sigma), device=sigma.device)
    unit = noise.draw(rows.tolist(), draws)
    values, gradient = problem.distance.gradient(rows, space.expand(sigma)[:, None] * unit)
    variation = problem.target / problem.alpha
    return values.mean(1) / variation, space.gather(unit * gradient).mean(1) / variation[:, None, None, None]


@dataclass(frozen=True)
class Published:
    """A run of the published procedure.

    Attributes:
        last: where it ended.
        chosen: log σ of the step whose noisy distance was nearest to α: what the authors' code reports.
        chosen_steps: which step that was, `n`.
    """

    last: Snapshot
    chosen: torch.Tensor
    chosen_steps: torch.Tensor


def published(
    problem: JudgedProblem,
    space: SigmaSpace,
    penalty: float = LAMBDA,
    rate: float = 1.0,
    steps: int = STEPS,
    draws: int = DRAWS,
    seed: int = 0,
) -> Published:
    """Ma et al.: gradient descent on σ itself, loss L/δ_f² − λ · mean_i 2 H_i (paper, Eq. 6, normalised as their code).

    Their code writes the entropy as log 2πe σ², averaged over the grid's cells, so that E settles at λ δ_f² where it is
    quadratic. It starts at σ = √τ with rate 1e-4 for √τ = 0.01. Since a step moves σ by rate/σ², the same rate at
    √τ = 0.1 would not move it at all, so the rate is given in units of 1e-4 (τ / 1e-4) here. Not done as in their code:
    a ReLU in front of the distance (all procedures share one distance), and σ is kept above √τ / 100, without which a
    large rate makes it negative.

    Args:
        penalty: λ.
        rate: as a multiple of the default.
    """
    sigma = problem.uniform(space).exp()
    floor, lr = problem.tau**0.5 / 100, rate * RATE * problem.tau / 1e-4
    noise, start = SampleNoise(problem.inputs, seed, "published"), time.perf_counter()
    chosen, nearest = sigma.clone(), torch.full_like(problem.target, torch.inf)
    chosen_steps = torch.zeros_like(nearest, dtype=torch.long)
    for step in range(steps):
        level, gradient = slope(problem, space, sigma, noise, draws)
        # Their code stores σ before the step together with the loss of the step.
        better = (level - problem.alpha).abs() < nearest
        nearest = torch.where(better, (level - problem.alpha).abs(), nearest)
        chosen[better], chosen_steps[better] = sigma[better], step + 1
        sigma = sigma - lr * (gradient - penalty * 2 / (sigma[0].numel() * sigma))
        sigma = sigma.clamp(floor, problem.cap)
    last = Snapshot(steps * draws, sigma.log(), time.perf_counter() - start)
    return Published(last, chosen.log(), chosen_steps)


def adam(
    problem: JudgedProblem,
    space: SigmaSpace,
    penalty: float,
    rate: float,
    snapshots: Sequence[int],
    draws: int = 16,
    seed: int = 0,
) -> list[Snapshot]:
    """Adam on log σ, loss L/δ_f² − 2λ · mean_i log σ_i with a fixed λ; `snapshots` are numbers of passes."""
    place = problem.uniform(space, problem.alpha)
    optimiser, trail = torch.optim.Adam([place], lr=rate), list[Snapshot]()
    noise, start = SampleNoise(problem.inputs, seed, "adam"), time.perf_counter()
    for passes in range(draws, max(snapshots) + 1, draws):
        sigma = place.exp()
        _, gradient = slope(problem, space, sigma, noise, draws)
        place.grad = gradient * sigma - 2 * penalty / place[0].numel()
        optimiser.step()
        place.clamp_(max=math.log(problem.cap))
        if passes in snapshots:
            trail.append(Snapshot(passes, place.clone(), time.perf_counter() - start))
    return trail


@dataclass(frozen=True)
class Bounded:
    """A run of the bounded procedure: snapshots, and log σ at the lowest noisy loss, which its code keeps."""

    trail: list[Snapshot]
    kept: torch.Tensor


def bounded(
    problem: JudgedProblem,
    space: SigmaSpace,
    seconds: float,
    snapshots: Sequence[int],
    steps: int = BOUND_STEPS,
    seed: int = 0,
) -> Bounded:
    """Guan et al. (2019): σ = bound · sigmoid(ρ), Adam on ρ, one draw a step, the σ of the lowest loss kept.

    The bound is ten standard deviations of the input, ρ starts at standard normal values and the rate is 0.01, all as
    in their code. Their loss is mean (Δf / spread of f)² − 0.1 mean log σ, which stops at a distance of its own; here
    it is L/δ_f² − 2α · mean log σ, so that it settles near the target, as favourable to it as can be. Only σ is
    optimised: their code also trains the network that it explains.

    Args:
        seconds: it ends then, or after `steps`.
    """
    generator = torch.Generator(device=problem.inputs.device).manual_seed(seed)
    shape = (len(problem.inputs), *space.shape)
    rho = torch.randn(shape, generator=generator, dtype=problem.inputs.dtype, device=problem.inputs.device)
    bound = BOUND_STDS * float(problem.inputs.std())
    optimiser, noise = torch.optim.Adam([rho], lr=BOUND_RATE), SampleNoise(problem.inputs, seed, "bounded")
    trail, start = list[Snapshot](), time.perf_counter()
    kept, lowest = rho.clone(), torch.full_like(problem.target, torch.inf)

    def log_sigma(value: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.logsigmoid(value) + math.log(bound)

    for step in range(1, steps + 1):
        place = log_sigma(rho)
        level, gradient = slope(problem, space, place.exp(), noise, 1)
        loss = level - 2 * problem.alpha * place.mean((1, 2, 3))
        rho.grad = (gradient * place.exp() - 2 * problem.alpha / rho[0].numel()) * (1 - rho.sigmoid())
        optimiser.step()
        # Their code stores the state after the step together with the loss before it.
        kept = torch.where((loss < lowest)[:, None, None, None], rho, kept)
        lowest = torch.minimum(lowest, loss)
        spent = time.perf_counter() - start
        if step in snapshots or step == steps or spent > seconds:
            trail.append(Snapshot(step, log_sigma(rho), spent))
        if spent > seconds:
            break
    return Bounded(trail, log_sigma(kept))
