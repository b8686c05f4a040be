"""Everything that is measured on a GPU, against the CPU; run by `make gpu`, skipped without CUDA.

The noise of a GPU is another than a CPU's, so values are compared within the errors that they are reported with. With
GPU_TESTS_ON=cpu these tests run on the CPU, which tests them, and no GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import data, measure, zoo
from infodiscard.api.run import Run
from infodiscard.measurement.engines import LocalEngine
from infodiscard.solver.feature_distance import FeatureDistance
from probing import seeded

pytestmark = pytest.mark.gpu

OPTIONS: dict[str, Any] = {"max_passes": {"sid": 600, "ru": 256}, "progress": False}
SIGMAS, FLOOR = 4.0, 0.02
"""How many standard errors, and nats, a sample's value may differ by; a systematic part is half of some of them."""


class Tokens(nn.Module):
    """What a position gives to the others is weighted by attention."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(x + self.mix(x, x, x)[0]))


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _series() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Conv1d(2, 6, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 4, 3)))


def _table() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 8)))


@dataclass(frozen=True)
class Kind:
    """A network, inputs of a kind, and what is measured of them."""

    network: Callable[[], Any]
    inputs: Callable[[], Any]
    options: dict[str, Any]


KINDS = {
    "images": Kind(
        lambda: zoo.load("demo"),
        lambda: data.load("demo", 2),
        {"layers": ["layer2"], "metrics": ["sid", "ru"]},
    ),
    "tokens": Kind(lambda: seeded(Tokens), lambda: _random(3, 6, 8), {"layers": ["mix[0]", "head"], "kind": "tokens"}),
    "series": Kind(_series, lambda: _random(3, 2, 40), {"layers": ["0", "3"], "kind": "series"}),
    "tables": Kind(_table, lambda: _random(5, 6), {"layers": ["0", "2"]}),
}


def measured(kind: str, device: str, **options: Any) -> Run:
    """Measures a kind on a device."""
    case = KINDS[kind]
    most = OPTIONS["max_passes"]["sid"] if "metrics" not in case.options else OPTIONS["max_passes"]
    whole = {**OPTIONS, "max_passes": most, **case.options, "device": device, **options}
    return measure(case.network(), case.inputs(), **whole)


def assert_same(one: Run, other: Run) -> None:
    """Asserts that two runs hold the same, to the last bit."""
    for name in one.dataset.data_vars:
        np.testing.assert_array_equal(one.dataset[name].values, other.dataset[name].values, err_msg=str(name))


def assert_near(found: Run, expected: Run) -> None:
    """Asserts that values of independent noise agree within their errors."""
    a, b = found.dataset, expected.dataset
    assert not a["failure"].any() and not b["failure"].any()
    error = np.hypot(a["sid_corrected_se"], b["sid_corrected_se"])
    assert (np.abs(a["sid_corrected"] - b["sid_corrected"]) <= SIGMAS * error + FLOOR).all()
    gap = np.maximum(a["gap"], b["gap"])
    assert (np.abs(a["sid"] - b["sid"]) <= gap + FLOOR).all()
    for name in ("feature_distance", "ru_feature_distance"):
        if name in a:
            miss = np.abs(a[name] - b[name]) / expected.plan.settings.alpha
            assert (miss <= 0.1 + SIGMAS * np.hypot(a[f"{name}_se"], b[f"{name}_se"])).all()
    if "ru" in a:
        assert (np.abs(a["ru"] - b["ru"]) <= np.maximum(a["ru_gap"], b["ru_gap"]) + 0.05).all()
        np.testing.assert_allclose(a["ru_floor"], b["ru_floor"], atol=0.02)
        np.testing.assert_allclose(a["reconstruction"], b["reconstruction"], atol=0.02)


@cache
def here(kind: str) -> Run:
    """A kind, measured on the CPU."""
    return measured(kind, "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_cpu_within_their_errors_and_twice_the_same(kind: str, device: str) -> None:
    found = measured(kind, device)
    assert_near(found, here(kind))
    assert_same(found, measured(kind, device))


@pytest.mark.parametrize("precision", ["full", "bf16"])
def test_the_network_is_left_as_it_was_and_where_it_was(precision: str, device: str) -> None:
    network = zoo.load("demo")
    network.module.to(device)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    run = measure(network, data.load("demo", 2), layers=["layer2"], max_passes=256, progress=False, precision=precision)
    after = network.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before) and not run.dataset["failure"].any()
    assert all(parameter.requires_grad for parameter in network.module.parameters())


def test_half_precision_changes_no_value_beyond_its_error(device: str) -> None:
    half = measured("images", device, precision="bf16", metrics=["sid"], max_passes=600).dataset
    whole = here("images").dataset
    error = np.hypot(half["sid_corrected_se"], whole["sid_corrected_se"])
    assert (np.abs(half["sid_corrected"] - whole["sid_corrected"]) <= SIGMAS * error + 0.05).all()


def test_a_run_that_was_interrupted_goes_on_to_the_same_values(device: str, tmp_path: Path) -> None:
    whole = measured("tables", device, block=2)

    class Halting(LocalEngine):
        def run(self, run: Any, work: Any) -> Any:
            for number, finished in enumerate(super().run(run, work)):
                yield finished
                if number == 2:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured("tables", device, block=2, out=tmp_path / "run", engine=Halting())
    assert_same(measured("tables", device, block=2, out=tmp_path / "run"), whole)


RAY = """
import sys, torch
from infodiscard import data, measure, zoo
from infodiscard.measurement.engines.ray import RayEngine
where, gpus = sys.argv[1], float(sys.argv[2])
measure(zoo.load("demo"), data.load("demo", 4), layers=["layer1"], max_passes=256, block=1, out=where, progress=False,
        engine=RayEngine(workers=2, gpus=gpus))
"""


def test_two_workers_of_ray_share_the_gpu_and_find_the_same(device: str, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    command = [sys.executable, "-c", RAY, str(tmp_path / "ray"), "0.5" if device == "cuda" else "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert ended.returncode == 0, ended.stderr[-2000:]
    from infodiscard import open_run

    options = {"layers": ["layer1"], "max_passes": 256, "block": 1, "progress": False, "device": device}
    assert_same(open_run(tmp_path / "ray"), measure(zoo.load("demo"), data.load("demo", 4), **options))


def test_a_network_learns(device: str, tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="Lightning is not installed")
    from infodiscard.training.train_network import train
    from tiny import write_tiny

    spec = write_tiny(tmp_path)
    result = train("resnet20", spec, tmp_path / "out", test_data=spec, epochs=10, batch_size=4, lr=0.01)
    assert result is not None and result.accuracy is not None and result.accuracy > 0.7


def test_decoders_learn_and_ru_is_measured_with_them(device: str, tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="Lightning is not installed")
    from infodiscard.training.train_decoders import train_decoders
    from tiny_decoders import QUICK, smooth_images, tiny_network

    network, images = tiny_network(), smooth_images()
    network.module.to(device)
    found = train_decoders(network, images, ["conv1", "head"], tmp_path, **QUICK | {"epochs": 8, "width": 4})
    assert found["conv1"].quality["mse"] < found["head"].quality["mse"]
    run = measure(
        network, images.take(2), layers=["conv1"], metrics=["ru"], decoders=tmp_path, max_passes=256, progress=False
    )
    assert np.isfinite(run.dataset["ru"]).all()


# -- memory ----------------------------------------------------------------------------------------------------------


def held(device: str) -> int:
    """Bytes that are held: of the GPU's memory, or of this process's."""
    if device == "cuda":
        return torch.cuda.memory_allocated()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_stays_flat_over_200_samples(device: str) -> None:
    network, after = seeded(lambda: nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())), []

    class Noting(LocalEngine):
        def run(self, run: Any, work: Any) -> Any:
            for finished in super().run(run, work):
                after.append(held(device))
                yield finished

    images = torch.rand(200, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    options = {"layers": ["0"], "max_passes": 96, "block": 8, "progress": False, "device": device, "engine": Noting()}
    measure(network, images, **options)
    assert len(after) == 25
    assert max(after[-5:]) <= max(after[5:10]) + (1 << 16 if device == "cuda" else 1 << 24)


class Large(nn.Module):
    """Takes 64 MiB for each input, so that many do not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 64, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type == "cpu" and len(x) > 4:
            raise torch.OutOfMemoryError("out of memory, as a GPU would say")
        size = 512 if x.device.type != "cpu" else 16
        wide = nn.functional.interpolate(x, (size, size), mode="nearest")
        return nn.functional.avg_pool2d(self.conv(wide).relu(), size // 8)


def test_where_memory_is_short_the_batch_is_halved(device: str) -> None:
    model, x = seeded(Large).requires_grad_(False).to(device), torch.rand(2, 1, 8, 8, device=device)
    noise, rows = torch.randn(2, 64, 1, 8, 8, device=device), torch.arange(2, device=device)
    expected = FeatureDistance(model, x, batch_size=2)(rows, noise)
    share = 4 * 2**30 / torch.cuda.get_device_properties(0).total_memory if device == "cuda" else 1.0
    try:
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(share)
        distance = FeatureDistance(model, x, batch_size=128)
        found = distance.gradient(rows, noise)[0]
    finally:
        if device == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert distance.batch_size < 128
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
