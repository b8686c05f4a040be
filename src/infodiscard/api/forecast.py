"""Forecast of the time, memory and storage of a measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch

from ..core.settings import Settings
from ..errors import InfodiscardError, number, quoted, whole
from ..measurement.execution import CALIBRATION, EFFICIENCY, WORKERS, Execution
from ..measurement.first_look import Clock
from ..measurement.forecast import Forecast, predict
from ..measurement.prepare import Measurement
from .measure import measure, prepared
from .specs import data_of, networks_of


def forecast(
    networks: Any,
    data: Any,
    layers: Any = None,
    *,
    seconds: float = CALIBRATION,
    workers: Sequence[int] = WORKERS,
    cores: int | None = None,
    efficiency: float = EFFICIENCY,
    clock: Clock = time.monotonic,
    **options: Any,
) -> Forecast:
    """Predicts what `measure` with the same arguments will take, from a short calibration.

    Whole units of work, chosen at random with a fixed seed, are measured in this process, one of every layer after
    another, until the time is spent.

    Args:
        networks: as for `measure`.
        data: as for `measure`.
        layers: as for `measure`.
        seconds: to spend on the calibration, about; one unit that has been begun is finished.
        workers: numbers of workers to tell the time for; each is like this process.
        cores: of each worker on a CPU, 1 for those of Ray; by default those that torch uses here.
        efficiency: of several workers, above 0 and at most 1.
        clock: seconds from any beginning.
        options: the other arguments of `measure`, but for `out`, `progress`, `engine` and `log`.

    Raises:
        InfodiscardError: what cannot be measured, or a number is not as above.
    """
    seconds = number("seconds", seconds, "a number above 0")
    efficiency = number("efficiency", efficiency, "a number above 0 and at most 1", lambda given: 0 < given <= 1)
    cores = None if cores is None else whole("cores", cores, "a whole number above 0", 1)
    if not isinstance(workers, Iterable) or isinstance(workers, str) or not (counts := list(workers)):
        raise InfodiscardError(f"workers was {quoted(workers)}; it must be whole numbers above 0, such as {WORKERS}.")
    workers = tuple(whole("workers", count, "whole numbers above 0", 1) for count in counts)
    if unwanted := [name for name in ("out", *Execution.names("run")) if name in options]:
        raise InfodiscardError(f"{unwanted[0]} is for measuring; a forecast stores nothing: leave it out.")
    signature(measure).bind(networks, data, layers, **options)  # raises a TypeError if there is no such argument
    settings = Settings.of(**_those(options, Settings.names()))
    execution = Execution(**_those(options, Execution.names()))

    named = networks_of(networks)
    samples, inputs = data_of(data, named), _those(options, ("masks", "kind", "noise_on", "valid"))

    def ready() -> Measurement:
        return prepared(named, samples, layers, settings, execution, inputs)

    with _threads(cores) as used:
        return predict(ready, seconds, workers, used, efficiency, clock)


def _those(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in names}


@contextmanager
def _threads(cores: int | None) -> Iterator[int]:
    """Lets torch use that many cores; yields how many it uses."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(cores or before)
        yield min(cores or before, os.cpu_count() or 1)
    finally:
        torch.set_num_threads(before)
