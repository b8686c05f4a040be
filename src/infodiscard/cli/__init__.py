"""Command line: parse, call, print. Commands are imported when they are used, so that --help is quick."""

from __future__ import annotations

import os
import re
import sys
import traceback
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..errors import InfodiscardError, first_line, nearest
from ..measurement.memory import keep_memory
from .exit_codes import BAD_INPUT, CLOSED, INTERNAL, INTERRUPTED

COMMANDS = {
    "demo": (
        "measure",
        "Measures the network that the package carries on a dozen images that it carries, and writes a report.",
    ),
    "layers": ("measure", "Lists the layers of a network in execution order: name, type, output shape, calls."),
    "plan": (
        "plan",
        "Says what a measurement will take, in time, memory and storage, from a short calibration; stores nothing.",
    ),
    "measure": (
        "measure",
        "Measures networks on images or texts and writes a run; the same command continues one that was interrupted.",
    ),
    "compare": ("compare", "Compares runs or networks layer by layer, over the samples that both have."),
    "compare-networks": (
        "compare",
        "Measures networks on the same images into one run, compares them with the first, and writes a report.",
    ),
    "check": (
        "compare",
        "Exits with 0 if CANDIDATE discards the same as BASE, with 1 if it differs, with 3 if that cannot be told.",
    ),
    "report": ("measure", "Writes one page of HTML about one run or several, which needs no other file."),
    "export": ("export", "Writes a run's numbers and pictures for TensorBoard, or logs them into MLflow."),
    "status": (
        "status",
        "Says how far a run is, how fast it goes and how long it will take, from another terminal or machine.",
    ),
    "verify": (
        "status",
        "Reads all that a run has stored and checks it; exits with 1 if something is missing or damaged.",
    ),
    "train": (
        "train",
        "Trains a classifier or an auto-encoder; the same command continues a training that was interrupted.",
    ),
    "train-decoder": (
        "train",
        "Trains decoders of a network's layers, all in one pass; one that is there already is not trained again.",
    ),
    "compress": (
        "train",
        "Compresses a trained network by Deep Compression: prunes it, retrains it and shares its weights.",
    ),
    "reproduce": (
        "reproduce",
        "Reruns one of the paper's studies, or all: trains what is missing, measures it, and says which claims held.",
    ),
}
"""Name of a command → its module in `commands`, and the first sentence of its own help."""

DEBUG = "--debug"


class Command(TyperCommand):
    """A command that imports its module when it is used; a list of commands needs its summary alone."""

    def load(self) -> TyperCommand:
        """Returns the command itself, with its parameters."""
        return _loaded(str(self.name))

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Returns the context of the command itself, parsed."""
        return self.load().make_context(*args, **extra)


@cache
def _loaded(name: str) -> TyperCommand:
    """Returns the command of a name, from its module."""
    module = import_module(f"{__name__}.commands.{COMMANDS[name][0]}")
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(getattr(module, name.replace("-", "_")))
    return typer.main.get_command(alone)  # type: ignore[return-value]


class Commands(TyperGroup):
    """The commands, with one place that turns what a user can fix into a sentence and an exit code."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, summary) in COMMANDS.items():
            self.add_command(Command(name, help=summary))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments; `--debug` may stand behind the command, too."""
        try:
            return super().parse_args(ctx, sorted(args, key=DEBUG.__ne__))
        except Exception as error:
            raise _usage(error) from error

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; exits with 2 for bad input, 130 for Ctrl-C and 70 for an error of its own."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            typer.echo("\nInterrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from error
        except (Exception, SystemExit) as error:
            if BrokenPipeError in (type(error), type(error.__context__)):  # rich makes an exit with 1 of it
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to write goes nowhere
                raise typer.Exit(CLOSED) from error
            if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):  # typer's own
                raise _usage(error) from error
            if ctx.params.get("debug"):
                traceback.print_exception(error)
            typer.echo(f"Error: {_sentence(error)}", err=True)
            raise typer.Exit(BAD_INPUT if isinstance(error, InfodiscardError | OSError) else INTERNAL) from error


def _usage(error: BaseException) -> BaseException:
    """Prints what is wrong with the words of a command line, in one sentence, and returns an exit with 2.

    Other errors are returned as they are, and so is the help that is shown where a command is given no words.
    """
    said = getattr(error, "format_message", None)
    if said is None or type(error).__name__ == "NoArgsIsHelpError":
        return error
    sentence = " ".join(said().split()).rstrip(".")
    words = getattr(getattr(error, "ctx", None), "command_path", "") or "infodiscard"
    if found := re.fullmatch(r"No such command '(.*?)'.*", sentence):
        sentence = f"There is no command '{found[1]}'; near it are {nearest(found[1], list(COMMANDS))}"
    typer.echo(f"Error: {sentence}; see '{words} --help'.", err=True)
    return typer.Exit(BAD_INPUT)


def _sentence(error: BaseException) -> str:
    """Returns what is said about an error."""
    if isinstance(error, InfodiscardError):
        return str(error)
    if isinstance(error, OSError):
        return f"{first_line(error)}; give another file or directory, or fix that one."
    return (
        f"infodiscard itself failed ({type(error).__name__}: {first_line(error)}), which should not happen; see where "
        f"with {DEBUG}, and please report it."
    )


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def main() -> None:
    """Runs the command line; the entry point of the `infodiscard` script."""
    keep_memory()
    app(prog_name="infodiscard")


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
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show where an error was raised, in the network's own code, too.")
    ] = False,
) -> None:
    """How much information about its input a neural network discards: layer by layer, pixel by pixel, in nats."""
