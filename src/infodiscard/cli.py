"""The command line: parse, call, print. Everything heavy is imported inside the commands, so that --help is quick."""

from __future__ import annotations

import ctypes
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from .arguments import common_size, load_networks, named_runs, number_or_word, numbers, patterns, pixels
from .errors import InfodiscardError

if TYPE_CHECKING:
    from .decoders import TrainedDecoder
    from .network import Network

BAD_INPUT, INTERRUPTED = 2, 130
DEMO: dict[str, Any] = {  # what a dozen images and five layers take in a few minutes
    "metrics": ("sid", "ru"),
    "max_passes": {"sid": 1000, "ru": 500},
    "tolerance": 0.03,
}
NETWORK = "'demo', 'zoo:resnet20', 'torchvision:NAME', 'timm:NAME' or 'FILE.py:FUNCTION'."
DATA = "'demo', 'cifar10', 'cub:DIR', 'folder:DIR', 'parquet:PATTERN' (quoted) or 'npz:FILE'."

NETWORKS, IMAGES, METHOD = "Networks", "Images", "Method"  # panels of --help


class Commands(TyperGroup):
    """The commands, with one place that turns what a user can mend into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; exits with 2 for bad input and 130 for Ctrl-C, without a traceback."""
        try:
            return super().invoke(ctx)
        except InfodiscardError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(BAD_INPUT) from error
        except KeyboardInterrupt as error:
            typer.echo("\nInterrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from error


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Spec = Annotated[str, typer.Argument(metavar="NETWORK", help=NETWORK, show_default=False)]
Specs = Annotated[list[str], typer.Argument(metavar="NETWORK", help=NETWORK, show_default=False)]
DataSpec = Annotated[str, typer.Option("--data", metavar="SPEC", help=DATA, show_default=False, rich_help_panel=IMAGES)]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Layers, such as 'layer*' or 'output'; repeat, or use commas. By default the network's usual ones.",
        rich_help_panel=NETWORKS,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(metavar="M,M,M", help="Per-channel mean of images between 0 and 1.", rich_help_panel=NETWORKS),
]
Std = Annotated[
    str | None, typer.Option(metavar="S,S,S", help="Per-channel standard deviation likewise.", rich_help_panel=NETWORKS)
]
Size = Annotated[
    str | None,
    typer.Option(metavar="H[xW]", help="Resize and crop images to this, such as 224x224.", rich_help_panel=IMAGES),
]
Device = Annotated[str, typer.Option(help="Where to compute, such as 'cpu', 'cuda' or 'cuda:1'.")]


def main() -> None:
    """Runs the command line; the entry point of the `infodiscard` script."""
    keep_memory()
    app(prog_name="infodiscard")


def keep_memory() -> None:
    """Tells glibc to keep freed memory instead of handing it back to the kernel.

    A solve frees and allocates the same activations thousands of times. By default glibc maps each large one afresh and
    the kernel zeroes its pages again; in some containers these page faults cost more than the arithmetic.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # <malloc.h>: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 64 << 20)
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        pass


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(version("infodiscard"))
        except PackageNotFoundError:
            typer.echo("unknown: not installed")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which it is.")
    ] = False,
) -> None:
    """How much information about its input a neural network discards: layer by layer, pixel by pixel, in nats."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run and its report go.")] = Path("runs/demo"),
    progress: Annotated[bool, typer.Option(help="Show the time left.")] = True,
) -> None:
    """Measures the network that the package carries on a dozen images that it carries, and writes a report."""
    from . import data, zoo
    from .measure import measure as run_measurement
    from .report import write_report
    from .tables import show_paths, show_run

    network, images = zoo.load("demo"), data.load("demo")
    console = _console()
    console.print(
        f"Strict information discarding (SID) and reconstruction uncertainty (RU) of a {network.name} trained on "
        f"CIFAR-10, {len(images)} images, with at most {DEMO['max_passes']['sid']} and {DEMO['max_passes']['ru']} "
        "passes per image and layer (a full measurement may take 5,000 and 1,600).",
        highlight=False,
    )
    _announce(out)
    with _interruptible(out):
        run = run_measurement({network.name: network}, images, out=out, progress=progress, **DEMO)
    page = write_report(run)
    show_run(console, run)
    console.print()
    show_paths(console, {"run": run.path})
    _show_files(console, page)


@app.command()
def layers(
    network: Spec,
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="Not needed to list layers.")] = None,
    mean: Mean = None,
    size: Size = None,
) -> None:
    """Lists the layers of a network in execution order: name, type, output shape, calls.

    The input has as many channels as --mean has numbers, 3 if that is not known.
    """
    import torch

    from . import zoo
    from .probes import list_layers
    from .tables import show_layers

    loaded = zoo.load(network, weights, mean=numbers(mean, "mean"), input_size=pixels(size), allow_random=True)
    if loaded.input_size is None:
        raise InfodiscardError(f"The input size of '{network}' is not known; give it as --size, such as --size 32x32.")
    channels = len(loaded.mean) if loaded.mean else 3
    shape = (channels, *loaded.input_size)
    found = list_layers(loaded.module, torch.zeros(1, *shape))
    console = _console()
    show_layers(console, found, f"{loaded.name}, input {'×'.join(map(str, shape))}", loaded.default_layers)
    if loaded.default_layers:
        console.print("• measured if no --layers are given", style="dim")


@app.command()
def measure(
    networks: Specs,
    data: DataSpec,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="State dict; once per network, in order ('-' for one that needs none).",
            rich_help_panel=NETWORKS,
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="What tables call the network; once per network, in order.", rich_help_panel=NETWORKS),
    ] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Networks without weights will do.", rich_help_panel=NETWORKS)
    ] = False,
    samples: Annotated[int, typer.Option(help="How many images, from the first.", rich_help_panel=IMAGES)] = 16,
    layers: Layers = None,
    metrics: Annotated[
        str, typer.Option(help="'sid', 'ru' or 'sid,ru'; RU needs decoders.", rich_help_panel=METHOD)
    ] = "sid",
    decoders: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where RU's decoders are; by default your cache.", rich_help_panel=NETWORKS),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Feature distance to reach, in units of δ_f².", rich_help_panel=METHOD)
    ] = 1.5,
    tau: Annotated[
        str,
        typer.Option(
            help="Variance of the noise behind δ_f²; or 'paper' (0.01), 'code' (0.0001).", rich_help_panel=METHOD
        ),
    ] = "0.01",
    sigma: Annotated[
        str, typer.Option(help="One σ per 'pixel', per 'unit', or on a 'grid:G'.", rich_help_panel=METHOD)
    ] = "pixel",
    seed: Annotated[int, typer.Option(help="Of the noise, and of random weights.", rich_help_panel=METHOD)] = 0,
    tolerance: Annotated[
        float, typer.Option(help="Gap to the optimum at which to stop, nats/pixel.", rich_help_panel=METHOD)
    ] = 0.02,
    max_passes: Annotated[
        int | None,
        typer.Option(help="Most passes per image and layer; 5,000 for SID, 1,600 for RU.", rich_help_panel=METHOD),
    ] = None,
    cap: Annotated[
        str,
        typer.Option(help="Largest σ: 'range' (10 × that of the input), 'data', or a number.", rich_help_panel=METHOD),
    ] = "range",
    start: Annotated[
        str,
        typer.Option(help="'uniform', or from the σ of the layer measured 'before'.", rich_help_panel=METHOD),
    ] = "uniform",
    split: Annotated[
        str, typer.Option(help="'train' or 'test', for 'cifar10' and 'cub'.", rich_help_panel=IMAGES)
    ] = "test",
    crop: Annotated[
        float | None, typer.Option(help="For 'cub': times the bird's box to keep.", rich_help_panel=IMAGES)
    ] = None,
    mean: Mean = None,
    std: Std = None,
    size: Size = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Noisy images at once; by default as fits.")] = None,
    precision: Annotated[str, typer.Option(help="Of the passes: 'full', or 'bf16' by autocast.")] = "full",
    device: Device = "cpu",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the run goes; one that is there is continued.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show the time left.")] = True,
) -> None:
    """Measures networks on images and writes a run; the same command continues one that was interrupted."""
    from . import data as datasets
    from .measure import measure as run_measurement
    from .tables import show_paths, show_run

    space = {"mean": numbers(mean, "mean"), "std": numbers(std, "std"), "input_size": pixels(size)}
    loaded = load_networks(networks, weights, name, seed=seed, allow_random=random_weights, **space)
    images = datasets.load(data, samples, common_size(loaded), split, crop)
    path = out or _fresh(loaded)
    _announce(path)
    with _interruptible(path, given=out is not None):
        run = run_measurement(
            loaded,  # type: ignore[arg-type]
            images,
            layers=patterns(layers),
            metrics=[name for name in re.split(r"[,\s]+", metrics.lower()) if name],
            decoders=decoders,
            alpha=alpha,
            tau=number_or_word(tau),  # type: ignore[arg-type]
            sigma=sigma,
            seed=seed,
            out=path,
            progress=progress,
            tolerance=tolerance,
            max_passes=max_passes,
            cap=number_or_word(cap),
            start=start,
            precision=precision,
            batch_size=batch_size,
            device=device,
        )
    console = _console()
    show_run(console, run)
    console.print()
    show_paths(console, {"run": run.path})


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Directories of runs, or NAME=DIR; one run compares its own networks."),
    ],
    metric: Annotated[str, typer.Option(help="What to compare: 'sid', 'concentration', …")] = "sid",
    by: Annotated[str, typer.Option(help="Pair layers by 'name' or by 'position'.")] = "name",
    reference: Annotated[str | None, typer.Option(metavar="NAME", help="Whom to compare with; the first.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the table here.")] = None,
) -> None:
    """Compares runs or networks layer by layer, over the samples that both have."""
    from .compare import compare as compare_runs
    from .store import told
    from .tables import show_comparison, show_paths

    entries: Any = runs[0] if len(runs) == 1 else named_runs(runs)
    table = compare_runs(entries, metric=metric, reference=reference, by=by)  # type: ignore[arg-type]
    console = _console()
    show_comparison(console, table, "SID" if metric == "sid" else metric)
    if csv is not None:
        with told("write the table", csv):
            table.to_csv(csv, index=False)
        console.print()
        show_paths(console, {"table": csv})


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write; the run's own directory.")] = None,
) -> None:
    """Writes a run's pictures, tables and one page of HTML."""
    from .report import write_report
    from .run import open_run
    from .tables import show_run

    opened = open_run(run)
    page = write_report(opened, out)
    console = _console()
    show_run(console, opened)
    console.print()
    _show_files(console, page)


@app.command()
def train(
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="A zoo name, such as 'resnet20'.")],
    data: DataSpec,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the weights go; runs/train-NETWORK.")] = None,
    samples: Annotated[int | None, typer.Option(help="How many images, from the first; all.")] = None,
    test_data: Annotated[str | None, typer.Option(metavar="SPEC", help="Images to measure accuracy on.")] = None,
    test_samples: Annotated[int | None, typer.Option(help="How many of them; all.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = 12,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 128,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.2,
    weight_decay: Annotated[float, typer.Option(help="Of every parameter.")] = 5e-4,
    label_smoothing: Annotated[float, typer.Option(help="Share of the target spread over the classes.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the weights, the order and the augmentation.")] = 0,
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16, where that is fast.")] = False,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Start from these weights instead of random ones.")
    ] = None,
    keep_every: Annotated[int, typer.Option(help="Keep the weights of every so many epochs; 0: none.")] = 0,
    stop_after: Annotated[int | None, typer.Option(help="End after so many epochs, to go on later.")] = None,
) -> None:
    """Trains a network of the zoo; the same command continues a training that was interrupted."""
    from .train import train as run_training

    folder = out or Path("runs") / f"train-{_file_name(network.removeprefix('zoo:'))}"
    with _interruptible(folder):
        trained = run_training(
            network,
            data,
            folder,
            test_data=test_data,
            test_samples=test_samples,
            keep_every=keep_every,
            stop_after=stop_after,
            samples=samples,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            seed=seed,
            weights=weights,
            bf16=bf16,
        )
    if trained is None:
        typer.echo(f"Stopped before the last epoch; the same command without --stop-after goes on in '{folder}'.")


@app.command("train-decoder")
def train_decoder(
    network: Spec,
    data: DataSpec,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="The network's state dict.", rich_help_panel=NETWORKS)
    ] = None,
    layers: Layers = None,
    mean: Mean = None,
    std: Std = None,
    size: Size = None,
    samples: Annotated[int | None, typer.Option(help="How many images, from the first; all.")] = None,
    test_data: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Images to measure the reconstruction on.")
    ] = None,
    test_samples: Annotated[int | None, typer.Option(help="How many of them; all.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 8e-3,
    weight_decay: Annotated[float, typer.Option(help="Of every parameter.")] = 1e-4,
    validation_share: Annotated[float, typer.Option(help="Share of the images held out to choose the epoch.")] = 0.05,
    patience: Annotated[int, typer.Option(help="Epochs without a better one after which to end.")] = 3,
    width: Annotated[int, typer.Option(help="Channels of a decoder at the input's size.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the weights, the held-out images and the order.")] = 0,
    bf16: Annotated[bool, typer.Option("--bf16", help="Train in bfloat16, where that is fast.")] = False,
    half: Annotated[bool, typer.Option("--half", help="Write the weights in 16 bits.")] = False,
    stop_after: Annotated[int | None, typer.Option(help="End after so many epochs, to go on later.")] = None,
    decoders: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where decoders are kept; the user's cache.")
    ] = None,
) -> None:
    """Trains decoders of a network's layers, all in one pass; one that is there already is not trained again."""
    from . import zoo
    from .decoders import default_folder
    from .train_decoder import train_decoders

    space = {"mean": numbers(mean, "mean"), "std": numbers(std, "std"), "input_size": pixels(size)}
    loaded = zoo.load(network, weights, **space)  # type: ignore[arg-type]
    folder = decoders or default_folder()
    with _interruptible(folder):
        trained = train_decoders(
            loaded,
            data,
            patterns(layers) or (),
            folder,
            test_data=test_data,
            test_samples=test_samples,
            stop_after=stop_after,
            samples=samples,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            validation_share=validation_share,
            patience=patience,
            width=width,
            seed=seed,
            bf16=bf16,
            half=half,
        )
    if trained:
        _show_decoders(loaded.name, trained.values())
        typer.echo(f"Decoders in {folder}")
    else:
        typer.echo(f"Stopped before the last epoch; the same command without --stop-after goes on in '{folder}'.")


# -- the run's place -------------------------------------------------------------------------------------------------


def _fresh(networks: dict[str, Network]) -> Path:
    """Returns a directory for a run that was given none: `runs/NAME-TIMESTAMP`."""
    return Path("runs") / f"{_file_name('+'.join(networks))}-{datetime.now():%Y%m%d-%H%M%S}"


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", text)[:80]


def _announce(path: Path) -> None:
    """Says where the run goes, and that it is there already, in whole or in part."""
    from .run import Run
    from .store import STORE

    if not (path.expanduser() / STORE).is_dir():
        typer.echo(f"Run in {path}")
        return
    run = Run.open(path)
    left, total = len(run.pending()), len(run.plan.units())
    state = f"{total - left} of {total} parts are finished; going on" if left else "finished; it is reopened"
    typer.echo(f"Run in {path}: there already, {state} if its settings are these.")


@contextmanager
def _interruptible(path: Path, given: bool = True) -> Iterator[None]:
    """Says on Ctrl-C what is kept and how to go on.

    Args:
        path: where the work is kept.
        given: whether the same command would find it there; otherwise the command is shown with --out.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:  # Lightning turns the one into the other
        if isinstance(error, SystemExit) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        again = "" if given else f": {shlex.join(['infodiscard', *sys.argv[1:], '--out', str(path)])}"
        typer.echo(f"\nInterrupted. What was finished is kept in '{path}'; the same command continues{again}", err=True)
        raise typer.Exit(INTERRUPTED) from error


def _show_files(console: Console, page: Path) -> None:
    """Prints where the files of a report lie; `page` is its report.html."""
    from .tables import show_paths

    sheets = [*page.parent.glob("maps*.png"), *page.parent.glob("reconstructions*.png")]
    sheets.sort(key=lambda path: (len(path.name), path.name))  # maps, maps-2, …
    names = {path.stem.replace("-", " ").replace("_ru", " of RU"): path for path in sheets}
    show_paths(console, {"layer curve": page.parent / "layers.png", **names, "report": page})


def _show_decoders(network: str, trained: Iterable[TrainedDecoder]) -> None:
    """Prints how well a network's decoders reconstruct held-out images."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(f"{escape(network)}\nlayer", overflow="fold", min_width=8)
    for heading in ("MSE\ninput units²", "PSNR\ndB", "SSIM\n"):
        table.add_column(heading, justify="right", no_wrap=True)
    measured = set()
    for each in trained:
        ssim = each.quality.get("ssim")
        cells = f"{each.quality['mse']:.4f}", f"{each.quality['psnr']:.2f}", "–" if ssim is None else f"{ssim:.3f}"
        table.add_row(escape(each.layer), *cells)
        measured.add(each.held_out)
    console = _console()
    console.print(table)
    console.print(f"Measured on {escape('; '.join(sorted(measured)))}.", style="dim")


def _console() -> Console:
    return Console(highlight=False)


if __name__ == "__main__":
    main()
