"""Benchmark of scale: speed and memory of large measurements against small ones, in one run.

    python -m benchmarks.scale                       all rows; about ten minutes on two quiet cores
    python -m benchmarks.scale --rows store plan     some of them
    python -m benchmarks.scale --size 0.25           a quarter of the work, for a first look

ray      passes per second of Ray's two workers, against two plain processes that share the same work
store    time of a run on disk, with its bar, log and status, against the solver's in that same run
samples  time of one problem among 2,000 samples, against one among 200
million  planning 10⁶ problems (100 layers × 10,000 images of CIFAR-10's size) until the first unit
plan     a forecast from at most a fifth of the work, against the time of the work

Ratios are medians over repeats, alternately. Every process has one thread, so that two of them suit two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

import infodiscard
from infodiscard import data, zoo
from infodiscard.data import ImageSet
from infodiscard.measurement.engines import Finished, LocalEngine, Work
from infodiscard.measurement.engines.ray import RayEngine
from infodiscard.measurement.memory import keep_memory, peak_memory
from infodiscard.networks.probe import list_layers

from .bench.bars import Bar
from .bench.report import bar_table

GIB = 1 << 30


def images(count: int, spec: str) -> ImageSet:
    """Returns `count` images: of a data set, or the carried ones again and again, each shifted in its own way."""
    if spec != "demo":
        return data.load(spec, count)
    carried = data.load("demo").images
    shifted = torch.empty(count, *carried.shape[1:])
    for i in range(count):
        turn = i // len(carried)
        shifted[i] = carried[i % len(carried)].roll((turn % 32, turn // 32), (1, 2))
    return ImageSet(shifted)


@dataclass
class Watched:
    """An engine that notes when each unit was finished.

    Attributes:
        engine: does the work; `None`: none is done.
        begin: when the work began, on the monotonic clock.
        ends: when each unit was finished.
        finished: the units, in the same order.
    """

    engine: Any
    begin: float = 0.0
    ends: list[float] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    device_type: str | None = None

    def run(self, run: Any, work: Work) -> Iterator[Finished]:
        """Passes on what the engine finishes."""
        self.begin = time.monotonic()
        for finished in self.engine.run(run, work) if self.engine else ():
            self.ends.append(time.monotonic())
            self.finished.append(finished)
            yield finished

    @property
    def seconds(self) -> float:
        """Of all the work, and of storing it."""
        return self.ends[-1] - self.begin

    def rate(self, workers: int) -> float:
        """Passes per second while all workers were at work: neither beginning nor waiting for the last of them."""
        last = len(self.ends) - workers
        return sum(each.passes for each in self.finished[workers : last + 1]) / (
            self.ends[last] - self.ends[workers - 1]
        )


def measured(engine: Any, pictures: ImageSet, where: str | None, **options: Any) -> Watched:
    """Measures the carried network with an engine."""
    watched = Watched(engine, device_type=getattr(engine, "device_type", None))
    options = {"layers": ["layer2"], "max_passes": 512, "progress": False, **options}
    infodiscard.measure(zoo.load("demo"), pictures, out=where, engine=watched, **options)
    return watched


# -- processes of their own ------------------------------------------------------------------------------------------


def plain(count: int, spec: str, part: int, parts: int) -> dict[str, float]:
    """One of several processes that share the images."""
    with tempfile.TemporaryDirectory() as where:
        share = images(count, spec).select(list(range(part, count, parts)))
        return {"rate": measured(LocalEngine(), share, where).rate(1)}


def with_ray(count: int, spec: str, workers: int) -> dict[str, float]:
    """The same work on Ray."""
    with tempfile.TemporaryDirectory() as where:
        watched = measured(RayEngine(workers=workers), images(count, spec), where)
    return {"rate": watched.rate(workers), "start": watched.ends[0] - watched.finished[0].seconds - watched.begin}


def million(count: int, spec: str, layers: int) -> dict[str, float]:
    """Plans very many problems, until the first unit."""
    pictures = images(count, spec)
    network = zoo.load("zoo:resnet56", allow_random=True)
    names = [each.name for each in list_layers(network.module, torch.zeros(1, 3, 32, 32))][:layers]
    watched, begin = Watched(None), time.monotonic()
    with tempfile.TemporaryDirectory() as where:
        infodiscard.measure(network, pictures, names, out=where, engine=watched, progress=False)
    return {"seconds": watched.begin - begin, "memory": peak_memory() or 0, "problems": len(names) * count}


TASKS: dict[str, Callable[..., dict[str, float]]] = {"plain": plain, "ray": with_ray, "million": million}


def apart(*calls: tuple[Any, ...]) -> list[dict[str, float]]:
    """Runs tasks, each in a process of its own, all at once; returns what they print."""
    command = [sys.executable, "-m", "benchmarks.scale", "--task"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}  # or others would go before
    started = [
        subprocess.Popen([*command, json.dumps(call)], stdout=subprocess.PIPE, text=True, env=environment)
        for call in calls
    ]
    answers = [process.communicate()[0] for process in started]
    if failed := [call for call, process in zip(calls, started, strict=True) if process.returncode]:
        raise RuntimeError(f"The process of {failed[0]} failed; its output is above.")
    return [json.loads(answer.splitlines()[-1]) for answer in answers]


# -- the rows --------------------------------------------------------------------------------------------------------


def ray_row(options: argparse.Namespace) -> Iterator[Bar]:
    """Ray's two workers against two processes."""
    count, ours, theirs = max(24, int(160 * options.size)), [], []
    for _ in range(options.repeats):
        ours.append(apart(("ray", count, options.data, 2))[0])
        theirs.append(sum(each["rate"] for each in apart(*(("plain", count, options.data, i, 2) for i in range(2)))))
    rates = [each["rate"] for each in ours]
    ratio = statistics.median(a / b for a, b in zip(rates, theirs, strict=True))
    start = statistics.median(each["start"] for each in ours)
    words = (
        f"{statistics.median(rates):,.0f} passes/s (start {start:.0f} s)",
        f"{statistics.median(theirs):,.0f} passes/s",
    )
    yield Bar("Ray's 2 workers ÷ 2 processes", f"layer2, {count} images", *words, f"{ratio:.2f}", "≥ 0.9", ratio >= 0.9)


def store_row(options: argparse.Namespace) -> Iterator[Bar]:
    """What a run costs beside the solver, on the same units at the same moments."""
    count = max(8, int(64 * options.size))
    whole, solver = [], []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as where:
            watched = measured(LocalEngine(), images(count, options.data), where, progress=True)
        whole.append(watched.seconds)
        solver.append(sum(each.seconds for each in watched.finished))
    more = statistics.median(a / b for a, b in zip(whole, solver, strict=True)) - 1
    words = f"{statistics.median(whole):.2f} s", f"{statistics.median(solver):.2f} s"
    yield Bar(
        "store and progress, beside the solver", f"layer2, {count} images", *words, f"{more:.1%}", "≤ 3 %", more <= 0.03
    )


class Small(nn.Module):
    """A network on which a problem takes milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 8, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A feature of 8 channels."""
        return self.conv(x).relu()


def samples_row(options: argparse.Namespace) -> Iterator[Bar]:
    """Time of a problem among many samples and among few."""
    few, many = max(20, int(200 * options.size)), max(200, int(2000 * options.size))
    pictures, ratios, costs = images(many, options.data), [], []

    def cost(count: int) -> float:
        watched, module = Watched(LocalEngine()), Small().eval()
        with tempfile.TemporaryDirectory() as where:
            infodiscard.measure(
                module, pictures.take(count), ["conv"], out=where, engine=watched, max_passes=256, progress=False
            )  # fmt: skip
        return watched.seconds / count

    for _ in range(options.repeats):
        # The few before and after the many, so that a machine that grows slower or faster favours neither.
        before, among_many, after = cost(few), cost(many), cost(few)
        costs.append((among_many, (before + after) / 2))
        ratios.append(among_many * 2 / (before + after))
    ratio = statistics.median(ratios)
    words = [f"{1000 * statistics.median(column):.1f} ms" for column in zip(*costs, strict=True)]
    what = f"cost of a problem, {many:,} samples ÷ {few}"
    yield Bar(what, "one convolution", *words, f"{ratio:.3f}", "≤ 1.05", ratio <= 1.05)


def million_row(options: argparse.Namespace) -> Iterator[Bar]:
    """Time and memory of planning."""
    (planned,) = apart(("million", max(200, int(10_000 * options.size)), options.data, 100))
    where = f"resnet56, {planned['problems']:,.0f} problems"
    seconds, memory = planned["seconds"], planned["memory"] / GIB
    yield Bar(
        "planning, until the first unit",
        where,
        f"{seconds:.1f} s",
        value=f"{seconds:.1f} s",
        bar="≤ 30 s",
        met=seconds <= 30,
    )
    yield Bar(
        "memory of the process that plans",
        where,
        f"{memory:.2f} GiB",
        value=f"{memory:.2f}",
        bar="≤ 1 GiB",
        met=memory <= 1,
    )


def plan_row(options: argparse.Namespace) -> Iterator[Bar]:
    """A forecast against the measurement."""
    count = max(16, int(64 * options.size))
    pictures, layers = images(count, options.data), ["layer1", "layer2", "layer3"]
    network, limits = zoo.load("demo"), {"max_passes": 600}
    rough = infodiscard.forecast(network, pictures, layers, seconds=10, **limits).seconds
    forecast = infodiscard.forecast(network, pictures, layers, seconds=0.17 * rough, **limits)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as where:
        run = infodiscard.measure(network, pictures, layers, out=where, progress=False, **limits)
        took = time.monotonic() - begin
        passes = run.summary()["passes"]
    ratios = forecast.layer_table()["passes"] / passes
    words = ", ".join(f"{each:.2f}" for each in ratios)
    met = bool((abs(ratios - 1) <= 0.2).all())
    # These do not depend on the machine's other work.
    yield Bar("passes, forecast ÷ real", ", ".join(layers), value=words, bar="0.8 … 1.2", met=met)
    share, ratio = sum(each.measured for each in forecast.layers) / forecast.problems, forecast.time(1) / took
    spent = forecast.calibrated / took
    seconds = f"{forecast.time(1):.0f} ± {forecast.seconds_se:.0f} s"
    ours = f"{seconds}, from {share:.0%} of the problems in {spent:.0%} of the time"
    met = abs(ratio - 1) <= 0.2 and spent <= 0.2
    yield Bar(
        "time, forecast ÷ real", f"3 layers, {count} images", ours, f"{took:.0f} s", f"{ratio:.2f}", "0.8 … 1.2", met
    )


ROWS = {"ray": ray_row, "store": store_row, "samples": samples_row, "million": million_row, "plan": plan_row}


def main() -> int:
    """Runs the rows and prints the table; returns whether a bar was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--size", type=float, default=1.0, help="share of the usual work")
    parser.add_argument("--repeats", type=int, default=3, help="of either side, alternately")
    parser.add_argument("--data", default="demo", help="images of 32×32; by default made from the carried ones")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    if options.task:
        name, *arguments = json.loads(options.task)
        print(json.dumps(TASKS[name](*arguments)))
        return 0
    bars = []
    for name in options.rows:
        begin = time.monotonic()
        bars += ROWS[name](options)
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    print(bar_table(bars))
    return int(any(bar.met is False for bar in bars))


if __name__ == "__main__":
    sys.exit(main())
