"""Long runs of the solver, kept on disk, and the best solution known for every image.

A file of the cache holds `log_sigma` (`n × 1 × H × W`) and `passes` (`n`), and in its header what it belongs to. Its
name begins with a key of the network's weights, the layer, α, τ and the grid; several files may share a key, and each
image takes the best of all that hold it, whatever their seed and length.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from infodiscard.errors import InfodiscardError

from .judge import JudgedProblem, entropy_of
from .ours import ascend

SEED = 1
"""Of the long runs; ours, which are judged by them, have another."""

DRAWS = 32
"""Noisy inputs per sample and step of a long run."""

GRID = "pixel"


def image_keys(inputs: torch.Tensor) -> list[str]:
    """A short hash of each input."""
    return [hashlib.sha256(row.cpu().contiguous().numpy().tobytes()).hexdigest()[:16] for row in inputs]


@dataclass(frozen=True)
class Cache:
    """The long runs of one network in a folder.

    Attributes:
        folder: where.
        network: its name, for file names.
        weights: hash of its weights.
    """

    folder: Path
    network: str
    weights: str

    def key(self, layer: str, alpha: float, tau: float) -> str:
        """What all long runs of a layer at a noise level share, as the beginning of a file's name."""
        whole = json.dumps([self.weights, layer, alpha, float(f"{tau:.6g}"), GRID])
        return f"{self.network}-{layer}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"

    def store(
        self, layer: str, problem: JudgedProblem, log_sigma: torch.Tensor, passes: torch.Tensor, seed: int = SEED
    ) -> Path:
        """Writes a long run; the file's name also tells its images, seed and passes."""
        images = image_keys(problem.inputs)
        which = hashlib.sha256("".join(images).encode()).hexdigest()[:8]
        name = f"{self.key(layer, problem.alpha, problem.tau)}-{which}-{seed}-{int(passes.max())}.safetensors"
        header = {"images": ",".join(images), "seed": str(seed), "tau": str(problem.tau), "layer": layer}
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{os.getpid()}-{name}"  # two benchmarks may share a cache
        save_file({"log_sigma": log_sigma.cpu().contiguous(), "passes": passes.cpu()}, partial, header)
        partial.replace(self.folder / name)
        return self.folder / name

    def files(self, layer: str, problem: JudgedProblem) -> list[Path]:
        """All long runs of a layer at a noise level, whatever their images."""
        return sorted(self.folder.glob(f"{self.key(layer, problem.alpha, problem.tau)}-*.safetensors"))

    def runs(self, layer: str, problem: JudgedProblem) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """log σ and passes of every long run that holds all the problem's images, their rows alone."""
        wanted = image_keys(problem.inputs)
        for path in self.files(layer, problem):
            with safe_open(path, "pt") as file:
                images = file.metadata()["images"].split(",")
                if set(wanted) <= set(images):
                    rows = torch.tensor([images.index(key) for key in wanted])
                    yield (
                        file.get_tensor("log_sigma")[rows].to(problem.inputs),
                        file.get_tensor("passes")[rows].to(problem.inputs.device),
                    )

    def bring_in(self, file: Path, layer: str, problem: JudgedProblem) -> Path:
        """Copies a long run made elsewhere, whose images are the problem's first.

        Raises:
            InfodiscardError: it does not fit the problem.
        """
        held = load_file(file)
        log_sigma = held["log_sigma"]
        count = min(len(log_sigma), len(problem.inputs))
        if log_sigma.shape[1:] != (1, *problem.inputs.shape[2:]) or count < len(problem.inputs):
            raise InfodiscardError(f"'{file}' holds {tuple(log_sigma.shape)}, which does not fit these images.")
        passes = held.get("passes", torch.zeros(count, dtype=torch.long))
        return self.store(layer, problem, log_sigma[:count].to(problem.inputs), passes[:count].long())


def parse_import(file: Path) -> tuple[float, str]:
    """Returns √τ and the layer from a file name `…_{√τ}_{layer}_{passes}.safetensors`.

    Raises:
        InfodiscardError: it is not of this form.
    """
    match = re.fullmatch(r".*?_([\d.]+)_(.+)_(\d+)\.safetensors", file.name)
    if match is None:
        raise InfodiscardError(f"'{file.name}' is not named NAME_ROOTTAU_LAYER_PASSES.safetensors.")
    return float(match[1]), match[2]


@dataclass(frozen=True)
class Optimum:
    """The best solution known for each image.

    Attributes:
        log_sigma: scaled to the target on the judge's noise, `n × 1 × H × W`.
        entropy: its entropy there, `n`.
        passes: of the run that it is from, `n`; zero for the closed form.
    """

    log_sigma: torch.Tensor
    entropy: torch.Tensor
    passes: torch.Tensor


def ensure(cache: Cache, layer: str, problem: JudgedProblem, passes: int) -> None:
    """Makes a long run, from the last one if there is any, unless the cache has one or the layer is linear."""
    held = list(cache.runs(layer, problem))
    if not any((spent >= 0.9 * passes).all() for _, spent in held) and not is_linear(problem):
        start = max(held, key=lambda run: float(run[1].sum()))[0] if held else None
        long_run(cache, layer, problem, passes, SEED + len(held), start)


def best_known(cache: Cache, layer: str, problem: JudgedProblem) -> Optimum:
    """Returns, for every image, the best of the cached long runs and, for a linear layer, of the closed form."""
    space = problem.space(GRID)
    candidates = list(cache.runs(layer, problem))
    if is_linear(problem):
        exact = closed_form(problem)
        candidates.append((exact, torch.zeros(len(exact), dtype=torch.long, device=exact.device)))
    scaled = torch.stack([problem.calibrated(log_sigma, space) for log_sigma, _ in candidates])
    entropies = entropy_of(scaled)
    if not entropies.isfinite().any(0).all():
        raise InfodiscardError(f"No long run of layer '{layer}' can be scaled to the target distance; make another.")
    best, rows = entropies.argmax(0), torch.arange(len(problem.inputs), device=entropies.device)
    spent = torch.stack([spent for _, spent in candidates])
    return Optimum(scaled[best, rows], entropies[best, rows], spent[best, rows])


def long_run(
    cache: Cache, layer: str, problem: JudgedProblem, passes: int, seed: int = SEED, start: torch.Tensor | None = None
) -> None:
    """Ascends for at least `passes` gradient passes, from log σ of `start`, and keeps the result.

    The judge brings that to the constraint whenever it is read.
    """
    space = problem.space(GRID)
    begin = problem.uniform(space, problem.alpha) if start is None else start
    states = ascend(problem, space, begin, seed, DRAWS)
    state = next(state for state in states if int(state.passes.min()) >= passes)
    cache.store(layer, problem, state.log_sigma, state.passes, seed)


def is_linear(problem: JudgedProblem) -> bool:
    """Whether the feature is an affine function of the input, up to rounding."""
    x = problem.inputs[:1]
    generator = torch.Generator(device=x.device).manual_seed(0)
    a, b = (torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device) for _ in range(2))
    with torch.no_grad():
        f = problem.feature(torch.cat([x, x + a, x + b, x + a + b]))
    return bool((f[3] - f[1] - f[2] + f[0]).norm() <= 1e-4 * (f[3] - f[0]).norm())


def closed_form(problem: JudgedProblem) -> torch.Tensor:
    """The exact log σ of a linear layer up to a common scale: −½ log of the Jacobian's squared column norms.

    The norms are the distances of unit vectors, summed over the channels; the result is `1 × 1 × H × W`.
    """
    space = problem.space(GRID)
    x, first = problem.inputs[:1], torch.zeros(1, dtype=torch.long, device=problem.inputs.device)
    norms = []
    for part in torch.arange(x[0].numel(), device=x.device).split(256):
        unit = torch.nn.functional.one_hot(part, x[0].numel()).to(x).view(1, len(part), *x.shape[1:])
        norms.append(problem.distance(first, unit)[0])
    summed = space.gather(torch.cat(norms).view(x.shape[1:])) / space.weights(x)
    log_sigma = -0.5 * summed.clamp(min=1e-30).log()
    return (problem.uniform(space, problem.alpha) + log_sigma - log_sigma.mean()).clamp(max=math.log(problem.cap))
