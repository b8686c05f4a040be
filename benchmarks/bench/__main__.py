"""Benchmark of the solver against other procedures, in one run on the same network, images and noise level.

    make bench                                       the carried network, two images: about ten minutes
    make bench BENCH="--network zoo:resnet20=FILE --network zoo:resnet44=FILE --data parquet:FILES --profile full"
    make bench BENCH="--network FILE.py:squeezenet --data folder:DIR --layers features.9 classifier.3 --skip warm"

For every network, layer and noise level it prints the entropy at equal constraint (each σ scaled by one number to the
same distance on the same fresh noise) against passes and seconds; then how far the corrected values of whole solves are
from that of a long run; and at the end a table of bars. Results are kept in --out, long reference runs in --cache; the
same command continues where it was interrupted, and results of other code or settings are computed again.
"""

from __future__ import annotations

import argparse
import glob
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from infodiscard import data, zoo
from infodiscard.cli import keep_memory
from infodiscard.errors import InfodiscardError
from infodiscard.networks.addresses import resolve
from infodiscard.networks.network import Network, weights_hash
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe, list_layers

from . import price, report
from .bars import bars
from .judge import JudgedProblem
from .optimum import Cache, image_keys, parse_import
from .results import MEASUREMENT, Case, code_hash
from .work import Config, Work

ALPHA = 1.5
LAYERS = ("bn1", "layer1", "layer2", "layer3", "linear")
PARTS = (
    "truth",
    "noise",
    "cold",
    "warm",
    "solve",
    "corrected",
    "price",
    "captum",
    "published",
    "grid",
    "adam",
    "bounded",
    "memory",
)
PROFILES = {
    "quick": Config(
        samples=2,
        tau=(0.01,),
        between=(),
        judge_draws=128,
        reference_passes=3000,
        longest_reference=3000,
        truth_draws=512,
        max_passes=512,
        adam_passes=(64, 128, 256),
        grid=((1.5, 1.0), (1.5, 4.0), (3.0, 1.0), (3.0, 4.0)),
        adam=((1.5, 0.03), (1.5, 0.1)),
        bounded_seconds=8.0,
        noise_draws=(64, 256),
        repeats=1,
    ),
    "full": Config(),
}
CONFIG = {field.name for field in fields(Config)} - {"skip"}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--profile", choices=PROFILES, default="quick", help="values of the options that are omitted")
    add("--network", action="append", metavar="SPEC[=WEIGHTS]", help="once per network; 'demo' by default")
    add("--data", default="demo", metavar="SPEC", help="images, as for `infodiscard measure`")
    add("--samples", type=int, help="how many, from the first")
    add("--layers", nargs="*", metavar="PATTERN", default=list(LAYERS), help="layers to measure")
    add("--between", nargs="*", metavar="PATTERN", help="layers that the warm sweep passes through besides")
    add("--tau", nargs="*", type=float, help="variances of the noise behind δ_f²")
    add("--reference-passes", type=int, help="gradient passes of a long reference run")
    add("--longest-reference", type=int, help="the same where the sampling noise asks for more")
    add("--truth-draws", type=int, help="fresh draws at it")
    add("--budgets", nargs="*", type=int, help="passes of whole solves whose corrected values are judged")
    add("--logit-budgets", nargs="*", type=int, help="the same at the logits")
    add("--max-passes", type=int, help="most gradient passes of ours")
    add("--judge-draws", type=int, help="noisy inputs on which an entropy is judged")
    add("--skip", nargs="*", choices=PARTS, metavar="PART", help=f"omit: {', '.join(PARTS)}")
    add("--cache", type=Path, default=Path("runs/bench"), help="where long runs are kept")
    add("--out", type=Path, help="where results are kept; CACHE/results by default")
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
    return parser.parse_args(argv)


def configure(options: argparse.Namespace) -> Config:
    """How much is to be done: the profile's values, except for the options on the command line."""
    chosen = {name: value for name, value in vars(options).items() if value is not None and name in CONFIG}
    for name in ("tau", "between", "budgets", "logit_budgets"):
        chosen |= {name: tuple(chosen[name])} if name in chosen else {}
    return replace(PROFILES[options.profile], **chosen | {"skip": frozenset(options.skip or ())})


@dataclass(frozen=True)
class Setup:
    """One network on its images, ready.

    Attributes:
        network: on the device.
        inputs: `n × C × H × W`, in its input space.
        layers: to measure, in execution order.
        sweep: these and those in between.
        cache: of its long runs.
        out: where its results are kept.
        config: how much is done.
    """

    network: Network
    inputs: torch.Tensor
    layers: tuple[str, ...]
    sweep: tuple[str, ...]
    cache: Cache
    out: Path
    config: Config

    @classmethod
    def make(cls, spec: str, options: argparse.Namespace, config: Config) -> Setup:
        """Loads a network and the images."""
        source, _, weights = spec.partition("=")
        network = zoo.load(source, weights or None)
        network.module.to(options.device)
        inputs = network.normalise(data.load(options.data, config.samples, network.input_size).images)
        known = list_layers(network.module, inputs[:1].to(options.device))
        names = {layer.name for layer in known}
        between = [pattern for pattern in config.between if "*" in pattern or pattern in names]
        layers = resolve(known, options.layers, network.name)
        sweep = layers if "warm" in config.skip else resolve(known, [*layers, *between], network.name)
        cache = Cache(options.cache, network.name, weights_hash(network.module))
        out = options.out or options.cache / "results"
        return cls(network, inputs.to(options.device), layers, sweep, cache, out, config)

    def problem(self, module: torch.nn.Module, layer: str, tau: float) -> JudgedProblem:
        """One layer at one noise level."""
        assert self.network.std is not None  # or normalise would have failed
        cap = 10 / min(self.network.std)
        return JudgedProblem(Probe(module, layer), self.inputs, cap, ALPHA, tau, self.config.judge_draws)

    def case(self, layer: str, tau: float) -> Case:
        """Its results."""
        settings = {
            "weights": self.cache.weights,
            "images": image_keys(self.inputs),
            "alpha": ALPHA,
            "judge": self.config.judge_draws,
            "device": self.inputs.device.type,
        }
        return Case(self.out, self.network.name, layer, tau, settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns an exit code."""
    keep_memory()
    options = arguments(argv)
    config = configure(options)
    cases: list[Case] = []
    try:
        setups = [Setup.make(spec, options, config) for spec in options.network or ["demo"]]
        take_in(setups, options.imported)
        for setup in setups:
            for tau in config.tau:
                for case in stored(setup, tau) if options.table else sweep(setup, tau):
                    print(report.side_by_side(case), flush=True)
                    cases.append(case)
        memory = None if "memory" in config.skip else memory_of(setups[0].out, options.table)
    except InfodiscardError as error:
        print(f"Error: {error}", file=sys.stderr)
        memory, failed = None, True
    else:
        failed = False
    if cases:  # hours of results must not go unprinted for an error in what came after
        print(report.bar_table(bars(cases, memory)))
    return 2 if failed else 0


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
            with preserved(setup.network.module) as module:
                written = setup.cache.bring_in(file, layer, setup.problem(module, layer, round(root**2, 12)))
            print(f"{file.name} → {written.name}")


def stored(setup: Setup, tau: float) -> Iterator[Case]:
    """The results that are on disk."""
    for layer in setup.layers:
        case = setup.case(layer, tau).load()
        if "optimum" in case.parts:
            yield case


def sweep(setup: Setup, tau: float) -> Iterator[Case]:
    """Computes one network at one noise level, layer by layer."""
    places: dict[int, torch.Tensor] = {}
    for i, layer in enumerate(setup.sweep):
        case = setup.case(layer, tau)
        with preserved(setup.network.module) as module:
            problem = setup.problem(module, layer, tau)
            work = Work(problem, case, setup.cache, setup.config, setup.sweep[:i], progress(case))
            places = work.compute(places) if layer in setup.layers else work.warm(places, judged=False)
        if layer in setup.layers:
            yield case


def progress(case: Case) -> Any:
    """Reports finished parts on standard error."""
    since = time.perf_counter()

    def say(text: str) -> None:
        elapsed = time.perf_counter() - since
        print(f"{case.network} {case.layer} √τ={case.root:g}: {text}, {elapsed:.0f} s in all", file=sys.stderr)

    return say


def memory_of(out: Path, only_read: bool) -> dict[str, float] | None:
    """Peak memory with few and with many images, from its file if it is there and of this code."""
    case = Case(out, "all", "memory", 0.0, {})
    if only_read:
        return case.load().parts.get("memory")
    return case.part("memory", {"code": code_hash(MEASUREMENT)}, price.peak_memory)


if __name__ == "__main__":
    sys.exit(main())
