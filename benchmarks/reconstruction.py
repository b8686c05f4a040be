"""RU at equal constraint: ours after some passes, Adam with fixed λ at as many, and a long run of ours.

    python -m benchmarks.reconstruction                  # the carried network and decoders, in some minutes
    python -m benchmarks.reconstruction --network zoo:resnet20 --weights FILE --decoders DIR --data parquet:FILES
        --layers layer1 layer2 layer3 --reference 20000

Every σ is scaled by one number per image until E(σ) = α δ_f² on the judge's noise, which nobody else has seen, and its
RU is computed on fresh draws. A pass is one noisy input that goes forward and backward, through network and decoder; a
forward pass alone counts a third. (Ours takes three gradients from each forward pass, Adam one.)
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass

import torch

from infodiscard import data, zoo
from infodiscard.cli import keep_memory
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.prepared_network import PreparedNetwork
from infodiscard.solver.entropy import gaussian_entropy
from infodiscard.solver.ru import ReconstructionError, expected_errors, maximise_reconstruction_error
from infodiscard.solver.sample_noise import SampleNoise
from infodiscard.solver.sid import Effort, calibrate, expected_distance
from infodiscard.solver.sigma_space import SigmaSpace

ALPHA, TAU = 1.5, 0.01
JUDGE_SEED, REFERENCE_SEED = 1_000_003, 1
JUDGE = Effort(max_passes=5120, precision=0.001)  # 1,024 draws for the scale
PENALTIES, RATE, DRAWS = (3.0, 10.0, 30.0), 0.05, 8


@dataclass(frozen=True)
class Problem:
    """One layer: what is maximised, and the judge."""

    error: ReconstructionError
    cap: float
    draws: int

    @property
    def space(self) -> SigmaSpace:
        return SigmaSpace.parse("pixel", tuple(self.error.inputs.shape[1:]))  # type: ignore[arg-type]

    @property
    def small(self) -> torch.Tensor:
        """log √τ."""
        return torch.full((len(self.error.inputs), *self.space.shape), math.log(TAU) / 2)

    def judged(self, log_sigma: torch.Tensor) -> torch.Tensor:
        """RU of each image, nats per pixel, at the target distance."""
        target = torch.full((len(log_sigma),), ALPHA)
        # One search moves log σ by 2.6 at most, which is too little for what ends at twenty times the distance.
        for _ in range(2):
            places = self.error, self.space, log_sigma, target, math.log(self.cap), JUDGE_SEED, JUDGE
            log_sigma, _ = calibrate(*places, small=self.small)
        noise = SampleNoise(self.error.inputs, JUDGE_SEED, "judge")
        squares = expected_errors(self.error, self.space, log_sigma, noise, self.draws)
        return gaussian_entropy(squares.sqrt()).mean((1, 2, 3))

    def floor(self) -> torch.Tensor:
        """RU without noise."""
        return gaussian_entropy((self.error.restored() - self.error.inputs).abs()).mean((1, 2, 3))

    def ours(self, passes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, float]:
        """log σ, the estimated gap and the mean passes."""
        effort = Effort(tolerance=-1, max_passes=passes)
        found = maximise_reconstruction_error(self.error, self.space, ALPHA, TAU, self.cap, seed, effort)
        return found.log_sigma, found.gap, found.passes.float().mean().item()

    def adam(self, penalty: float, passes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Minimises E / δ_f² − λ · RU over log σ; returns log σ and the distance E / δ_f² where it ends."""
        inputs, space = self.error.inputs, self.space
        rows = torch.arange(len(inputs))
        noise = SampleNoise(inputs, 0, "adam")
        variation = expected_distance(self.error, space, self.small, SampleNoise(inputs, 0, "variation"), 0.01, 1024)
        log_sigma = (self.small + 0.5 * math.log(ALPHA)).requires_grad_()
        optimiser = torch.optim.Adam([log_sigma], lr=RATE)
        for _ in range(passes // DRAWS):
            unit = noise.draw(rows.tolist(), DRAWS)
            z = space.expand(log_sigma.detach().exp())[:, None] * unit
            errors = self.error.errors(rows, z).mean(1)  # the batch's own weights; not counted as passes
            _, _, cost, gain, _ = self.error.slopes(rows, z, 1 / errors.clamp(min=1e-30), torch.ones_like(z))
            g, h = (space.gather(z * gradient).mean(1) for gradient in (cost, gain))
            log_sigma.grad = g / variation.mean[:, None, None, None] - penalty * h / inputs[0].numel()
            optimiser.step()
        end = log_sigma.detach().clamp(max=math.log(self.cap))
        reached = expected_distance(self.error, space, end, SampleNoise(inputs, 0, "check"), 0.01, 1024)
        return end, reached.mean / variation.mean


def report(problem: Problem, layer: str, passes: list[int], reference: int) -> None:
    """Prints everything about one layer."""

    def line(name: str, cost: str, value: torch.Tensor, note: str = "") -> None:
        values = " ".join(f"{each:7.3f}" for each in value.tolist())
        print(f"{layer:8} {name:22} {cost:>7} {value.mean():8.3f} |{values}  {note}", flush=True)

    line("no noise (floor)", "0", problem.floor())
    line("uniform σ", "0", problem.judged(problem.small))
    for most in passes:
        log_sigma, gap, cost = problem.ours(most)
        line("ours", f"{cost:.0f}", problem.judged(log_sigma), "reported gap " + " ".join(f"{g:.3f}" for g in gap))
    for penalty in PENALTIES:
        end, distance = problem.adam(penalty, passes[0])
        note = "at distance " + " ".join(f"{d:.2f}" for d in distance)
        line(f"Adam, λ = {penalty:g}", f"{passes[0]}", problem.judged(end), note)
    since = time.perf_counter()
    log_sigma, gap, cost = problem.ours(reference, REFERENCE_SEED)
    note = f"reported gap {' '.join(f'{g:.3f}' for g in gap)}; {time.perf_counter() - since:.0f} s"
    line("long run of ours", f"{cost:.0f}", problem.judged(log_sigma), note)


def main() -> None:
    """Runs it all."""
    keep_memory()
    parser = argparse.ArgumentParser(description="Compares maximisers of RU at equal constraint.")
    add = parser.add_argument
    add("--network", default="demo")
    add("--weights")
    add("--data", default="demo")
    add("--samples", type=int, default=2)
    add("--layers", nargs="*", default=["layer2"])
    add("--decoders", help="where they are; the carried ones and the user's cache by default")
    add("--passes", nargs="*", type=int, default=[800, 1600], help="most passes of ours; Adam gets the first")
    add("--reference", type=int, default=6000, help="passes of the long run")
    add("--judge-draws", type=int, default=768)
    options = parser.parse_args()
    network = zoo.load(options.network, options.weights)
    inputs = coerce_inputs(data.load(options.data, options.samples, network.input_size))
    prepared = PreparedNetwork.prepare(network.name, network, inputs, options.layers, Settings(), None)
    prepared = prepared.with_decoders(options.decoders)
    print(f"{'layer':8} {'procedure':22} {'passes':>7} {'RU':>8} | each image, nats/pixel")
    for layer in prepared.layers:
        with prepared.layer(layer) as probe:
            problem = Problem(prepared.reconstruction(probe, prepared.inputs), prepared.cap, options.judge_draws)
            report(problem, layer, options.passes, options.reference)


if __name__ == "__main__":
    main()
