"""Ablation of the solver: entropy at equal distance after N passes without each of its parts, and powers by scale.

    python -m benchmarks.ablation --samples 2 --layers layer3 linear
    python -m benchmarks.ablation --network FILE.py:squeezenet --data folder:DIR --layers features.9 features.12

The last variant is the whole solver from a better start, σ of the layer before.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import torch

from infodiscard import data, zoo
from infodiscard.data.inputs import CAP_RANGES
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe
from infodiscard.solver import ascent
from infodiscard.solver.ascent import AscentState
from infodiscard.solver.entropy import gaussian_entropy
from infodiscard.solver.sample_noise import SampleNoise
from infodiscard.solver.wavelets import Scales, filtered, mean

from .bench.judge import JudgedProblem
from .bench.ours import climb

ALPHA = 1.5


def plain_average(place: torch.Tensor, steps: torch.Tensor, *_: Any) -> torch.Tensor:
    """The Newton targets averaged, and nothing else."""
    average = place + steps.mean(1)
    return average - mean(average)


def without_prediction(
    place: torch.Tensor, steps: torch.Tensor, predictions: torch.Tensor, scales: Scales, farther: torch.Tensor
) -> torch.Tensor:
    """The filter without the gradient's size."""
    return filtered(place, steps, torch.zeros_like(predictions), scales, farther)


SOLVER, WARM = "solver", "from the layer before"

VARIANTS: dict[str, tuple[Any, str, Any] | None] = {
    SOLVER: None,
    "without longer steps": (ascent, "FARTHER", 0.0),
    "without the exact step": (AscentState, "_bent", lambda self, rows, shape, *_: shape),
    "one noise power": (Scales, "around", lambda self, values, scale: mean(values)),
    "outliers unbounded": (ascent, "without_outliers", lambda slope, level, passes: (slope, level)),
    "plain average": (ascent, "filtered", plain_average),
    "without the prediction": (ascent, "filtered", without_prediction),
    WARM: None,
}
"""Replacements: an object, its attribute, and the value put in its place."""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="demo")
    parser.add_argument("--weights")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--layers", nargs="*")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--tau", type=float, default=0.01)
    parser.add_argument("--passes", nargs="*", type=int, default=[64, 256, 1024])
    parser.add_argument("--judge-draws", type=int, default=512)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Prints the tables, layer by layer."""
    options = arguments(argv)
    network = zoo.load(options.network, options.weights)
    inputs = network.normalise(data.load(options.data, options.samples, network.input_size).images)
    assert network.std is not None  # or normalise would have failed
    cap, before = CAP_RANGES / min(network.std), None
    for address in options.layers or network.default_layers:
        with preserved(network.module) as module:
            problem = JudgedProblem(Probe(module, address), inputs, cap, ALPHA, options.tau, options.judge_draws)
            before = compare(problem, address, options, before)


def compare(
    problem: JudgedProblem, address: str, options: argparse.Namespace, before: torch.Tensor | None
) -> torch.Tensor | None:
    """Prints one layer's table; returns the solver's log σ after all passes, if it is among the variants."""
    print(f"\n{address}, √τ = {problem.tau**0.5:g}: mean SID of {len(problem.inputs)} samples by passes")
    print(f"{'':24}" + "".join(f"{passes:>9d}" for passes in options.passes) + "   least log σ")
    print(f"{'uniform σ':24}{float(problem.entropy(problem.uniform(problem.space()), problem.space()).mean()):9.3f}")
    solution = None
    for name in options.variants:
        if name == WARM and before is None:
            continue
        change = VARIANTS[name]
        with patch.object(*change) if change else nullcontext():
            start = before if name == WARM else None
            places = [at.log_sigma for at in climb(problem, problem.space(), options.passes, start)]
        scaled = [problem.calibrated(place, problem.space()) for place in places]
        row = "".join(f"{float(gaussian_entropy(each.exp()).mean()):9.3f}" for each in scaled)
        print(f"{name:24}{row}   {float(places[-1].min()):9.1f}", flush=True)
        if name == SOLVER:
            solution = scaled[-1]
    if solution is not None:
        powers(problem, solution)
    return solution


def powers(problem: JudgedProblem, log_sigma: torch.Tensor, draws: int = 256, chunk: int = 16) -> None:
    """Prints the noise's and the solution's power on every scale, fine to coarse, and how well the size predicts it."""
    space, rows = problem.space(), torch.arange(len(log_sigma))
    noise, scales = SampleNoise(problem.inputs, 3, "powers"), Scales(log_sigma)
    total, sizes = torch.zeros_like(log_sigma), torch.zeros_like(log_sigma)
    spread = torch.zeros(len(scales.split(log_sigma)), len(rows))
    for row in rows.split(1):
        for _ in range(draws // chunk):
            z = log_sigma[row].exp()[:, None] * noise.draw(row.tolist(), chunk)
            values, gradient = problem.distance.gradient(row, z)
            slope = space.gather(z * gradient)
            total[row] += slope.sum(1)
            sizes[row] += (space.gather(gradient.square()) / values[..., None, None, None]).sum(1)
            # Half the square of the difference of two draws has the variance as its mean, whatever their own mean is.
            apart = scales.split(slope[:, ::2] - slope[:, 1::2])
            spread[:, row] += torch.stack([part.square().mean((1, 2, 3, 4)) / 2 for part in apart])
    usual = total.mean((1, 2, 3)) / draws
    noisy = (spread / (draws // chunk) / (2 * usual).square()).mean(1)
    print("scale (fine → coarse)     " + "".join(f"{i:>9d}" for i in range(len(noisy))))
    print("noise of one draw, (½g/ḡ)²" + "".join(f"{value:9.3f}" for value in noisy))
    parts = list(
        zip(scales.split(log_sigma), scales.split(-0.5 * (sizes / mean(sizes)).clamp(min=1e-4).log()), strict=True)
    )
    print("solution, log²σ           " + "".join(f"{s.square().mean():9.3f}" for s, _ in parts))
    alike = [(s * p).mean() / (s.square().mean() * p.square().mean()).sqrt() for s, p in parts]
    print("correlation, prediction   " + "".join(f"{c:9.2f}" for c in alike), flush=True)


if __name__ == "__main__":
    main()
