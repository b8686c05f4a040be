"""Forecast of the time, memory and storage that a measurement will take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..results.arrays import Arrays
from ..results.plan import Plan
from ..results.run import StoredRun
from ..results.store import create_store
from .calibration import Calibration, LayerTimings, Timing
from .execution import EFFICIENCY, WORKERS
from .first_look import Clock
from .memory import Need, peak_memory
from .pace import SPREAD, duration, duration_range
from .prepare import Measurement

if TYPE_CHECKING:
    import pandas as pd

PICTURES = 8
"""Chunks of images or masks that are compressed, to know what all of them take."""


@dataclass(frozen=True)
class LayerForecast:
    """What one layer takes.

    Attributes:
        network, layer: which.
        measured: samples that were measured at this layer.
        seconds: of a sample.
        seconds_se: its standard error, between units where two or more were measured, else between samples; NaN if one
            sample was.
        passes: forward and backward passes of a sample.
        size: bytes of a sample, compressed where a whole unit was measured.
        longest: seconds of a whole unit, the longest that was met.
        low, high: the least and the most seconds of a sample that are likely.
        guessed: whether no sample could be measured in the time given; seconds and passes are then what a first look
            or a search that was given up makes likely.
    """

    network: str
    layer: str
    measured: int
    seconds: float
    seconds_se: float
    passes: float
    size: float
    longest: float
    low: float
    high: float
    guessed: bool


@dataclass(frozen=True)
class Forecast:
    """What a measurement will take.

    Attributes:
        plan: of the measurement.
        layers: what each takes.
        device: where it was calibrated: `cpu`, `cuda`.
        cores: of each worker, on a CPU.
        calibrated: seconds that the calibration took.
        start_up: seconds until the first unit, as they were here.
        memory: most bytes of resident memory of this process; `None` where that is not known.
        gpu_memory: most bytes allocated on the GPU; `None` on a CPU.
        need: what of the memory the weights and one noisy batch take, at the layer where it is most.
        fixed_size: bytes of what is stored but for the units: the pictures, names and metadata.
        objects: files, or objects in a bucket.
        workers: for which `table` tells the time.
        efficiency: of several workers, as assumed.
    """

    plan: Plan
    layers: tuple[LayerForecast, ...]
    device: str
    cores: int
    calibrated: float
    start_up: float
    memory: int | None
    gpu_memory: int | None
    fixed_size: float
    objects: int
    workers: tuple[int, ...] = WORKERS
    efficiency: float = EFFICIENCY
    need: Need | None = None

    def __repr__(self) -> str:
        """Describes the forecast in one line."""
        return f"<Forecast: {duration(self.seconds)} ({duration_range(*self.range)}) for {self.problems:,} problems>"

    @property
    def problems(self) -> int:
        """Samples × layers."""
        return len(self.plan.samples) * len(self.layers)

    @property
    def units(self) -> int:
        """Units of work."""
        return -(-len(self.plan.samples) // self.plan.block) * len(self.layers)

    @property
    def seconds(self) -> float:
        """Of all the work, on one worker."""
        return len(self.plan.samples) * sum(each.seconds for each in self.layers)

    @property
    def seconds_se(self) -> float:
        """Standard error of `seconds`; NaN if nothing is known of it."""
        errors = np.array([each.seconds_se for each in self.layers])
        values = np.array([each.seconds for each in self.layers])
        if (unknown := np.isnan(errors)).any():
            # As uncertain, relatively, as the most uncertain of the others.
            errors[unknown] = values[unknown] * np.max((errors / values)[~unknown], initial=-math.inf)
            errors[np.isinf(errors)] = math.nan
        # Layers are calibrated on units of their own; only where each begins at the one before are these the same.
        chained = self.plan.settings.start == "before"
        return float(len(self.plan.samples) * (errors.sum() if chained else np.sqrt((errors**2).sum())))

    @property
    def size(self) -> float:
        """Bytes that the run will take."""
        return self.fixed_size + len(self.plan.samples) * sum(each.size for each in self.layers)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most seconds of all the work that are likely, on one worker."""
        count = len(self.plan.samples)
        return count * sum(each.low for each in self.layers), count * sum(each.high for each in self.layers)

    @property
    def guessed(self) -> bool:
        """Whether some layers could not be measured in the time given."""
        return any(each.guessed for each in self.layers)

    @property
    def tail(self) -> float:
        """Seconds for which workers wait for the last ones: half of the longest unit, or chain of such."""
        longest = [each.longest for each in self.layers]
        return (sum(longest) if self.plan.settings.start == "before" else max(longest)) / 2

    def time(self, workers: int = 1) -> float:
        """Returns the seconds from start to end.

        Args:
            workers: each like this process. Of more than there are units, the others have nothing to do.
        """
        if workers == 1:
            return self.start_up + self.seconds
        return self.start_up + self.seconds / min(workers, self.units) / self.efficiency + self.tail

    def table(self) -> pd.DataFrame:
        """Returns one row per number of workers: seconds, their standard error, and hours of all GPUs or cores."""
        import pandas as pd

        rows = []
        for count in self.workers:
            share = 1.0 if count == 1 else min(count, self.units) * self.efficiency
            hours = self.seconds / (1.0 if count == 1 else self.efficiency) / 3600
            rows.append(
                {
                    "workers": count,
                    "seconds": self.time(count),
                    "seconds_se": self.seconds_se / share,
                    "seconds_low": self.time(count) - (self.seconds - self.range[0]) / share,
                    "seconds_high": self.time(count) + (self.range[1] - self.seconds) / share,
                    "gpu_hours" if self.device == "cuda" else "core_hours": hours
                    * (1 if self.device == "cuda" else self.cores),
                }
            )
        return pd.DataFrame(rows)

    def layer_table(self) -> pd.DataFrame:
        """Returns one row per layer: the attributes of `LayerForecast`, and its share of the time."""
        import pandas as pd

        table = pd.DataFrame([vars(each) for each in self.layers])
        table.insert(5, "share", table["seconds"] / table["seconds"].sum())
        return table


def predict(
    prepare: Callable[[], Measurement],
    seconds: float,
    workers: Sequence[int],
    cores: int,
    efficiency: float,
    clock: Clock,
) -> Forecast:
    """Predicts what a measurement will take; arguments as for `infodiscard.forecast`.

    Args:
        prepare: prepares the measurement, which is timed.
        cores: that torch uses here.
    """
    from zarr.storage import MemoryStore

    begin = clock()
    measurement = prepare()
    plan, device = measurement.plan, next(iter(measurement.work.networks.values())).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start_up, memory = clock() - begin, MemoryStore()
    create_store(memory, plan, **measurement.inputs.pictures(), most=PICTURES)
    run = StoredRun(plan, memory, None, writable=True)
    fixed, objects = run.arrays.fixed()
    calibration = Calibration(run, measurement.work, seconds, clock)
    blocks = -(-len(plan.samples) // plan.block)
    each = len(run.arrays.written()) + 1
    needs = [known.look.need for known in calibration.layers.values() if known.look.need is not None]
    return Forecast(
        plan=plan,
        layers=tuple(_layer(*layer, known, run.arrays) for layer, known in calibration.layers.items()),
        device=device.type,
        cores=cores,
        calibrated=calibration.seconds,
        start_up=start_up,
        memory=peak_memory(),
        gpu_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        fixed_size=fixed,
        objects=objects + blocks * len(calibration.layers) * each,
        workers=tuple(workers),
        efficiency=efficiency,
        need=max(needs, key=lambda need: need.whole, default=None),
    )


def _layer(network: str, layer: str, known: LayerTimings, arrays: Arrays) -> LayerForecast:
    """Returns what a layer takes for each sample."""
    plan, timings = arrays.plan, known.timings
    whole = [each for each in timings if each.size is not None]
    size = _mean([each.size or 0 for each in whole], whole) if whole else float(arrays.raw_size(1))
    passes = [int(each.passes.sum()) for each in timings]
    seconds, error = known.usual, seconds_error(timings, len(plan.samples))
    if not timings:
        low, high = known.range
    else:
        spread = SPREAD * seconds / sum(len(each.passes) for each in timings) ** 0.5 if math.isnan(error) else 2 * error
        low, high = max(0.0, seconds - spread), seconds + spread
    return LayerForecast(
        network=network,
        layer=layer,
        measured=sum(len(each.passes) for each in timings),
        seconds=seconds,
        seconds_se=error,
        passes=_mean(passes, timings) if timings else known.look.expected,
        size=size,
        longest=max([each.seconds / len(each.passes) for each in timings] or [high])
        * min(plan.block, len(plan.samples)),
        low=low,
        high=high,
        guessed=not timings,
    )


def _mean(values: Sequence[float], timings: Sequence[Timing]) -> float:
    """Returns the mean for a sample of sums over units."""
    return sum(values) / sum(len(each.passes) for each in timings)


def seconds_error(timings: Sequence[Timing], samples: int) -> float:
    """Returns the standard error of a layer's seconds for a sample; those timed were drawn from `samples`."""
    counts = np.array([len(each.passes) for each in timings])
    left = 1 - counts.sum() / samples  # what was measured is known
    if len(timings) == 1 and (counts[0] > 1 or left == 0):
        # Between its samples: the time that each took goes by its passes.
        share = timings[0].passes / max(timings[0].passes.mean(), 1e-9)
        spread = share.std(ddof=1) if counts[0] > 1 else 0.0
        return float(timings[0].seconds / counts[0] * spread * math.sqrt(left / counts[0]))
    if len(timings) < 2:
        return math.nan
    seconds = np.array([each.seconds for each in timings])
    residual = seconds - seconds.sum() / counts.sum() * counts  # of the ratio estimator (Cochran 1977, section 6.4)
    return float(math.sqrt(left * (residual**2).sum() / (len(timings) - 1) / len(timings)) / counts.mean())
