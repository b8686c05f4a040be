"""How near the solver comes to a long reference run, and whether its own estimate of the gap tells.

    python benchmarks/accuracy.py --network zoo:resnet20 --weights FILE --data "parquet:FILES" --samples 4

For every layer and noise level it prints, over the samples: the entropy gap to the reference (both scaled to the same
distance on the same fresh noise), the passes used, the share converged, the largest distance error of a converged
sample, and how often the gap estimated by the solver covers the true one.
"""

from __future__ import annotations

import argparse
import time

import torch

from infodiscard import data, zoo
from infodiscard.entropy import gaussian_entropy
from infodiscard.noise import SampleNoise, SigmaSpace
from infodiscard.objectives import FeatureDistance
from infodiscard.probes import Probe, untouched
from infodiscard.solver import Effort, calibrate, expected_distance, maximise_entropy

ALPHA = 1.5


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="demo")
    parser.add_argument("--weights")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--layers", nargs="*")
    parser.add_argument("--tau", nargs="*", type=float, default=[0.01, 1e-4])
    parser.add_argument("--reference-passes", type=int, default=10_000)
    parser.add_argument("--tolerance", type=float, default=Effort.tolerance)
    parser.add_argument("--max-passes", type=int, default=Effort.max_passes)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    network = zoo.load(options.network, options.weights)
    inputs = network.normalise(data.load(options.data, options.samples).images)
    space, cap = SigmaSpace.parse("pixel", tuple(inputs.shape[1:])), 10 / min(network.std)
    ours = Effort(tolerance=options.tolerance, max_passes=options.max_passes)
    long = Effort(tolerance=0, max_passes=int(options.reference_passes / 0.7) + 1)
    print(f"{network.name}, {len(inputs)} samples, reference of {options.reference_passes} gradient passes")
    print("layer     √τ   SID(ours) gap:median   max  estimate  covered  passes:median   max  conv.  max |E/αδ²−1|  s")
    for address in options.layers or network.default_layers:
        for tau in options.tau:
            with untouched(network.module) as module:
                distance = FeatureDistance(Probe(module, address), inputs)
                start = time.perf_counter()
                found = maximise_entropy(distance, space, ALPHA, tau, cap, 0, ours)
                seconds = time.perf_counter() - start
                best = maximise_entropy(distance, space, ALPHA, tau, cap, 1, long)
                small = torch.full_like(found.log_sigma, tau**0.5).log()
                noise = SampleNoise(inputs, 2, "variation")
                target = ALPHA * expected_distance(distance, space, small, noise, 0.003, 4096).mean
                judge = Effort(precision=0.004, max_passes=10_240)
                entropies = [
                    calibrate(distance, space, solution.log_sigma, target, torch.tensor(cap).log().item(), 2, judge)[0]
                    for solution in (found, best)
                ]
            gap = (entropies[1] - entropies[0]).mean((1, 2, 3))
            error = (found.distance / ALPHA - 1).abs()[found.converged]
            covered, converged = (found.gap >= gap).float().mean(), found.converged.float().mean()
            print(
                f"{address:8} {tau**0.5:5.2f} {gaussian_entropy(found.log_sigma.exp()).mean():9.3f}"
                f" {gap.median():9.3f} {gap.max():9.3f} {found.gap.median():8.3f} {covered:8.0%}"
                f" {found.passes.median():10d} {found.passes.max():9d} {converged:6.0%}"
                f" {error.max() if len(error) else float('nan'):12.1%} {seconds:8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
