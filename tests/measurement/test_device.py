"""Whole measurements on a device with a memory of its own: nothing is left behind on the host."""

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import measure
from infodiscard.networks.network import Network
from pretend_device import DEVICE, accelerator
from probing import seeded


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Masked(nn.Module):
    """Takes a mask beside its tokens."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(4, 3)

    def forward(self, x, attention_mask):
        return self.mix(x) * attention_mask[..., None].to(x)


CASES = {
    "images": (
        lambda: Network(
            seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())), "n", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
        ),
        lambda: torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(1)),
        {"layers": ["1"], "sigma": "grid:3", "masks": torch.eye(6).bool().expand(2, 6, 6)},
    ),
    "tokens": (
        lambda: seeded(Masked),
        lambda: {"x": normal(2, 5, 4), "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])},
        {"layers": ["mix"], "kind": "tokens", "noise_on": "x"},
    ),
    "tables": (lambda: seeded(lambda: nn.Sequential(nn.Linear(6, 9))), lambda: normal(2, 6), {"layers": ["0"]}),
}


@pytest.mark.parametrize("kind", CASES)
def test_what_is_measured_on_a_device_is_what_is_measured_on_a_cpu(kind, monkeypatch):
    monkeypatch.setattr("infodiscard.solver.feature_distance._channels_last", lambda inputs: False)
    network, inputs, own = CASES[kind]
    options = {"max_passes": 96, "batch_size": 32, "progress": False, **own}
    expected = measure(network(), inputs(), **options).dataset
    with accelerator() as device:
        found = measure(network(), inputs(), device=DEVICE, **options).dataset
    assert device.calls > 1000
    for name in expected.data_vars:
        np.testing.assert_array_equal(found[name].values, expected[name].values, err_msg=name)
