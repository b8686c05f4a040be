"""Commands that measure one run or read one: demo, layers, measure, report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ... import data, zoo
from ...api.measure import measure as run_measurement
from ...api.run import Run, open_run
from ...core.metrics.ru import RU
from ...core.metrics.sid import SID
from ...errors import InfodiscardError
from ...networks.probe import list_layers
from ...report import write_page, write_pictures, write_report
from ...zoo import huggingface
from ..console import announce, interruptible, plain_console, show_files
from ..loading import inputs_of, load, run_of
from ..options import DEMO, ImageData, Mean, Measuring, Size, Spec, Specs, TextFile, Truncate, measures, typed
from ..parsing import named_runs, numbers, pixels
from ..tables import show_layers, show_paths, show_run

if TYPE_CHECKING:
    from ...networks.network import Network
    from ...networks.probe import Call


DRAWING = 0.05
"""Most of the time that goes into pictures of a run that is not finished."""


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run and its report go.")] = Path("runs/demo"),
    progress: Annotated[bool, typer.Option(help="Show the time left.")] = True,
) -> None:
    """Measures the network that the package carries on a dozen images that it carries, and writes a report."""
    network, images = zoo.load("demo"), data.load("demo")
    console = plain_console()
    console.print(
        "How much noise can a picture take before a layer of the network notices? Where it is much, the layer has "
        "discarded what was there: strict information discarding (SID), in nats per pixel. Reconstruction uncertainty "
        f"(RU) is what can no longer be restored from the layer. Measured here: a {network.name} trained on CIFAR-10, "
        f"{len(images)} images, five layers, with at most {DEMO['max_passes']['sid']} and {DEMO['max_passes']['ru']} "
        f"passes per image and layer (a full measurement may take {SID.passes:,} and {RU.passes:,}).",
        highlight=False,
    )
    announce(out)
    with interruptible(out):
        run = run_measurement(
            {network.name: network}, images, out=out, progress=progress, **DEMO, callback=first_picture()
        )
    page = write_report(run)
    show_run(console, run)
    console.print()
    show_files(console, page.parent, run=run.path)


def layers(
    network: Spec,
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="Not needed to list layers.")] = None,
    mean: Mean = None,
    size: Size = None,
) -> None:
    """Lists the layers of a network in execution order: name, type, output shape, calls.

    The input has as many channels as --mean has numbers, 3 if that is not known.
    """
    loaded = zoo.load(network, weights, mean=numbers(mean, "mean"), input_size=pixels(size), allow_random=True)
    call, what = _example(loaded, network)
    listed = list_layers(loaded.module, call)
    console = plain_console()
    show_layers(console, listed, f"{loaded.name}, input {what}", loaded.default_layers)
    if loaded.default_layers:
        console.print("• measured if no --layers are given", style="dim")


def _example(network: Network, spec: str) -> tuple[Call, str]:
    """Returns an input on which layers can be listed, and what it is in words."""
    import torch

    if huggingface.takes_text(network):
        return huggingface.example(network), f"{huggingface.EXAMPLE} tokens"
    if network.input_size is None:
        raise InfodiscardError(f"The input size of '{spec}' is not known; give it as --size, such as --size 32x32.")
    shape = (len(network.mean) if network.mean else 3, *network.input_size)
    return torch.zeros(1, *shape), "×".join(map(str, shape))


@measures
def measure(
    context: typer.Context,
    networks: Specs,
    options: Measuring,
    data: ImageData = None,
    text: TextFile = None,
    truncate: Truncate = False,
) -> None:
    """Measures networks on images or texts and writes a run; the same command continues one that was interrupted."""
    loaded = load(networks, options)
    run = run_of(loaded, *inputs_of(loaded, data, text, truncate, options, typed(context)), callback=first_picture())
    console = plain_console()
    left = sum(unit.stop - unit.start for unit in run.pending())
    if run.to_dataframe().empty:
        console.print(
            f"Nothing is finished within {options.budget}; what was begun is kept, and the same command goes on."
        )
        return
    show_run(console, run)
    console.print()
    if left:
        total = sum(map(len, run.plan.layers.values())) * len(run.plan.samples)
        console.print(
            f"Ended after {options.budget}: {total - left} of {total} samples × layers; the same command goes on."
        )
    if isinstance(run.path, Path):
        show_files(console, write_pictures(run), run=run.path)
        console.print(f"next: infodiscard report {shlex.quote(str(run.path))}", highlight=False, soft_wrap=True)
    else:
        show_paths(console, {"run": run.path})


def first_picture() -> Callable[[Run], None]:
    """Returns a callback that writes the pictures of a run in a directory as it grows, and says so once.

    The larger the run, the longer drawing takes: it has a share of the time, not of the rounds.
    """
    next_time = 0.0

    def draw(run: Run) -> None:
        nonlocal next_time
        begin = time.monotonic()
        if not isinstance(run.path, Path) or begin < next_time or run.complete:
            return
        folder = write_pictures(run)
        if not next_time:
            typer.echo(f"First pictures, of the samples measured by now: {folder / 'maps.png'}", err=True)
        end = time.monotonic()
        next_time = end + (end - begin) / DRAWING

    return draw


def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Directories of runs, or NAME=DIR.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page, ending in .html; or a directory, for pictures and tables, too."),
    ] = None,
) -> None:
    """Writes one page of HTML about one run or several, which needs no other file.

    Of one run, pictures and tables are written beside the page unless --out
    names the page itself.
    """
    places = named_runs(runs)
    opened = {name: open_run(place) for name, place in places.items()}
    alone = next(iter(opened.values())) if runs == list(places.values())[:1] else None  # under its networks' own names
    console = plain_console()
    for run in opened.values():
        show_run(console, run)
    console.print()
    if alone is not None and (out is None or out.suffix != ".html"):
        show_files(console, write_report(alone, out).parent)
    else:
        show_paths(console, {"report": write_page(alone or opened, out)})
