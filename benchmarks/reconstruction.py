"""Benchmark of RU at equal constraint: ours after some passes, Adam with fixed λ at as many, and a long run of ours.

    python -m benchmarks.reconstruction                  # the carried network and decoders, in some minutes
    python -m benchmarks.reconstruction --network zoo:resnet20 --weights FILE --decoders DIR --data parquet:FILES
        --layers layer1 layer2 layer3 --reference 20000

Every σ is scaled by one number per image until E(σ) = α δ_f² on the judge's noise, which no procedure has seen, and its
RU is computed on fresh draws. A pass is one noisy input that goes forward and backward, through network and decoder; a
forward pass alone counts a third. (Ours takes three gradients from each forward pass, Adam one.)
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import torch

from infodiscard import data, zoo
from infodiscard.cli import keep_memory
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.measurement.prepared_network import PreparedNetwork
from infodiscard.solver.effort import Effort
from infodiscard.solver.entropy import gaussian_entropy
from infodiscard.solver.expectation import expected_distance, feature_variation
from infodiscard.solver.ru import ReconstructionProblem, expected_errors, maximise_reconstruction_error
from infodiscard.solver.sigma_space import SigmaSpace

from .bench.judge import JUDGE_SEED, JudgedProblem

ALPHA, TAU = 1.5, 0.01
REFERENCE_SEED = 1
PENALTIES, RATE, DRAWS = (3.0, 10.0, 30.0), 0.05, 8


@dataclass(frozen=True)
class Contest:
    """One layer: the problem of every procedure, and the judge, who estimates RU on `draws` fresh draws."""

    problem: ReconstructionProblem
    judge: JudgedProblem
    draws: int

    def judged(self, log_sigma: torch.Tensor) -> torch.Tensor:
        """RU of each image, nats per pixel, at the target distance; NaN where that cannot be reached."""
        place = self.judge.calibrated(log_sigma, self.problem.space)
        stream = replace(self.problem, seed=JUDGE_SEED).stream("judge")
        squares = expected_errors(self.problem, place, stream, self.draws)
        return gaussian_entropy(squares.sqrt()).mean((1, 2, 3))

    def floor(self) -> torch.Tensor:
        """RU without noise."""
        error = self.problem.distance
        return gaussian_entropy((error.restored() - error.inputs).abs()).mean((1, 2, 3))

    def ours(self, passes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, float]:
        """log σ, the estimated gap and the mean passes."""
        effort = Effort(tolerance=-1, max_passes=passes)
        solution = maximise_reconstruction_error(replace(self.problem, seed=seed), effort)
        return solution.log_sigma, solution.gap, solution.passes.float().mean().item()

    def adam(self, penalty: float, passes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Minimises E / δ_f² − λ · RU over log σ; returns log σ and the distance E / δ_f² where it ends."""
        problem, error, gather = self.problem, self.problem.distance, self.problem.space.gather
        variation, stream = feature_variation(problem, 0.01, 1024), problem.stream("adam")
        log_sigma = problem.uniform.requires_grad_()
        optimiser = torch.optim.Adam([log_sigma], lr=RATE)
        for _ in range(passes // DRAWS):
            z = problem.noise(log_sigma.detach(), problem.rows, stream.draw(problem.rows.tolist(), DRAWS))
            errors = error.errors(problem.rows, z).mean(1)  # the batch's own weights; not counted as passes
            _, _, cost, gain, _ = error.slopes(problem.rows, z, 1 / errors.clamp(min=1e-30), torch.ones_like(z))
            g, h = (gather(z * gradient).mean(1) for gradient in (cost, gain))
            log_sigma.grad = g / variation.mean[:, None, None, None] - penalty * h / error.inputs[0].numel()
            optimiser.step()
        end = log_sigma.detach().clamp(max=problem.log_cap)
        reached = expected_distance(problem, end, problem.stream("check"), 0.01, 1024)
        return end, reached.mean / variation.mean


def report(contest: Contest, layer: str, passes: list[int], reference: int) -> None:
    """Prints the procedures of one layer."""

    def line(name: str, cost: str, value: torch.Tensor, note: str = "") -> None:
        values = " ".join(f"{each:7.3f}" for each in value.tolist())
        print(f"{layer:8} {name:22} {cost:>7} {value.mean():8.3f} |{values}  {note}", flush=True)

    line("no noise (floor)", "0", contest.floor())
    line("uniform σ", "0", contest.judged(contest.problem.small))
    for most in passes:
        log_sigma, gap, cost = contest.ours(most)
        line("ours", f"{cost:.0f}", contest.judged(log_sigma), "reported gap " + " ".join(f"{g:.3f}" for g in gap))
    for penalty in PENALTIES:
        end, distance = contest.adam(penalty, passes[0])
        note = "at distance " + " ".join(f"{d:.2f}" for d in distance)
        line(f"Adam, λ = {penalty:g}", f"{passes[0]}", contest.judged(end), note)
    since = time.perf_counter()
    log_sigma, gap, cost = contest.ours(reference, REFERENCE_SEED)
    note = f"reported gap {' '.join(f'{g:.3f}' for g in gap)}; {time.perf_counter() - since:.0f} s"
    line("long run of ours", f"{cost:.0f}", contest.judged(log_sigma), note)


def main() -> None:
    """Runs the benchmark."""
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
            error = prepared.reconstruction(probe, prepared.inputs)
            space = SigmaSpace.parse("pixel", prepared.inputs.shape)
            judge = JudgedProblem(probe, error.inputs, prepared.cap, ALPHA, TAU, judge_draws=1024)
            contest = Contest(ReconstructionProblem(error, space, ALPHA, TAU, prepared.cap), judge, options.judge_draws)
            report(contest, layer, options.passes, options.reference)


if __name__ == "__main__":
    main()
