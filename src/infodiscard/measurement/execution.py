"""Execution of a measurement: where and how it runs, on which no value depends."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.settings import Options
from ..errors import InfodiscardError, flag, number, quoted, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from .engines import Engine

DEFAULT_BLOCK = {"cpu": 4, "cuda": 32}
"""Few enough that all layers are seen soon, and little is to be redone after a kill; enough to fill the device."""

CALIBRATION, WORKERS = 60.0, (1, 8, 64)
"""Seconds of a forecast's calibration, and numbers of workers for which it gives the time."""

EFFICIENCY = 0.9
"""Throughput of several workers, against that many times the one of one; assumed, `benchmarks.scale` measures it."""

UNIT, RUN = {"role": "unit"}, {"role": "run"}


@dataclass(frozen=True, kw_only=True)
class Execution(Options):
    """Where and how a measurement runs; no value depends on it.

    Fields have one of two roles: `unit`, of the computation of each unit of work; and `run`, of a run as a whole.

    Attributes:
        decoders: folder of RU's decoders; `None` for the user's cache.
        block: samples solved and stored together; `None` for the default of the device.
        batch_size: noisy inputs in one forward pass; `None` for as many as are usual.
        device: where to compute; `None` for where the network is.
        engine: what does the work: its name, or itself.
        log: file for one line of JSON per unit; `None` for one in the run's directory.
        progress: whether to draw a progress bar.
        budget: seconds after which the work ends with what is finished; `None` for no end.
        callback: is given the run as often as all layers of some more samples are finished.

    Raises:
        InfodiscardError: a value is none of those allowed.
    """

    decoders: str | Path | None = field(default=None, metadata=UNIT)
    block: int | None = field(default=None, metadata=UNIT)
    batch_size: int | None = field(default=None, metadata=UNIT)
    device: str | torch.device | None = field(default=None, metadata=UNIT)
    engine: str | Engine = field(default="local", metadata=RUN)
    log: str | Path | None = field(default=None, metadata=RUN)
    progress: bool = field(default=True, metadata=RUN)
    budget: float | None = field(default=None, metadata=RUN)
    callback: Callable[[Any], object] | None = field(default=None, metadata=RUN)

    def __post_init__(self) -> None:
        """Checks the values, and makes numbers Python's own."""
        for name in ("block", "batch_size"):
            value = getattr(self, name)
            if value is not None:
                value = whole(name, value, "a whole number, at least 1, or None for the usual one", 1)
                object.__setattr__(self, name, value)
        for name in ("decoders", "log"):
            if not isinstance(getattr(self, name), str | PathLike | None):
                raise InfodiscardError(f"{name} was {quoted(getattr(self, name))}; it must be a path, or None.")
        if self.log is not None and not Path(self.log).expanduser().parent.is_dir():
            raise InfodiscardError(f"log was {quoted(str(self.log))}, whose directory does not exist; make that first.")
        object.__setattr__(self, "progress", flag("progress", self.progress))
        if self.callback is not None and not callable(self.callback):
            raise InfodiscardError(f"callback was {quoted(self.callback)}; it must be a function of the run, or None.")
        if self.budget is not None:
            object.__setattr__(self, "budget", number("budget", self.budget, "seconds above 0, or None to measure all"))
