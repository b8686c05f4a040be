"""Everything that needs a GPU, in one go of at most eight minutes and without a network connection.

    make gpu                                           tests, table and plan; writes gpu.json and docs/gpu.md
    python -m benchmarks.gpu --device cpu --size tiny  the same on a CPU, with tiny networks: whether it works

tests   tests/gpu: all kinds of input, engines and trainings against the CPU, memory, a lack of it
table   passes per second, at the best batch size, of plain forward and backward passes of networks up to a layer in
        several precisions, memory formats and executions, and of this package's passes and whole solves beside them
plan    ImageNet's validation set through 16 layers of ResNet-50 at the speeds of the table

Weights are random: the arithmetic does not depend on them. What does not fit into the time says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from infodiscard import zoo
from infodiscard.core.settings import Settings
from infodiscard.data.coerce import coerce_inputs
from infodiscard.errors import out_of_memory
from infodiscard.measurement.memory import keep_memory
from infodiscard.measurement.prepared_network import PreparedNetwork
from infodiscard.measurement.unit import measured, passes_of
from infodiscard.networks.network import Network

BUDGET, RESERVE, TESTS = 470.0, 20.0, 200.0
"""Seconds in all; those kept for writing; and those that the tests may take."""

NAMES = {"resnet20": "zoo:resnet20", "resnet50": "torchvision:resnet50", "vit_b_16": "torchvision:vit_b_16"}
LAYERS = {
    "resnet20": ("layer2", "linear"),
    "resnet50": ("layer1", "layer2", "layer3", "layer4"),
    "vit_b_16": ("encoder.layers.encoder_layer_5", "encoder.ln"),
}
PIXELS = {"resnet20": 32, "resnet50": 224, "vit_b_16": 224}
TINY = {"resnet20": "zoo:resnet20,width=0.1"}
"""Network → its spec, the layers up to which it is timed, and the height and width of its images; for a trial."""

STAGES = {"layer1": (3, 75), "layer2": (4, 103), "layer3": (6, 600), "layer4": (3, 600)}
"""Stage of ResNet-50 → its blocks, and the passes that a sample takes there: in the first two as measured on a
ResNet-44 (docs/scale.md), in the others the limit that suffices for means."""

IMAGES, EFFICIENCY = 50_000, 0.9
BATCHES = (32, 64, 128, 256, 512, 1024)
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Step = Callable[[], object]


@dataclass(frozen=True)
class Options:
    """How much is done.

    Attributes:
        device: where.
        tiny: with tiny networks, for a moment only.
        seconds: that a rate is timed for.
        deadline: on the monotonic clock.
    """

    device: torch.device
    tiny: bool
    seconds: float
    deadline: float

    @property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes to try, ascending."""
        return (2, 4) if self.tiny else BATCHES

    @property
    def networks(self) -> dict[str, str]:
        """Name → spec."""
        return TINY if self.tiny else NAMES

    @property
    def late(self) -> bool:
        """Whether there is no time for another cell."""
        return time.monotonic() > self.deadline


def wait(device: torch.device) -> None:
    """Waits until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(step: Step, count: int, options: Options) -> float:
    """Passes per second of a step of `count` of them, warmed up."""
    step()
    wait(options.device)
    begin, steps = time.perf_counter(), 0
    while steps < 2 or time.perf_counter() - begin < options.seconds:
        step()
        steps += 1
        if steps % 4 == 0:
            wait(options.device)
    wait(options.device)
    return steps * count / (time.perf_counter() - begin)


def best(make: Callable[[int], Step], options: Options) -> dict[str, float]:
    """The highest rate over batch sizes, as long as a larger one is faster by 3 % and fits."""
    found = {"batch": 0, "rate": 0.0}
    for batch in options.batches:
        try:
            now = rate(make(batch), batch, options)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            break
        finally:
            if options.device.type == "cuda":
                torch.cuda.empty_cache()
        if now > found["rate"]:
            faster, found = now > 1.03 * found["rate"], {"batch": batch, "rate": now}
            if not faster:
                break
        elif now < 0.9 * found["rate"]:
            break
    if options.device.type == "cuda":
        found["memory"] = torch.cuda.max_memory_allocated(options.device)
    return found


# -- plain passes ----------------------------------------------------------------------------------------------------


class Truncated(nn.Module):
    """A network up to a layer, with nothing of this package in its passes."""

    def __init__(self, module: nn.Module, layer: str) -> None:
        from torchvision.models.feature_extraction import create_feature_extractor

        super().__init__()
        self.body = create_feature_extractor(module, {layer: "feature"})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output."""
        return self.body(x)["feature"]


@cache
def loaded(spec: str) -> Network:
    """A network with random weights, made once."""
    network = zoo.load(spec, allow_random=True)
    network.module.requires_grad_(False)
    return network


@cache
def truncated(spec: str, layer: str) -> nn.Module:
    """A network up to a layer, made once."""
    return Truncated(loaded(spec).module, layer).eval()


def plain(module: nn.Module, x: torch.Tensor, autocast: bool) -> Step:
    """A forward and a backward pass of a batch, with respect to the input."""

    def step() -> torch.Tensor:
        noisy = x.detach().requires_grad_()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            feature = module(noisy)
        return torch.autograd.grad(feature.float().square().sum(), noisy)[0]

    return step


def graphed(step: Step, device: torch.device) -> Step:
    """The same step as a CUDA graph, whose kernels are launched at once."""
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


@contextmanager
def precision(name: str) -> Iterator[bool]:
    """Sets how float32 is multiplied, `fp32`, `tf32` or `bf16`; yields whether autocast is on."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        yield name == "bf16"
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def able(device: torch.device) -> tuple[str, ...]:
    """The precisions that a device computes in by itself."""
    if device.type != "cuda":
        return "fp32", "bf16"
    major = torch.cuda.get_device_capability(device)[0]
    return ("fp32", *["tf32"] * (major >= 8), *["bf16"] * torch.cuda.is_bf16_supported(including_emulation=False))


def table(options: Options) -> Iterator[dict[str, Any]]:
    """Yields the cells of the table: those that matter most first."""
    cuda = options.device.type == "cuda"
    executions = ("eager", "graph") if cuda else ("eager",)
    late = [] if options.tiny or not cuda else ["compile"]  # compiling takes longest
    for execution in (*executions, *late):
        for name, spec in options.networks.items():
            for layer in LAYERS[name]:
                for how in able(options.device):
                    for format in ("contiguous", "channels_last"):
                        last = layer == LAYERS[name][-1]
                        if execution != "eager" and (format == "contiguous" or not last):
                            continue
                        cell = {"network": name, "layer": layer, "precision": how, "format": format}
                        yield cell | {"execution": execution} | timed(spec, cell, execution, options)


def timed(spec: str, cell: dict[str, str], execution: str, options: Options) -> dict[str, Any]:
    """The best rate of a cell; or why there is none."""
    if options.late:
        return {"why": "no time was left"}
    size = PIXELS[cell["network"]]
    like = torch.channels_last if cell["format"] == "channels_last" else torch.contiguous_format
    try:
        whole = truncated(spec, cell["layer"]).to(options.device, memory_format=like)

        def make(batch: int) -> Step:
            x = torch.randn(batch, 3, size, size, device=options.device).to(memory_format=like)
            with_autocast = plain(torch.compile(whole) if execution == "compile" else whole, x, autocast)
            return graphed(with_autocast, options.device) if execution == "graph" else with_autocast

        with precision(cell["precision"]) as autocast:
            return best(make, options)
    except Exception as error:  # a cell that fails must not take the others with it
        return {"why": f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"}


# -- this package's passes -------------------------------------------------------------------------------------------


def ours(options: Options) -> Iterator[dict[str, Any]]:
    """Yields, by network and layer: the rate of the package's passes, and of a whole solve."""
    for name, spec in options.networks.items():
        for layer in LAYERS[name]:
            for how in ("full", "bf16") if "bf16" in able(options.device) else ("full",):
                row = {"network": name, "layer": layer, "precision": how}
                if options.late:
                    yield row | {"why": "no time was left"}
                    continue
                try:
                    yield row | solved(loaded(spec), layer, PIXELS[name], how, options)
                except Exception as error:
                    yield row | {"why": f"{type(error).__name__}: {str(error)[:120]}"}


def solved(network: Network, layer: str, size: int, how: str, options: Options) -> dict[str, Any]:
    """Times passes of the feature distance, and a solve of a block."""
    block, passes = (2, 96) if options.tiny else (32, 256)
    images = torch.rand(block, 3, size, size, generator=torch.Generator().manual_seed(0))
    settings = Settings.of(max_passes=passes, precision=how)
    inputs = coerce_inputs(images)
    prepared = PreparedNetwork.prepare(network.name, network, inputs, [layer], settings, options.device)
    with prepared.layer(layer) as probe:
        distance = prepared.distance(probe, inputs)

        def make(batch: int) -> Step:
            distance.batch_size = batch
            rows = torch.arange(min(block, batch), device=options.device)
            draws = batch // len(rows)
            noise = 0.1 * torch.randn(len(rows), draws, 3, size, size, device=options.device)
            return lambda: distance.gradient(rows, noise)

        single = best(make, options)
    measured(prepared, layer, inputs.part([0]), settings, single["batch"])  # warms up
    wait(options.device)
    begin = time.perf_counter()
    values = measured(prepared, layer, inputs, settings, single["batch"])
    seconds = time.perf_counter() - begin
    return single | {"solve": float(passes_of(values).sum()) / seconds, "failures": int(values["failure"].any())}


# -- the plan, and what is written -----------------------------------------------------------------------------------


def plan(rows: list[dict[str, Any]]) -> dict[str, float] | None:
    """GPU-hours of ImageNet's validation set through ResNet-50's 16 blocks, by the rate of solves at each stage."""
    found = {}
    for how in ("full", "bf16"):
        rates = {row["layer"]: row["solve"] for row in rows if row["precision"] == how and row.get("solve")}
        if all(stage in rates for stage in STAGES):
            seconds = sum(blocks * passes / rates[stage] for stage, (blocks, passes) in STAGES.items())
            found[how] = IMAGES * seconds / EFFICIENCY / 3600
    return found or None


def tests(options: Options) -> dict[str, Any]:
    """Runs the tests marked `gpu`; returns how many passed, and what pytest says."""
    # Warnings of another machine's libraries are no failures.
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-rs", "-W", "default"]
    begin, place = time.monotonic(), {**os.environ, "GPU_TESTS_ON": options.device.type}
    try:
        ended = subprocess.run(command, env=place, capture_output=True, text=True, timeout=TESTS)
        said, code = ended.stdout, ended.returncode
    except subprocess.TimeoutExpired as error:
        said, code = (error.stdout or b"").decode(errors="replace"), 124
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", said)}
    return {"code": code, "seconds": time.monotonic() - begin, "counts": counts, "said": said[-6000:]}


def machine(device: torch.device) -> dict[str, str]:
    """What it was run on."""
    about = {"torch": torch.__version__, "python": platform.python_version(), "device": device.type}
    if device.type == "cuda":
        own = torch.cuda.get_device_properties(device)
        about |= {"gpu": own.name, "memory": f"{own.total_memory / 2**30:.0f} GiB", "cuda": str(torch.version.cuda)}
    return about


def markdown(result: dict[str, Any]) -> str:
    """The figures as docs/gpu.md holds them."""
    lines = ["**" + ", ".join(f"{key} {value}" for key, value in result["machine"].items()) + "**", ""]
    if "tests" in result:
        counts = ", ".join(f"{number} {word}" for word, number in result["tests"]["counts"].items()) or "none ended"
        lines += [f"Tests: {counts}, in {result['tests']['seconds']:.0f} s.", ""]
    lines += [
        "| network | up to | precision | memory format | execution | batch | passes/s | GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    plain_rates: dict[tuple[str, str], float] = {}
    for cell in result.get("table", []):
        start = [cell[key] for key in ("network", "layer", "precision", "format", "execution")]
        if "why" in cell:
            lines.append(_row([*start, "–", cell["why"], "–"]))
            continue
        memory = f"{cell['memory'] / 2**30:.1f}" if "memory" in cell else "–"
        lines.append(_row([*start, f"{cell['batch']}", f"{cell['rate']:,.0f}", memory]))
        if cell["execution"] == "eager" and cell["precision"] != "bf16":
            key = cell["network"], cell["layer"]
            plain_rates[key] = max(plain_rates.get(key, 0.0), cell["rate"])
    lines += [
        "",
        "| network | layer | precision | batch | passes/s | plain ÷ ours | whole solve, passes/s | solver's overhead |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result.get("ours", []):
        start = [row["network"], row["layer"], row["precision"]]
        if "why" in row:
            lines.append(_row([*start, "–", row["why"], "–", "–", "–"]))
            continue
        theirs = plain_rates.get((row["network"], row["layer"]))
        ratio = f"{theirs / row['rate']:.2f}" if theirs else "–"
        rest = [f"{row['batch']}", f"{row['rate']:,.0f}", ratio, f"{row['solve']:,.0f}"]
        lines.append(_row([*start, *rest, f"{row['rate'] / row['solve'] - 1:.0%}"]))
    if result.get("plan"):
        hours = ", ".join(f"{value:,.0f} GPU-hours in {how} precision" for how, value in result["plan"].items())
        lines += ["", f"ImageNet's 50,000 validation images × 16 blocks of ResNet-50, at most 600 passes: {hours}."]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def write_page(page: Path, text: str) -> None:
    """Puts the figures between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Runs the parts, writes what they find as soon as it is known, and returns whether a test failed."""
    begin = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="where to compute")
    parser.add_argument("--size", choices=("usual", "tiny"), default="usual", help="of the networks and batches")
    parts = ("tests", "ours", "table")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts), help="what to do")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds in all")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="file for all figures")
    parser.add_argument("--page", type=Path, help="page that takes the tables between its marks")
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use; --device cpu --size tiny tries this script.", file=sys.stderr)
        return 2
    keep_memory()
    tiny = given.size == "tiny"
    options = Options(device, tiny, 0.02 if tiny else 0.3, begin + given.budget - RESERVE)
    result: dict[str, Any] = {"machine": machine(device)}

    def keep() -> None:
        given.out.write_text(json.dumps(result, indent=1), encoding="utf-8")

    if "tests" in given.parts:
        result["tests"] = tests(options)
        keep()
    for name, rows in (("ours", ours), ("table", table)):
        result[name] = []
        for row in rows(options) if name in given.parts else ():
            result[name].append(row)
            print(f"{time.monotonic() - begin:4.0f} s", *row.values(), file=sys.stderr)
            keep()
    result["plan"] = plan(result["ours"]) if not tiny else None
    result["seconds"] = time.monotonic() - begin
    keep()
    text = markdown(result)
    print(text)
    if given.page is not None:
        with suppress(FileNotFoundError):
            write_page(given.page, text)
    return int(result.get("tests", {"code": 0})["code"] != 0)


if __name__ == "__main__":
    sys.exit(main())
