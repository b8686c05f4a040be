"""Our solver and what it is measured against, side by side in one run on the same network, images and noise level.

    make bench                                       the carried network
    make bench BENCH="--network zoo:resnet20=FILE --network zoo:resnet44=FILE --data parquet:FILES --profile full"

For every network, layer and noise level it prints the entropy at equal constraint (each σ scaled by one number to the
same distance on the same fresh noise) against passes and seconds, and at the end a table of bars. What has been
computed is kept in --out, long reference runs in --cache; the same command goes on where it was interrupted, and what
was computed by other code or settings is computed anew.
"""

from __future__ import annotations

import argparse
import glob
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from infodiscard import data, zoo
from infodiscard.cli import keep_memory
from infodiscard.errors import InfodiscardError
from infodiscard.network import Network, weights_hash
from infodiscard.probes import Probe, list_layers, resolve, untouched

from . import price, report
from .bars import bars
from .optimum import Cache, image_keys, parse_import
from .problem import Problem
from .results import SOLVER, Case, code_hash
from .work import Config, Work

ALPHA = 1.5
LAYERS = ("bn1", "layer1", "layer2", "layer3", "linear")
PROCEDURES = frozenset({"published", "grid", "adam", "bounded"})
PARTS = sorted(PROCEDURES | {"noise", "cold", "warm", "solve", "price", "captum", "memory"})

QUICK = Config(
    reference_passes=2000,
    max_passes=512,
    baseline_passes=256,
    grid=((1.5, 1.0), (1.5, 4.0), (3.0, 1.0), (3.0, 4.0)),
    adam=((1.5, 0.03), (1.5, 0.1)),
    bounded_seconds=8.0,
    noise_draws=(64, 256),
    repeats=1,
)
PROFILES: dict[str, tuple[Config, dict[str, Any]]] = {
    "quick": (QUICK, {"samples": 2, "tau": [0.01], "judge_draws": 128, "between": []}),
    "full": (
        Config(),
        {"samples": 8, "tau": [0.01, 1e-4], "judge_draws": 512, "between": ["layer1.0", "layer2.0", "layer3.0"]},
    ),
}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--profile", choices=PROFILES, default="quick", help="what the options not given are")
    add("--network", action="append", metavar="SPEC[=WEIGHTS]", help="once per network; 'demo' by default")
    add("--data", default="demo", metavar="SPEC", help="images, as for `infodiscard measure`")
    add("--samples", type=int, help="how many, from the first")
    add("--layers", nargs="*", metavar="PATTERN", default=list(LAYERS), help="layers to measure")
    add("--between", nargs="*", metavar="PATTERN", help="layers that the warm sweep passes through besides")
    add("--tau", nargs="*", type=float, help="variances of the noise behind δ_f²")
    add("--reference-passes", type=int, help="gradient passes of a long reference run")
    add("--max-passes", type=int, help="most gradient passes of ours")
    add("--baseline-passes", type=int, help="most passes of Adam on log σ")
    add("--bounded-seconds", type=float, help="for the bounded procedure, per layer")
    add("--judge-draws", type=int, help="noisy inputs on which an entropy is judged, at most 1024")
    add("--repeats", type=int, help="turns of the price measurement")
    add("--skip", nargs="*", choices=PARTS, default=[], metavar="PART", help=f"leave out: {', '.join(PARTS)}")
    add("--skip-references", action="store_true", help="leave out all other procedures")
    add("--cache", type=Path, default=Path("runs/bench"), help="where long runs are kept")
    add("--out", type=Path, help="where results are kept; CACHE/results by default")
    add("--fresh", action="store_true", help="compute results anew; long runs are kept")
    add("--table", action="store_true", help="compute nothing, print what there is")
    add(
        "--import",
        dest="imported",
        action="append",
        default=[],
        metavar="NETWORK=GLOB",
        help="take long runs named …_ROOTTAU_LAYER_PASSES.safetensors into the cache; their images begin with these",
    )
    add("--device", default="cpu")
    return parser.parse_args(given)


@dataclass(frozen=True)
class Setup:
    """One network on its images, ready.

    Attributes:
        network: on the device.
        inputs: `n × C × H × W`, in its input space.
        layers: to measure, in execution order.
        sweep: these and those in between.
    """

    network: Network
    inputs: torch.Tensor
    layers: tuple[str, ...]
    sweep: tuple[str, ...]
    cache: Cache
    out: Path
    judge_draws: int
    fresh: bool

    @classmethod
    def make(cls, spec: str, options: argparse.Namespace) -> Setup:
        """Loads a network and the images."""
        source, _, weights = spec.partition("=")
        network = zoo.load(source, weights or None)
        network.module.to(options.device)
        inputs = network.normalise(data.load(options.data, options.samples, network.input_size).images)
        known = list_layers(network.module, inputs[:1].to(options.device))
        names = {layer.name for layer in known}
        between = [pattern for pattern in options.between if "*" in pattern or pattern in names]
        layers = resolve(known, options.layers, network.name)
        return cls(
            network,
            inputs.to(options.device),
            layers,
            resolve(known, [*layers, *between], network.name),
            Cache(options.cache, network.name, weights_hash(network.module)),
            options.out or options.cache / "results",
            options.judge_draws,
            options.fresh,
        )

    def problem(self, module: torch.nn.Module, layer: str, tau: float) -> Problem:
        """One layer at one noise level."""
        assert self.network.std is not None  # or normalise would have failed
        cap = 10 / min(self.network.std)
        return Problem(Probe(module, layer), self.inputs, cap, ALPHA, tau, self.judge_draws)

    def case(self, layer: str, tau: float) -> Case:
        """Its results."""
        settings = {
            "weights": self.cache.weights,
            "images": image_keys(self.inputs),
            "alpha": ALPHA,
            "judge": self.judge_draws,
            "device": self.inputs.device.type,
        }
        return Case(self.out, self.network.name, layer, tau, settings, self.fresh)


def main(given: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns an exit code."""
    keep_memory()
    options = arguments(given)
    config = configure(options)
    try:
        setups = [Setup.make(spec, options) for spec in options.network or ["demo"]]
        take_in(setups, options.imported)
        if options.table:
            cases = [case for case in stored(setups, options.tau) if "optimum" in case.parts]
            for case in cases:
                print(report.side_by_side(case))
        else:
            cases = [case for setup in setups for tau in options.tau for case in sweep(setup, tau, config)]
    except InfodiscardError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    memory, code = None, 0
    try:
        memory = None if "memory" in config.skip else memory_of(setups[0].out, options.fresh, options.table)
    except InfodiscardError as error:
        # Hours of other results must not go unprinted for it.
        print(f"Error: {error}", file=sys.stderr)
        code = 2
    print(report.bar_table(bars(cases, memory)))
    return code


def configure(options: argparse.Namespace) -> Config:
    """Fills the options that were not given from the profile, and returns how much is to be done."""
    config, defaults = PROFILES[options.profile]
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    names = ("reference_passes", "max_passes", "baseline_passes", "bounded_seconds", "repeats")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    skip = frozenset(options.skip) | (PROCEDURES if options.skip_references else frozenset())
    return replace(config, skip=skip, **given)


def take_in(setups: Sequence[Setup], imported: Sequence[str]) -> None:
    """Copies long runs made elsewhere into the cache.

    Raises:
        InfodiscardError: a file or its name does not fit.
    """
    for text in imported:
        name, _, pattern = text.partition("=")
        setup = next((setup for setup in setups if setup.network.name == name), None)
        if setup is None or not pattern:
            raise InfodiscardError(f"--import was '{text}'; give NETWORK=GLOB with one of the networks' names.")
        for file in map(Path, sorted(glob.glob(pattern))):
            root, layer = parse_import(file)
            with untouched(setup.network.module) as module:
                written = setup.cache.bring_in(file, layer, setup.problem(module, layer, round(root**2, 12)))
            print(f"{file.name} → {written.name}")


def stored(setups: Sequence[Setup], taus: Sequence[float]) -> Iterator[Case]:
    """The results that are on disk."""
    for setup in setups:
        for tau in taus:
            for layer in setup.layers:
                yield setup.case(layer, tau).load()


def sweep(setup: Setup, tau: float, config: Config) -> Iterator[Case]:
    """Computes one network at one noise level, layer by layer, and prints each as it is finished."""
    starts: dict[int, torch.Tensor] = {}
    before: tuple[str, ...] = ()
    for layer in setup.sweep:
        measured = layer in setup.layers
        if not measured and "warm" in config.skip:
            continue
        case = setup.case(layer, tau)
        with untouched(setup.network.module) as module:
            work = Work(setup.problem(module, layer, tau), case, setup.cache, config, before, progress(case))
            if measured:
                work.compute()
            if "warm" not in config.skip:
                starts = work.warm(starts, measured)
        before = (*before, layer)
        if measured:
            print(report.side_by_side(case), flush=True)
            yield case


def progress(case: Case) -> Any:
    """Says on standard error what has been done."""
    since = time.perf_counter()

    def say(text: str) -> None:
        elapsed = time.perf_counter() - since
        print(f"{case.network} {case.layer} √τ={case.root:g}: {text}, {elapsed:.0f} s in all", file=sys.stderr)

    return say


def memory_of(out: Path, fresh: bool, only_read: bool) -> dict[str, float] | None:
    """Peak memory with few and with many images, from its file if it is there and of this code."""
    files = [*SOLVER, *(SOLVER[0].parent / f"{name}.py" for name in ("measure", "run", "store", "plan"))]
    case = Case(out, "all", "memory", 0.0, {}, fresh)
    if only_read:
        return case.load().parts.get("memory")
    return case.part("memory", {"code": code_hash(files)}, price.peak_memory)


if __name__ == "__main__":
    sys.exit(main())
