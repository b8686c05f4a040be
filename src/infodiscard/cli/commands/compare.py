"""Commands that compare what was measured, or measure and compare: compare, compare-networks, check."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...analysis.gate import DIFFERS, PASS, Allowed, check_arguments, is_run, side_of
from ...analysis.paired import pair_layers
from ...api.check import check as run_check
from ...api.compare import compare as compare_runs
from ...core.metrics import METRICS
from ...errors import InfodiscardError
from ...measurement.execution import Execution
from ...report import write_report
from ..answer import Answer, answers
from ..console import fresh, interruptible, plain_console, show_files, write_table
from ..exit_codes import FAILED, UNDECIDED
from ..gate_table import show_gate
from ..loading import images_of, layers_of, load, run_of
from ..options import DataSpec, Measuring, NetworkData, Pairing, Specs, measures, typed
from ..parsing import load_network, named_runs, one_each
from ..tables import show_comparison, show_paths

if TYPE_CHECKING:
    from ...analysis.side import Side
    from ...networks.network import Network

SIDE = "Directory of a run, DIR/NETWORK for one network of it, or a network as for 'measure'."


@answers
def compare(
    answer: Answer,
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Directories of runs, or NAME=DIR; one run compares its own networks."),
    ],
    metric: Annotated[
        str, typer.Option(help="What to compare: 'sid' (corrected), 'sid_reached', 'concentration', …")
    ] = "sid",
    by: Pairing = "name",
    reference: Annotated[str | None, typer.Option(metavar="NAME", help="Whom to compare with; the first.")] = None,
) -> None:
    """Compares runs or networks layer by layer, over the samples that both have."""
    entries: Any = runs[0] if len(runs) == 1 else named_runs(runs)
    table = compare_runs(entries, metric=metric, reference=reference, by=by)  # type: ignore[arg-type]
    console = plain_console()
    show_comparison(console, table, metric)
    if written := answer.give(table, metric=metric):
        console.print()
        show_paths(console, written)


@measures
@answers
def compare_networks(networks: Specs, data: DataSpec, options: Measuring, answer: Answer) -> None:
    """Measures networks on the same images into one run, compares them with the first, and writes a report.

    Layers are paired by name where two networks share any name, else by position.
    """
    import pandas as pd

    if len(networks) < 2:
        raise InfodiscardError(f"A comparison needs two networks or more; given: {networks[0]}.")
    loaded = load(networks, options)
    images = images_of(data, loaded, options)
    # Before hours are spent on networks whose layers cannot be paired.
    (first, layers), *others = layers_of(loaded, images, options).items()
    for name, theirs in others:
        pair_layers(first, layers, name, theirs, "auto")
    run = run_of(loaded, images, options)
    page = write_report(run, run.path if isinstance(run.path, Path) else fresh(loaded))  # pictures need a directory
    values = run.to_dataframe()
    measured = [name for each in METRICS.values() for name in each.scalars if name != each.floor]
    metrics = [name for name in measured if name in values and values[name].notna().any()]
    tables = {name: compare_runs(run, metric=name, by="auto") for name in metrics}
    console = plain_console()
    for name, table in tables.items():
        show_comparison(console, table, name)
    path = page.parent / "comparison.csv"
    table = pd.concat(tables, names=["metric"]).reset_index("metric")
    write_table(table, path)
    console.print()
    show_files(console, page.parent, run=run.path, comparison=path, **answer.give(table, run=run.path))


@measures
@answers
def check(
    context: typer.Context,
    base: Annotated[str, typer.Argument(metavar="BASE", help=SIDE, show_default=False)],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="The same.", show_default=False)],
    options: Measuring,
    answer: Answer,
    max_change: Annotated[
        float | None,
        typer.Option(
            help="What is allowed, nats/pixel; by default 0.05, or a tenth of what the base discards at the layer.",
        ),
    ] = None,
    max_increase: Annotated[
        float | None, typer.Option(help="What it may discard more; by default --max-change; 'inf': anything.")
    ] = None,
    max_decrease: Annotated[
        float | None, typer.Option(help="What it may discard less; by default --max-change; 'inf': anything.")
    ] = None,
    metric: Annotated[str, typer.Option(help="What to check: 'sid' or 'ru'.")] = "sid",
    by: Pairing = "name",
    confidence: Annotated[float, typer.Option(help="Of the tests and intervals.")] = 0.95,
    data: NetworkData = None,
) -> None:
    """Exits with 0 if CANDIDATE discards the same as BASE, with 1 if it differs, with 3 if that cannot be told.

    The same: at every layer, the interval of the change over the images lies
    within what is allowed. It differs if at some layer the change lies outside
    and is significant, by a paired t-test (or a χ² test of single images)
    corrected for the number of layers by Holm's method, or if significantly
    fewer images are classified as labelled. Bad input, and what is not
    comparable (fewer than two images, unlike settings), exits with 2.

    Networks are measured first, in memory unless --out is given. If only one of
    both is a network, it is measured on the layers, on as many images and under
    the settings of the other's run, unless options say otherwise.
    """
    allowed = {"max_change": max_change, "max_increase": max_increase, "max_decrease": max_decrease}
    Allowed(*allowed.values())
    check_arguments(metric, by, confidence)
    sides, settings = _sides(base, candidate, data, options, typed(context), metric)
    with nullcontext() if options.out is None else interruptible(options.out):
        gate = run_check(**sides, **allowed, metric=metric, by=by, confidence=confidence, **settings)  # type: ignore[arg-type]
    console = plain_console()
    show_gate(console, gate)
    console.print()
    accuracy = None if gate.accuracy is None else gate.accuracy.sentence
    written: dict[str, Any] = answer.give(
        gate.table,
        verdict=gate.verdict,
        sentence=gate.sentence,
        metric=gate.metric,
        worst=gate.worst,
        accuracy=accuracy,
    )
    if paths := ({"run": options.out} if options.out is not None else {}) | written:
        show_paths(console, paths)
    code, colour = {PASS: (0, "green"), DIFFERS: (FAILED, "red")}.get(gate.verdict, (UNDECIDED, "yellow"))
    console.print(gate.sentence, markup=False, soft_wrap=True, style=colour)
    raise typer.Exit(code)


def _sides(
    base: str, candidate: str, data: str | None, options: Measuring, chosen: set[str], metric: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Converts the texts of a check to its runs and networks, and to the data and options of those to be measured."""
    texts = {"base": base, "candidate": candidate}
    runs = {role: side_of(text, role) for role, text in texts.items() if _means_run(text)}
    if len(runs) == 2:
        names = sorted(f"--{name.replace('_', '-')}" for name in chosen | ({"data"} if data else set()))
        if names:
            raise InfodiscardError(
                f"Both are runs, which are measured already; leave out what says how to measure ({', '.join(names)})."
            )
        return runs, {}
    networks = _load(texts, runs, options)
    if data is None:
        raise InfodiscardError(f"'{next(iter(networks.values())).name}' is measured first; give its images as --data.")
    size, only = None, None
    for side in runs.values():
        plan = side.run.plan
        options = options if "samples" in chosen else replace(options, samples=len(plan.samples))
        # What changes no value need not be as it was for the run.
        size, only = (plan.height, plan.width), chosen | {"out", *Execution.names()}
    settings = options.arguments(only)
    if "metrics" not in chosen:
        settings["metrics"] = [metric]
    images = images_of(data, {network.name: network for network in networks.values()}, options, size)
    return runs | networks, settings | {"data": images}


def _means_run(text: str) -> bool:
    """Says whether a text is a run or was meant to be one: a directory, or a path that names no file."""
    path = Path(text)
    return is_run(text) or path.is_dir() or ("/" in text and ":" not in text and not path.suffix)


def _load(texts: Mapping[str, str], runs: Mapping[str, Side], options: Measuring) -> dict[str, Network]:
    """Returns the networks among the texts of a check, by role.

    Raises:
        InfodiscardError: one cannot be loaded, weights or names are not one each, or some are given for a run.
    """
    specs = list(texts.values())
    files, names = one_each(specs, options.weights, "weights"), one_each(specs, options.name, "name")
    loaded = {}
    for (role, spec), file, name in zip(texts.items(), files, names, strict=True):
        if role in runs:
            if file or name:
                raise InfodiscardError(f"'{spec}' is a run, which has its weights and its name; give '-' in its place.")
            continue
        try:
            loaded[role] = load_network(
                spec, file, name, seed=options.seed, allow_random=options.random_weights, **options.space
            )
        except InfodiscardError as error:
            if ":" in spec or Path(spec).exists():
                raise
            raise InfodiscardError(f"'{spec}' is not the directory of a run, and as a network: {error}") from error
    return loaded
