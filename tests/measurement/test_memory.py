"""Memory of this process."""

import numpy as np

from infodiscard.cli import keep_memory
from infodiscard.measurement.memory import peak_memory


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
