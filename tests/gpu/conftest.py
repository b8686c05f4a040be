"""Where the tests of this folder compute: on a GPU, or, to test themselves, on the device that GPU_TESTS_ON names."""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> str:
    """The device; the test is skipped where it is not there."""
    wanted = os.environ.get("GPU_TESTS_ON", "cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU that PyTorch can use; GPU_TESTS_ON=cpu runs this on the CPU")
    return wanted
