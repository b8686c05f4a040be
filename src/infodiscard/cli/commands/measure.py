"""Commands that measure one run or read one: demo, layers, measure, report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from ... import data, zoo
from ...api.layers import example_of, list_layers
from ...api.run import Run, open_run
from ...core.metrics.ru import RU
from ...core.metrics.sid import SID
from ...errors import InfodiscardError
from ...networks.preserve import unwrap
from ...networks.usual import choose_layers
from ...report import write_page, write_pictures, write_report
from ..answer import Answer, answers
from ..console import interruptible, plain_console, show_files
from ..loading import announced, inputs_of, load, run_of
from ..options import DEMO, ImageData, Mean, Measuring, Size, Spec, Specs, TextFile, Truncate, measures, typed
from ..parsing import named_runs, numbers, pixels
from ..tables import show_layers, show_paths, show_run

DRAWING = 0.05
"""Most of the time that goes into pictures of a run that is not finished."""


@answers
def demo(
    answer: Answer,
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
    with interruptible(out):
        run = announced({network.name: network}, images, out=out, progress=progress, **DEMO, callback=first_picture())
    page = write_report(run)
    show_run(console, run)
    console.print()
    show_files(console, page.parent, run=run.path, **answer.give(run.summary(), run=run.path))


@answers
def layers(
    answer: Answer,
    network: Spec,
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="Not needed to list layers.")] = None,
    mean: Mean = None,
    size: Size = None,
) -> None:
    """Lists the layers of a network in execution order: name, type, output shape, calls.

    The input has as many channels as --mean has numbers, 3 if that is not known.
    """
    loaded = zoo.load(network, weights, mean=numbers(mean, "mean"), input_size=pixels(size), allow_random=True)
    call, what = example_of(loaded)
    listed, modules = list_layers(loaded.module, call), dict(unwrap(loaded.module).named_modules())
    usual = [
        name.partition("#")[0] for name in choose_layers(listed, None, loaded.default_layers, loaded.name, modules)
    ]
    rows = [
        {
            "layer": layer.name,
            "type": layer.type,
            "shape": layer.shape,
            "calls": layer.calls,
            "usual": layer.name in usual,
        }
        for layer in listed
    ]
    console = plain_console()
    show_layers(console, listed, f"{loaded.name}, input {what}", usual)
    console.print("• measured if no --layers are given", style="dim")
    show_paths(console, answer.give(pd.DataFrame(rows), network=loaded.name, input=what))


@measures
@answers
def measure(
    context: typer.Context,
    networks: Specs,
    options: Measuring,
    answer: Answer,
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
        answer.give(run.summary(), run=run.path, finished=False)
        return
    show_run(console, run)
    console.print()
    if left:
        total = sum(map(len, run.plan.layers.values())) * len(run.plan.samples)
        console.print(
            f"Ended after {options.budget}: {total - left} of {total} samples × layers; the same command goes on."
        )
    written = answer.give(run.summary(), run=run.path, finished=not left)
    if isinstance(run.path, Path):
        show_files(console, write_pictures(run), run=run.path, **written)
        console.print(f"next: infodiscard report {shlex.quote(str(run.path))}", highlight=False, soft_wrap=True)
    else:
        show_paths(console, {"run": run.path, **written})


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


@answers
def report(
    answer: Answer,
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Directories of runs, or NAME=DIR.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page, ending in .html; else a directory, for pictures and tables, too."),
    ] = None,
) -> None:
    """Writes one page of HTML about one run or several, which needs no other file.

    Of one run, pictures and tables are written beside the page unless --out
    names the page itself.
    """
    places = named_runs(runs)
    opened = {name: open_run(place) for name, place in places.items()}
    alone = next(iter(opened.values())) if runs == list(places.values())[:1] else None  # under its networks' own names
    page = out is not None and out.suffix.lower() in (".html", ".htm")
    taken = next((each for each in ([out, *out.parents] if out else []) if each.is_file()), None)
    if taken is not None and not (page and taken == out):
        raise InfodiscardError(
            f"--out was '{out}', but '{taken}' is a file; name a page ending in .html, or a directory."
        )
    if alone is not None and not page:
        folder, shown = write_report(alone, out).parent, {}
    else:
        place = out if page or out is None else out / "report.html"
        folder, shown = None, {"report": write_page(alone or opened, place)}
    console = plain_console()
    for run in opened.values():
        show_run(console, run)
    console.print()
    written = answer.give(
        pd.concat({name: run.summary() for name, run in opened.items()}, names=["run"]).reset_index(0)
    )
    if folder is not None:
        show_files(console, folder, **written)
    else:
        show_paths(console, shown | written)
