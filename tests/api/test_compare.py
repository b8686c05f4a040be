"""`compare` of networks, which are measured first."""

import pytest
import torch
from torch import nn

import infodiscard
from infodiscard import InfodiscardError, measure

FAST = {"max_passes": 256, "progress": False}


def tiny(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = (
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(256, 5),
        )
        return nn.Sequential(*layers).eval()


def images(n: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_compare_measures_networks_it_is_given():
    done = measure({"a": tiny(0)}, images(6), layers=["0", "2"], **FAST)
    table = infodiscard.compare({"a": done, "b": tiny(1)}, data=images(6), layers=["0", "2"], **FAST)
    assert list(table["layer"]) == ["0", "2"] and (table["n"] == 6).all()
    with pytest.raises(InfodiscardError, match="give data"):
        infodiscard.compare({"a": done, "b": tiny(1)})
