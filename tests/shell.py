"""Commands as the tests call them, and the files that they are called on."""

import re
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from infodiscard.cli import app

NETWORKS = """
import torch
from torch import nn
from torch.nn import functional as F
from infodiscard import Network


class Tiny(nn.Module):
    def __init__(self, kind="plain"):
        super().__init__()
        self.conv1, self.relu, self.conv2 = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)
        self.kind = kind
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, x):
        x = self.relu(self.conv1(x))
        if self.kind == "random":
            x = F.dropout(x, training=True)
        x = self.conv2(x)
        if self.kind == "constant":
            x = x * 0
        return x.detach() if self.kind == "detached" else x


def network(kind="plain", size=(8, 8)):
    return Network(Tiny(kind), kind, (0.5,) * 3, (0.25,) * 3, size, ("conv1", "conv2"))


def plain(): return network()
def other(): return Network(Tiny(), "other", (0.5,) * 3, (0.25,) * 3, (8, 8), ("conv1", "conv2"))
def inner(*layers): return Network(nn.Sequential(Tiny()), "far", (0.5,) * 3, (0.25,) * 3, (8, 8), layers)
def far(): return inner("0.conv1", "0")
def short(): return inner("0")
def large(): return network("large", (16, 16))
def random(): return network("random")
def constant(): return network("constant")
def detached(): return network("detached")
def unknown(): return Tiny()
def broken(): raise RuntimeError("no such thing")
"""
QUICK = ("--max-passes", "256", "--samples", "2", "--no-progress")


def make_place(folder):
    """Fills the working directory with networks and images, good and bad."""
    Path("net.py").write_text(NETWORKS)
    rng = np.random.default_rng(0)
    good = rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    np.savez("good.npz", images=good, labels=np.arange(3), boxes=np.tile([2, 2, 4, 4], (3, 1)))
    nan = good.transpose(0, 3, 1, 2).astype(np.float32) / 255
    nan[0, 0, 0, 0] = np.nan
    np.savez("nan.npz", images=nan)
    np.savez("integers.npz", images=good.astype(np.int64))
    np.savez("flat.npz", images=good.reshape(3, -1))
    np.savez("grey.npz", images=good[..., :1])
    Path("broken.npz").write_bytes(b"PK\x03\x04 nothing")
    Path("broken.safetensors").write_bytes(b"nothing")
    from safetensors.numpy import save_file

    save_file({"conv1.weight": np.zeros((4, 3, 3, 3), np.float32)}, "partial.safetensors")
    return folder


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="infodiscard")


def contents(folder):
    """Every file below the folder with what is in it; directories too."""
    paths = [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts]
    return {path: path.read_bytes() if path.is_file() else None for path in paths}


def refused(place, *words):
    """Checks that bad input costs one line, exit code 2 and no file; returns the line, without notes on the samples."""
    before = contents(place)
    result = call(*words)
    assert result.exit_code == 2, result.output
    assert contents(place) == before
    said = re.sub(r"^'.*; all are taken\.\n", "", result.stderr)
    assert re.fullmatch(r"Error: [^\n]{20,}\.\n", said), result.stderr
    return said


def interrupt(*_, **__):
    raise KeyboardInterrupt
