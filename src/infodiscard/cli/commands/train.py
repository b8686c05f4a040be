"""Commands that train networks of the zoo, compress them, and train decoders: train, compress, train-decoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from ... import zoo
from ...decoders.cache import default_folder
from ...training.compress import compress as run_compression
from ...training.train_decoders import train_decoders
from ...training.train_network import train as run_training
from ...zoo.weights import trained_spec
from ..answer import Answer, answers
from ..console import file_name, interruptible, plain_console, write_table
from ..options import NETWORKS, DataSpec, Layers, Mean, Size, Spec, Std
from ..parsing import numbers, patterns, pixels, whole_numbers
from ..tables import new_table, show_paths, show_table

if TYPE_CHECKING:
    from ...decoders.cache import TrainedDecoder
    from ...training.compress import Compressed


STEPS, LESSON, FILES = "How", "From a teacher", "Files"  # panels of --help


def train(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="Such as 'resnet20', 'vgg16,width=0.25', 'resnet20,damage=layer2.1' or 'torchvision:resnet18'.",
        ),
    ],
    data: DataSpec,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the weights go; runs/train-NETWORK.", rich_help_panel=FILES),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="How many images, from the first; all.")] = None,
    crop: Annotated[float | None, typer.Option(help="For 'cub': times the bird's box to keep.")] = None,
    test_data: Annotated[str | None, typer.Option(metavar="SPEC", help="Images to measure accuracy on.")] = None,
    test_samples: Annotated[int | None, typer.Option(help="How many of them; all.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the images.", rich_help_panel=STEPS)] = 30,
    batch_size: Annotated[int, typer.Option(help="Images per step.", rich_help_panel=STEPS)] = 128,
    optimizer: Annotated[
        str | None, typer.Option(help="'sgd' or 'adamw'; as is usual for the network.", rich_help_panel=STEPS)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate; as is usual for the network.", rich_help_panel=STEPS)
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Of every parameter; as is usual.", rich_help_panel=STEPS)
    ] = None,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target spread over the classes.", rich_help_panel=STEPS)
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(help="Of the weights, the order and the augmentation.", rich_help_panel=STEPS)
    ] = 0,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Compute in bfloat16, where that is fast.", rich_help_panel=STEPS)
    ] = False,
    damage: Annotated[
        str | None,
        typer.Option(metavar="BLOCK", help="Put a block without a skip after this one of a ResNet, as 'layer2.1'."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Start from these weights instead of random ones.")
    ] = None,
    keep: Annotated[
        str, typer.Option(help="What of --weights stays: 'zeros' (pruned ones) or 'shared' (equal ones, too).")
    ] = "",
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            help="Learn from it: a .safetensors file trained here, or as NETWORK.",
            rich_help_panel=LESSON,
        ),
    ] = None,
    teacher_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its weights, if needed.", rich_help_panel=LESSON)
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="That soft targets are computed at.", rich_help_panel=LESSON)
    ] = 4.0,
    teacher_share: Annotated[
        float, typer.Option(help="Of the loss; the rest is the labels'.", rich_help_panel=LESSON)
    ] = 0.9,
    keep_every: Annotated[
        int, typer.Option(help="Keep the weights after every N epochs; 0: none.", rich_help_panel=FILES)
    ] = 0,
    keep_epochs: Annotated[
        str | None,
        typer.Option(metavar="E,E,…", help="Keep those of these epochs; 0: the start.", rich_help_panel=FILES),
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option(help="End after this many epochs, to go on later.", rich_help_panel=FILES)
    ] = None,
) -> None:
    """Trains a classifier or an auto-encoder; the same command continues a training that was interrupted."""
    network = network if damage is None else f"{network},damage={damage}"
    folder = out or Path("runs") / f"train-{file_name(network.removeprefix('zoo:'))}"
    with interruptible(folder):
        trained = run_training(
            network,
            data,
            folder,
            test_data=test_data,
            test_samples=test_samples,
            keep_every=keep_every,
            keep_epochs=whole_numbers(keep_epochs, "keep-epochs"),
            stop_after=stop_after,
            samples=samples,
            crop=crop,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            seed=seed,
            weights=weights,
            keep=keep,
            teacher=teacher,
            teacher_weights=teacher_weights,
            temperature=temperature,
            teacher_share=teacher_share,
            bf16=bf16,
        )
    if trained is None:
        typer.echo(f"Stopped before the last epoch; the same command without --stop-after goes on in '{folder}'.")


@answers
def compress(
    answer: Answer,
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="A .safetensors file trained here, or a spec.")],
    data: DataSpec,
    threshold: Annotated[
        float, typer.Option(help="Weights below this many standard deviations of their layer's become 0.")
    ] = 1.0,
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="The network's weights, for a spec.")] = None,
    bits: Annotated[
        int | None, typer.Option(help="Of each shared weight; 8 for convolutions and 5 for linear layers.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where it goes; runs/compressed-NETWORK.")] = None,
    samples: Annotated[int | None, typer.Option(help="How many images to retrain on, from the first; all.")] = None,
    crop: Annotated[float | None, typer.Option(help="For 'cub': times the bird's box to keep.")] = None,
    test_data: Annotated[str | None, typer.Option(metavar="SPEC", help="Images to measure accuracy on.")] = None,
    test_samples: Annotated[int | None, typer.Option(help="How many of them; all.")] = None,
    epochs: Annotated[int, typer.Option(help="Passes of retraining with the mask.", rich_help_panel=STEPS)] = 10,
    batch_size: Annotated[int, typer.Option(help="Images per step.", rich_help_panel=STEPS)] = 128,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate; a tenth of the usual.", rich_help_panel=STEPS)
    ] = None,
    share_epochs: Annotated[
        int, typer.Option(help="Further passes, to train the shared values.", rich_help_panel=STEPS)
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the order and the augmentation.", rich_help_panel=STEPS)] = 0,
) -> None:
    """Compresses a trained network by Deep Compression: prunes it, retrains it and shares its weights."""
    spec, file = (network, weights) if weights is not None else (trained_spec(Path(network)), network)
    folder = out or Path("runs") / f"compressed-{file_name(Path(network).stem)}"
    with interruptible(folder):
        compressed = run_compression(
            spec,
            data,
            threshold,
            folder,
            weights=file,
            bits=bits,
            share_epochs=share_epochs,
            test_data=test_data,
            test_samples=test_samples,
            samples=samples,
            crop=crop,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            seed=seed,
        )
    write_table(compressed.report, folder / "sizes.csv")
    written = answer.give(compressed.report, weights=compressed.weights, accuracy=compressed.accuracy)
    _show_compression(compressed, folder / "sizes.csv", written)


@answers
def train_decoder(
    answer: Answer,
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
    stop_after: Annotated[int | None, typer.Option(help="End after this many epochs, to go on later.")] = None,
    decoders: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where decoders are kept; the user's cache.")
    ] = None,
) -> None:
    """Trains decoders of a network's layers, all in one pass; one that is there already is not trained again."""
    space = {"mean": numbers(mean, "mean"), "std": numbers(std, "std"), "input_size": pixels(size)}
    loaded = zoo.load(network, weights, **space)  # type: ignore[arg-type]
    folder = decoders or default_folder()
    with interruptible(folder):
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
        rows = [{"layer": each.layer, **each.quality, "measured_on": each.held_out} for each in trained.values()]
        written = answer.give(pd.DataFrame(rows), network=loaded.name, decoders=folder)
        typer.echo(f"Decoders in {folder}")
        show_paths(plain_console(), written)
    else:
        typer.echo(f"Stopped before the last epoch; the same command without --stop-after goes on in '{folder}'.")


def _show_decoders(network: str, trained: Iterable[TrainedDecoder]) -> None:
    """Prints how well a network's decoders reconstruct held-out images."""
    from rich.markup import escape

    table = new_table("", f"{escape(network)}\nlayer")
    for heading in ("MSE\ninput units²", "PSNR\ndB", "SSIM\n"):
        table.add_column(heading, justify="right")
    measured = set()
    for each in trained:
        ssim = each.quality.get("ssim")
        cells = f"{each.quality['mse']:.4f}", f"{each.quality['psnr']:.2f}", "–" if ssim is None else f"{ssim:.3f}"
        table.add_row(escape(each.layer), *cells)
        measured.add(each.held_out)
    console = plain_console()
    show_table(console, table)
    console.print(f"Measured on {escape('; '.join(sorted(measured)))}.", style="dim")


def _show_compression(compressed: Compressed, sizes: Path, written: Mapping[str, Path]) -> None:
    """Prints what is left of each layer, the sizes, the accuracies and where the files are."""
    from rich.markup import escape

    table = new_table("", "weights\nof")
    for heading in ("parameters\n", "left\n", "values\n", "dense\nkB", "Huffman\nkB", "times\nsmaller"):
        table.add_column(heading, justify="right")
    for _, row in compressed.report.iterrows():
        share, values, ratio = row["share_left"], row["shared_values"], row["ratio"]
        cells = [f"{row[key] / 1000:,.1f}" for key in ("dense", "huffman")]
        table.add_row(escape(str(row["name"]).removesuffix(".weight")), f"{row['parameters']:,.0f}", f"{share:.0%}",
                      "–" if pd.isna(values) else f"{values:,.0f}", *cells, f"{ratio:.1f}")  # fmt: skip
    console = plain_console()
    show_table(console, table)
    accuracies = ", ".join(f"{stage} {share:.2%}" for stage, share in compressed.accuracy.items() if share is not None)
    if accuracies:
        console.print(f"Test accuracy: {accuracies}.")
    show_paths(console, {"weights": compressed.weights, "all sizes": sizes, **written})
