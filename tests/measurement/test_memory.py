"""Memory of this process."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard.cli import keep_memory
from infodiscard.measurement.memory import Need, kept_for_backward, peak_memory, weights_size
from infodiscard.networks.preserve import preserved
from infodiscard.networks.state import State


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_setting_does_without_glibc(monkeypatch):
    class Other:
        pass

    monkeypatch.setattr("ctypes.CDLL", lambda _: Other())
    assert keep_memory() is None


def test_the_peak_never_falls():
    before = peak_memory()
    held = np.ones(1 << 22)
    assert before is None or before >= 1 << 20
    assert before is None or (peak_memory() >= before and held.nbytes)


def test_what_a_pass_keeps_is_counted_once_and_without_the_weights():
    model = nn.Sequential(nn.Linear(100, 300), nn.ReLU(), nn.Linear(300, 10))
    with kept_for_backward(model) as sizes:
        x = torch.ones(4, 100, requires_grad=True)
        model(x).sum().backward()
    # The input and the ReLU's output, which the second layer keeps as well.
    assert sorted(sizes) == [4 * 100 * 4, 4 * 300 * 4]
    assert weights_size(model) == 4 * (100 * 300 + 300 + 300 * 10 + 10)
    model[2].weight = nn.Parameter(torch.ones(10, 300))
    model.again = model[2]
    assert weights_size(model) == 4 * (100 * 300 + 300 + 300 * 10 + 10)
    said = str(Need(1_300_000_000, 45_600_000, 32))
    assert said == "1.3 GB for the weights and 45.6 MB for a batch of 32 noisy inputs"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
def test_a_network_in_half_precision_is_in_memory_once():
    """While it is measured, its state is known and can be put back, without a second copy of its weights."""
    model = nn.Sequential(*[nn.Linear(1024, 1024, bias=False, dtype=torch.bfloat16) for _ in range(32)]).eval()
    with preserved(nn.Linear(2, 2)):  # what that takes itself
        before = resident()
    with preserved(model):
        state = State.of(model)
        grown = resident() - before
        model[3].weight.data.zero_()
        assert state.changed().names == ["3.weight"]
    assert grown <= 0.3 * weights_size(model) and model[3].weight.count_nonzero() > 0
