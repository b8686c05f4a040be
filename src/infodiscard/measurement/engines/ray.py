"""Engine that works on a Ray cluster: this machine's cores, or a hundred GPUs elsewhere."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.files import translate_os_errors
from ...data.inputs import Inputs
from ...errors import InfodiscardError
from ...results.arrays import Arrays
from ...results.places import as_place
from ...results.plan import Unit
from ...results.run import StoredRun
from ...results.store import STORE, is_made, read_plan
from ..memory import keep_memory
from .work import Finished, Work

RETRIES = 5
"""Times that Ray repeats a unit whose worker or node was lost."""

_kept: dict[str, tuple[Work, Arrays | None]] = {}
"""In a worker: what it needs of the run that it works for, fetched once."""


class RayEngine:
    """Measures units as Ray tasks, wherever there is room.

    The networks go into Ray's object store, from which each node fetches them once; the samples go with each task, so
    that workers need no access to the data. Workers write their values where the run is, which must therefore be a
    place that all nodes see. At most a few units more than there are places to work wait with Ray.

    Args:
        address: of a running cluster, such as `auto` or `ray://head:10001`; by default the one that `RAY_ADDRESS`
            names, or a new one of this machine alone.
        workers: most units at a time; by default as many as the cluster has room for.
        cpus: cores for each unit.
        gpus: GPUs for each, of which several units may share one: 0.5.

    Raises:
        InfodiscardError: Ray is missing, or a number is none that Ray takes.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, cpus: float = 1, gpus: float = 0
    ) -> None:
        if workers is not None and workers < 1:
            raise InfodiscardError(f"workers was {workers}; give 1 or more, or None for all that there is room for.")
        if cpus <= 0 or gpus < 0 or (gpus > 1 and gpus != int(gpus)):
            raise InfodiscardError(
                f"cpus was {cpus:g} and gpus {gpus:g}; give each unit more than 0 cores, and a part of a GPU or whole "
                "ones."
            )
        self._ray = _import_ray()
        self.address, self.workers, self.cpus, self.gpus = address, workers, cpus, gpus
        self.device_type: str | None = "cuda" if gpus else "cpu"

    @property
    def _elsewhere(self) -> str | None:
        """The address of the cluster; `None` where one of this machine alone is to be started."""
        return self.address or os.environ.get("RAY_ADDRESS")

    def run(self, run: StoredRun, work: Work) -> Iterator[Finished]:
        """Measures and stores all pending units; yields each as soon as it is stored.

        Raises:
            InfodiscardError: the cluster cannot be reached or has no room for a single unit, its workers do not see
                where the run is, or lose a unit again and again.
        """
        with self._cluster():
            yield from self._run(run, work)

    def _run(self, run: StoredRun, work: Work) -> Iterator[Finished]:
        ray, shared = self._ray, self._put(work.without_samples())
        place = None if run.path is None else str(run.path.absolute() if isinstance(run.path, Path) else run.path)
        task = ray.remote(_measure).options(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES)
        chains, flying = work.chains(run.pending()), {}  # type: ignore[var-annotated]
        waiting = deque(islice(chains, 1))
        try:
            while waiting or flying:
                while waiting and len(flying) < self._places():
                    chain = waiting.popleft()
                    waiting.extend(islice(chains, 0 if waiting else 1))
                    unit = chain.popleft()
                    samples, sigma = work.sources(run, unit)
                    where = place, run.created, self.device_type
                    flying[task.remote([shared], *where, unit, samples.owned(), sigma)] = unit, chain
                ready, _ = ray.wait(list(flying), num_returns=1, timeout=5)
                for reference in ready:
                    unit, chain = flying.pop(reference)
                    values, finished = self._result(reference, unit)
                    if values is None:
                        run.mark(unit)
                    else:
                        run.write(unit, values)
                    yield finished
                    if chain:
                        waiting.appendleft(chain)
        finally:
            for reference in flying:
                with suppress(Exception):  # whatever has become of it, nobody waits for it any more
                    ray.cancel(reference, force=True)

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """Connects to the cluster; leaves it, or ends it if it was started here."""
        ray = self._ray
        if ray.is_initialized():
            yield
            return
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        elsewhere = self._elsewhere
        if elsewhere:
            _check_reachable(elsewhere)
            options["address"] = elsewhere
        else:
            # "local": without it, Ray would take a cluster that somebody else has started on this machine.
            cores = (self.workers or os.cpu_count() or 1) * self.cpus
            options |= {"address": "local", "include_dashboard": False, "num_cpus": cores}
            # Ray's workers usually stand back behind every other process, which is not what this machine is asked for.
            options["_system_config"] = {"worker_niceness": 0}
        main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM) if main else None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what Ray's next release will do by default
                ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _no_cluster(elsewhere or "this machine", reason) from error
        if main:
            signal.signal(signal.SIGTERM, before)  # Ray puts its own in place, which would cut this process off
        try:
            yield
        finally:
            ray.shutdown()

    def _places(self) -> int:
        """How many units may be with Ray: somewhat more than run, so that none waits for this process.

        Asked each time, since nodes come and go.
        """
        if self.workers is not None and self._elsewhere:
            return self.workers
        there = self._ray.cluster_resources()
        room = [int(there.get("CPU", 0) / self.cpus)] + ([int(there.get("GPU", 0) / self.gpus)] if self.gpus else [])
        if min(room) < 1:
            raise InfodiscardError(
                f"The Ray cluster has {there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs, which is no room "
                f"for a unit that takes {self.cpus:g} and {self.gpus:g}; ask for less, or add nodes."
            )
        return min(room) + max(1, min(room) // 4)

    def _put(self, work: Work) -> Any:
        """Puts the work into the object store. Networks from a user's file travel with their code."""
        by_value = [module for name, module in sys.modules.items() if name.startswith("_infodiscard_")]
        pickle = self._ray.cloudpickle
        for module in by_value:
            pickle.register_pickle_by_value(module)
        try:
            return self._ray.put(pickle.dumps(work))
        except (TypeError, AttributeError, ValueError, RuntimeError) as error:
            raise InfodiscardError(
                f"A network cannot be sent to other processes ({error}); let it hold nothing that cannot be pickled, "
                "or use the local engine."
            ) from error
        finally:
            for module in by_value:
                pickle.unregister_pickle_by_value(module)

    def _result(self, reference: Any, unit: Unit) -> tuple[dict[str, np.ndarray] | None, Finished]:
        """Returns what a task has returned, or raises what it raised."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return self._ray.get(reference)
        except RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause from None
        except RayError as error:
            reason = str(error).strip().splitlines()[0]
            raise InfodiscardError(
                f"The work on layer '{unit.layer}' of '{unit.network}' was lost {RETRIES + 1} times ({reason}); see "
                "Ray's logs for why its workers die, often of memory: give a smaller block, or each more cores. What "
                "was finished is kept."
            ) from error


def _check_reachable(address: str) -> None:
    """Raises InfodiscardError if nothing answers at an address, which Ray would try for minutes."""
    parts = re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address)
    if parts is None:
        return
    try:
        socket.create_connection((parts[1], int(parts[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(where: str, reason: str) -> InfodiscardError:
    return InfodiscardError(
        f"No Ray cluster can be reached or started at '{where}' ({reason}); give the address of one that runs, or none "
        "for this machine alone."
    )


def _import_ray() -> Any:
    # Ray's way to say that a task without GPUs should see those of the machine, which it warns about otherwise.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.cloudpickle
    except ImportError as error:
        raise InfodiscardError("The engine 'ray' needs Ray; install it with pip install 'infodiscard[ray]'.") from error
    return ray


def _measure(
    shared: list[Any],
    place: str | None,
    created: str,
    device_type: str,
    unit: Unit,
    samples: Inputs,
    sigma: torch.Tensor | None,
) -> tuple[dict[str, np.ndarray] | None, Finished]:
    """What a worker does: measures a unit and stores it; without a place to store it, returns the values.

    Args:
        shared: reference to the work, in a list, so that Ray does not fetch it for every unit.
        place: where the run is, or `None`.
        created: when the run was created, which tells it from another in the same place.
        device_type: what to compute on.
        unit, samples, sigma: as for `Work.measured`.
    """
    import ray

    context = ray.get_runtime_context()
    key = shared[0].hex()
    if key not in _kept:
        keep_memory()
        _kept.clear()  # of another run, whose networks need not be kept any longer
        work = ray.cloudpickle.loads(ray.get(shared[0])).on(torch.device(device_type))
        _kept[key] = work, None if place is None else _arrays(place, created)
    work, arrays = _kept[key]
    name = f"{context.get_node_id()[:8]}/{os.getpid()}"
    values, finished = work.measured(unit, samples, sigma, name)
    if arrays is None:
        return values, finished
    with translate_os_errors("write the run in", place):
        arrays.write(unit, values)
    return None, finished


def _arrays(place: str, created: str) -> Arrays:
    """Opens the run for writing, after making sure that it is the one that is meant."""
    path, arrays = as_place(place), None
    with translate_os_errors("read the run in", place):
        if is_made(path):
            arrays = Arrays.open(path / STORE, read_plan(path), writable=True)
    if arrays is None or arrays.created != created:
        raise InfodiscardError(
            f"A worker on '{socket.gethostname()}' does not see the run in '{place}'; give as out a place that all "
            "nodes of the cluster share, such as s3://bucket/run or a directory on a network file system."
        )
    return arrays
