"""Command line: parse, call, print. Everything heavy is imported inside the commands, so that --help is quick."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import InfodiscardError
from ..measurement.memory import keep_memory
from .commands.compare import check, compare, compare_networks
from .commands.export import export
from .commands.measure import demo, layers, measure, report
from .commands.plan import plan
from .commands.reproduce import reproduce
from .commands.status import status, verify
from .commands.train import compress, train, train_decoder
from .console import BAD_INPUT, INTERRUPTED


class Commands(TyperGroup):
    """The commands, with one place that turns what a user can fix into a sentence and an exit code."""

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

COMMANDS = (  # in the order of --help
    demo,
    layers,
    plan,
    measure,
    compare,
    compare_networks,
    check,
    report,
    export,
    status,
    verify,
    train,
    train_decoder,
    compress,
    reproduce,
)
for command in COMMANDS:
    app.command()(command)


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
) -> None:
    """How much information about its input a neural network discards: layer by layer, pixel by pixel, in nats."""
