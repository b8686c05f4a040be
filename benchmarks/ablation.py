"""What each part of the solver is worth, and why: entropy at equal distance after N passes, and powers by scale.

    python benchmarks/ablation.py --samples 2 --layers layer3 linear

Variants: `solver` as it is; `no prediction`, without the prediction from the gradient's size; `plain average`, the
Newton targets averaged without any filter; `from the layer before`, the solver with that layer's σ as its start.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from infodiscard import data, iteration, zoo
from infodiscard.entropy import gaussian_entropy
from infodiscard.filtering import Scales, filtered, mean
from infodiscard.noise import SampleNoise, SigmaSpace
from infodiscard.objectives import FeatureDistance
from infodiscard.probes import Probe
from infodiscard.solver import Effort, calibrate, expected_distance, maximise_entropy
from infodiscard.untouched import untouched

ALPHA = 1.5


def without_prediction(targets: torch.Tensor, predictions: torch.Tensor, scales: Scales) -> Any:
    return filtered(targets, torch.zeros_like(predictions), scales)


def plain_average(targets: torch.Tensor, predictions: torch.Tensor, scales: Scales) -> Any:
    average = targets.mean(1)
    return average - mean(average)


WARM = "from the layer before"

VARIANTS: dict[str, Callable[..., Any]] = {
    "solver": filtered,
    "no prediction": without_prediction,
    "plain average": plain_average,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="demo")
    parser.add_argument("--weights")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--layers", nargs="*")
    parser.add_argument("--tau", type=float, default=0.01)
    parser.add_argument("--passes", nargs="*", type=int, default=[64, 256, 1024])
    options = parser.parse_args()
    network = zoo.load(options.network, options.weights)
    inputs = network.normalise(data.load(options.data, options.samples).images)
    before = None
    for address in options.layers or network.default_layers:
        with untouched(network.module) as module:
            distance = FeatureDistance(Probe(module, address), inputs)
            before = compare(distance, address, options, 10 / min(network.std), before)


def compare(
    distance: FeatureDistance, address: str, options: argparse.Namespace, cap: float, before: torch.Tensor | None
) -> torch.Tensor:
    """Prints one layer's table; returns its log σ."""
    space, log_cap = SigmaSpace.parse("pixel", tuple(distance.inputs.shape[1:])), torch.tensor(cap).log().item()
    small = torch.full((len(distance.inputs), *space.shape), options.tau**0.5).log()
    noise = SampleNoise(distance.inputs, 2, "variation")
    target = ALPHA * expected_distance(distance, space, small, noise, 0.004, 2048).mean
    print(f"\n{address}, √τ = {options.tau**0.5:g}: mean SID of {len(small)} samples after so many gradient passes")
    print(f"{'':22}" + "".join(f"{passes:>9d}" for passes in options.passes))
    variants = VARIANTS if before is None else VARIANTS | {WARM: filtered}
    for name, variant in variants.items():
        iteration.filtered = variant
        start, row = before if name == WARM else None, []
        for passes in options.passes:
            effort = Effort(tolerance=-1, max_passes=int(passes / 0.7) + 2 + 160 * (passes < 400))
            found = maximise_entropy(distance, space, ALPHA, options.tau, cap, 0, effort, start)
            scaled, _ = calibrate(distance, space, found.log_sigma, target, log_cap, 2, Effort(max_passes=10_240))
            row.append(gaussian_entropy(scaled.exp()).mean())
        print(f"{name:22}" + "".join(f"{value:9.3f}" for value in row), flush=True)
        if name == "solver":
            solution = scaled
    iteration.filtered = filtered
    powers(distance, space, solution)
    return solution


def powers(distance: FeatureDistance, space: SigmaSpace, log_sigma: torch.Tensor) -> None:
    """Prints the noise's and the solution's power on every scale, fine to coarse, and how well the size predicts it."""
    rows, noise = torch.arange(len(log_sigma)), SampleNoise(distance.inputs, 3, "powers")
    slopes, sizes = [], []
    for _ in range(16):
        z = log_sigma.exp()[:, None] * noise.draw(rows.tolist(), 32)
        values, gradient = distance.gradient(rows, z)
        slopes.append(space.gather(z * gradient))
        sizes.append((space.gather(gradient.square()) / values[..., None, None, None]).mean(1))
    g, predicted = torch.cat(slopes, 1), -0.5 * torch.stack(sizes).mean(0).log()
    relative = (g - g.mean(1, keepdim=True)) / g.mean((1, 2, 3, 4), keepdim=True)
    scales = Scales(log_sigma)
    print("scale (fine → coarse)   " + "".join(f"{i:>9d}" for i in range(len(scales.split(log_sigma)))))
    print("noise of one draw, (½g/ḡ)²" + "".join(f"{(p / 2).square().mean():9.3f}" for p in scales.split(relative))[2:])
    parts = list(zip(scales.split(log_sigma), scales.split(predicted), strict=True))
    print("solution, log²σ         " + "".join(f"{s.square().mean():9.3f}" for s, _ in parts))
    alike = [(s * p).mean() / (s.square().mean() * p.square().mean()).sqrt() for s, p in parts]
    print("correlation, prediction " + "".join(f"{c:9.2f}" for c in alike), flush=True)


if __name__ == "__main__":
    main()
