"""What a measurement will take, in time, memory and storage, before it begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..core.metrics import METRICS
from ..results.arrays import Arrays
from ..results.plan import Plan
from ..results.run import StoredRun
from ..results.store import create_store
from .calibration import Calibration, Clock, Layered, Seen
from .memory import peak_memory
from .prepare import Ready

if TYPE_CHECKING:
    import pandas as pd

WORKERS = (1, 8, 64)

EFFICIENCY = 0.9
"""Throughput of several workers, against as many times that of one; assumed, `benchmarks.scale` measures it."""

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
        at_most: whether no sample could be measured in the time given; seconds and passes are then those of samples
            that take all passes that are allowed.
    """

    network: str
    layer: str
    measured: int
    seconds: float
    seconds_se: float
    passes: float
    size: float
    longest: float
    at_most: bool


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
        chained = self.plan.settings.get("start") == "before"
        return float(len(self.plan.samples) * (errors.sum() if chained else np.sqrt((errors**2).sum())))

    @property
    def size(self) -> float:
        """Bytes that the run will take."""
        return self.fixed_size + len(self.plan.samples) * sum(each.size for each in self.layers)

    @property
    def at_most(self) -> bool:
        """Whether the time is that of layers of which some could only be bounded."""
        return any(each.at_most for each in self.layers)

    @property
    def tail(self) -> float:
        """Seconds for which workers wait for the last ones: half of the longest unit, or chain of such."""
        longest = [each.longest for each in self.layers]
        return (sum(longest) if self.plan.settings.get("start") == "before" else max(longest)) / 2

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
    prepare: Callable[[], Ready], seconds: float, workers: Sequence[int], cores: int, efficiency: float, clock: Clock
) -> Forecast:
    """Predicts what a measurement will take; arguments as for `infodiscard.forecast`.

    Args:
        prepare: prepares the measurement, which is timed.
        cores: that torch uses here.
    """
    from zarr.storage import MemoryStore

    begin = clock()
    ready = prepare()
    plan, device = ready.plan, next(iter(ready.work.jobs.values())).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start_up, memory = clock() - begin, MemoryStore()
    create_store(memory, plan, **ready.inputs.pictures(), most=PICTURES)
    run = StoredRun(plan, memory, None, writable=True)
    fixed, objects = run.arrays.fixed()
    found = Calibration(run, ready.work, seconds, clock)
    blocks = -(-len(plan.samples) // plan.block)
    each = len(run.arrays.written()) + 1
    return Forecast(
        plan=plan,
        layers=tuple(_layer(*layer, it, run.arrays) for layer, it in found.found.items()),
        device=device.type,
        cores=cores,
        calibrated=found.seconds,
        start_up=start_up,
        memory=peak_memory(),
        gpu_memory=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        fixed_size=fixed,
        objects=objects + blocks * len(found.found) * each,
        workers=tuple(workers),
        efficiency=efficiency,
    )


def _layer(network: str, layer: str, found: Layered, arrays: Arrays) -> LayerForecast:
    """Takes what was seen of a layer to what all of it takes, sample by sample."""
    plan, seen = arrays.plan, found.seen
    whole = [each for each in seen if each.size is not None]
    size = _mean([each.size or 0 for each in whole], whole) if whole else float(arrays.raw_size(1))
    passes = [int(each.passes.sum()) for each in seen]
    most = sum(plan.settings.get(each.passes_key, 0) for each in METRICS.values())
    return LayerForecast(
        network=network,
        layer=layer,
        measured=sum(len(each.passes) for each in seen),
        seconds=found.usual,
        seconds_se=_error(seen, len(plan.samples)),
        passes=_mean(passes, seen) if seen else most,
        size=size,
        longest=max([each.seconds / len(each.passes) for each in seen] or [found.most])
        * min(plan.block, len(plan.samples)),
        at_most=not seen,
    )


def _mean(values: Sequence[float], seen: Sequence[Seen]) -> float:
    """Returns the mean for a sample of sums over units."""
    return sum(values) / sum(len(each.passes) for each in seen)


def _error(seen: Sequence[Seen], samples: int) -> float:
    """Returns the standard error of a layer's seconds for a sample; those seen were drawn from so many `samples`."""
    counts = np.array([len(each.passes) for each in seen])
    left = 1 - counts.sum() / samples  # what was measured is known
    if len(seen) == 1 and (counts[0] > 1 or left == 0):
        # Between its samples: the time that each took goes by its passes.
        share = seen[0].passes / max(seen[0].passes.mean(), 1e-9)
        spread = share.std(ddof=1) if counts[0] > 1 else 0.0
        return float(seen[0].seconds / counts[0] * spread * math.sqrt(left / counts[0]))
    if len(seen) < 2:
        return math.nan
    seconds = np.array([each.seconds for each in seen])
    residual = seconds - seconds.sum() / counts.sum() * counts  # of the ratio estimator (Cochran 1977, section 6.4)
    return float(math.sqrt(left * (residual**2).sum() / (len(seen) - 1) / len(seen)) / counts.mean())
