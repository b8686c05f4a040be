"""`check` of networks, which are measured first."""

import pytest
import torch
from torch import nn

import infodiscard
from infodiscard import Network, check, measure
from infodiscard.errors import InfodiscardError

FAST = {"max_passes": 256, "tolerance": 0.5, "progress": False}


def tiny(seed=0, layers=2):
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(layers)))


def test_networks_are_measured_like_the_run_they_are_checked_against():
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    done = measure(tiny(), images, ["0"], alpha=2.0, tau="code", seed=5, **FAST)
    gate = check(done, tiny(), data=images, progress=False)
    assert gate.passed and list(gate.table["layer"]) == ["0"] and (gate.table["difference"] == 0).all()
    turned = check(tiny(), done, data=images, progress=False)
    assert turned.base == "base in memory" and (turned.table["difference"] == 0).all()
    assert check(done, tiny(), data=images, tau="code", progress=False).passed
    for options, said in (({"alpha": 1.5}, "alpha differs"), ({"tau": "paper"}, "tau differs")):
        with pytest.raises(InfodiscardError, match=said):
            check(done, tiny(), data=images, **options)
    with pytest.raises(InfodiscardError, match="give data"):
        check(done, tiny())
    with pytest.raises(InfodiscardError, match="must include 'sid'"):
        check(tiny(), tiny(), data=images, metrics=["ru"])


def test_two_networks_are_measured_into_one_run(tmp_path):
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    gate = check(tiny(), tiny(1), data=images, layers=["0"], out=tmp_path / "kept", **FAST)
    kept = infodiscard.open_run(tmp_path / "kept")
    assert kept.plan.networks == ("base", "candidate") and gate.candidate == f"candidate in {tmp_path / 'kept'}"
    again = check(tmp_path / "kept/base", tmp_path / "kept/candidate")
    assert again.table.equals(gate.table)
    named = [Network(tiny(), name) for name in ("old", "new")]
    assert check(*named, data=images, layers=["0"], **FAST).base == "old in memory"
