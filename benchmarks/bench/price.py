"""Prices to compare with: Captum's IntegratedGradients, plain forward and backward passes, and peak memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from infodiscard.errors import InfodiscardError

from .judge import JudgedProblem
from .ours import solve, synchronise

IG_STEPS = 50

PLAIN_PASSES = 32
"""Per image, in one turn of plain passes."""


def integrated_gradients(problem: JudgedProblem) -> None:
    """Attributes each input by Captum's IntegratedGradients: 50 steps, the layer's squared norm as the output.

    The truncated network is the same, and so is the batch size.
    """
    from captum.attr import IntegratedGradients

    def squared_norm(inputs: torch.Tensor) -> torch.Tensor:
        return problem.feature(inputs).flatten(1).square().sum(1)

    explainer = IntegratedGradients(squared_norm)
    explainer.attribute(problem.inputs, n_steps=IG_STEPS, internal_batch_size=problem.distance.batch_size)


def _batch(problem: JudgedProblem) -> torch.Tensor:
    return problem.inputs[torch.arange(problem.distance.batch_size) % len(problem.inputs)]


def plain_forwards(problem: JudgedProblem, count: int) -> None:
    """`count` batches forward, nothing else."""
    batch = _batch(problem)
    with torch.no_grad():
        for _ in range(count):
            problem.feature(batch)


def plain_passes(problem: JudgedProblem, count: int) -> None:
    """`count` batches forward and backward to the input, nothing else; the weights take no gradient."""
    batch = _batch(problem)
    for _ in range(count):
        inputs = batch.clone().requires_grad_()
        feature = problem.feature(inputs)
        torch.autograd.grad(feature, inputs, torch.ones_like(feature))


def prices(
    problem: JudgedProblem, tolerance: float, max_passes: int, repeats: int, captum: bool = True
) -> dict[str, Any]:
    """Times ours, Captum's and plain passes alternately, so that a busy machine slows all of them.

    Args:
        tolerance: error of the corrected value at which ours stops, nats per input unit.
        repeats: how many turns, after one that is not counted but for ours.

    Returns:
        `ours`, `captum`, `plain` and `forward`: median seconds per image, per image, per pass and per forward pass
        alone; `passes` and `total_passes`: mean over the images of ours; `overhead`: time of ours ÷ (total passes ×
        plain), median of the turns, and `own`, the same with forward passes at their own price instead of a third; and
        of the last solve `converged` and `log_sigma`.
    """
    n = len(problem.inputs)
    seconds: dict[str, list[float]] = {"ours": [], "captum": [], "plain": [], "forward": []}
    overhead, own, batches = [], [], max(2, PLAIN_PASSES * n // problem.distance.batch_size)
    plain_passes(problem, 2)
    if captum:
        integrated_gradients(problem)
    for _ in range(repeats):
        before = _timed(problem, lambda: plain_passes(problem, batches))
        whole = solve(problem, tolerance, max_passes)
        after = _timed(problem, lambda: plain_passes(problem, batches))
        plain = (before + after) / 2 / (batches * problem.distance.batch_size)
        forward = _timed(problem, lambda: plain_forwards(problem, batches)) / (batches * problem.distance.batch_size)
        seconds["plain"].append(plain)
        seconds["forward"].append(forward)
        seconds["ours"].append(whole.seconds / n)
        overhead.append(whole.seconds / (float(whole.total.sum()) * plain))
        own.append(whole.seconds / (float(whole.passes.sum()) * plain + float(whole.forwards.sum()) * forward))
        if captum:
            seconds["captum"].append(_timed(problem, lambda: integrated_gradients(problem)) / n)
    medians = {name: statistics.median(values) if values else None for name, values in seconds.items()}
    return medians | {
        "passes": float(whole.passes.float().mean()),
        "total_passes": float(whole.total.mean()),
        "overhead": statistics.median(overhead),
        "own": statistics.median(own),
        "converged": whole.solution.converged.tolist(),
        "log_sigma": whole.solution.log_sigma,
    }


def _timed(problem: JudgedProblem, work: Callable[[], None]) -> float:
    """Seconds that something takes."""
    since = time.perf_counter()
    work()
    synchronise(problem.inputs.device)
    return time.perf_counter() - since


MEASURE = """
import resource, sys, tempfile, torch
from infodiscard import measure, zoo
from infodiscard.data import ImageSet
count = int(sys.argv[1])
images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
with tempfile.TemporaryDirectory() as folder:
    measure(zoo.load("demo"), ImageSet(images), layers=[sys.argv[2]], out=folder + "/run", progress=False,
            tolerance=100.0, max_passes=256)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / (2**30 if sys.platform == "darwin" else 2**20))
"""


def peak_memory(counts: tuple[int, ...] = (64, 512), layer: str = "bn1") -> dict[str, float]:
    """Peak resident memory, in GiB, of whole measurements of `counts` images, each in a process of its own.

    The layer is a cheap one of the carried network, with the fewest passes and the run on disk.
    """
    peaks = {}
    for count in counts:
        command = [sys.executable, "-c", MEASURE, str(count), layer]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise InfodiscardError(f"The measurement of {count} images failed: {done.stderr.strip().splitlines()[-1]}")
        peaks[str(count)] = float(done.stdout.split()[-1])
    return peaks
