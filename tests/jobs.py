"""A small real measurement, and processes that run it: started in a moment, and killed at will."""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision  # noqa: F401
import xarray  # noqa: F401 - as much as can be is imported before a process starts
import zarr  # noqa: F401

from infodiscard import InfodiscardError, data, measure, zoo
from infodiscard.api.run import Run
from infodiscard.measurement.engines import LocalEngine  # noqa: F401

SAMPLES = 12


def job(out: Any, samples: int = SAMPLES, **options: Any) -> Run:
    """Measures two early layers of the carried network on some of the carried images, one image in a unit."""
    torch.set_num_threads(1)
    usual = {"layers": ["bn1", "layer1"], "max_passes": 256, "block": 1, "progress": False}
    return measure(zoo.load("demo"), data.load("demo", samples), out=out, **usual | options)


def same(one: Run, other: Run) -> None:
    """Asserts that two runs hold the same, to the last bit, whatever else they say of how they came about."""
    a, b = one.dataset.load(), other.dataset.load()
    assert a["done"].all()
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=name)
    assert {k: v for k, v in a.attrs.items() if k != "created"} == {k: v for k, v in b.attrs.items() if k != "created"}


def job_in(environment: dict[str, str], out: Any) -> None:
    """The job under other variables than those that the server of processes was started under."""
    os.environ.update(environment)
    job(out)


def processes() -> Any:
    """Returns what starts processes that have everything imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jobs"])
    before = os.environ.get("PYTHONPATH")
    # The server takes this process's path for its children, but not for what it imports before them.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return context


def said(function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """Runs a function in a process of its own; returns the error that it raised, or "" if it raised none."""
    context = processes()
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_tell, args=(there, function, arguments, options))
    child.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError:
        answer = "killed"
    child.join()
    return answer


def _tell(there: Any, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    try:
        function(*arguments, **options)
        there.send("")
    except InfodiscardError as error:
        there.send(str(error))
    except BaseException:
        there.send(traceback.format_exc())
        raise


def limited(out: Any, more: int, **options: Any) -> None:
    """The job in a process that may take only so many bytes more than it has."""
    import resource

    torch.set_num_threads(1)
    torch.nn.functional.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(4, 3, 3, 3))  # loads what it needs first
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + more, taken + more))
    large(out, **options)


def large(out: Any, **options: Any) -> Run:
    """A measurement whose activations take 64 MiB for each noisy input."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.AvgPool2d(64))
    images = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(1))
    return measure(network, images, out=out, layers=["2"], max_passes=256, sigma="grid:4", progress=False, **options)
