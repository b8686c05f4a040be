"""`forecast`: it counts what a run stores, changes nothing, and refuses bad input."""

from __future__ import annotations

import pytest
import torch

import infodiscard
from infodiscard import InfodiscardError, data, zoo
from infodiscard.results.store import STORE

LAYERS = ["bn1", "layer1"]
QUICK = {"max_passes": 256, "block": 2}


@pytest.fixture(scope="module")
def demo():
    return zoo.load("demo"), data.load("demo").take(5)


@pytest.fixture(scope="module")
def whole(demo):
    """A calibration that is given time for everything."""
    return infodiscard.forecast(*demo, LAYERS, seconds=1000, workers=(1, 2), **QUICK)


def test_all_that_was_measured_is_known_exactly(whole, demo, tmp_path):
    run = infodiscard.measure(*demo, LAYERS, out=tmp_path / "run", progress=False, **QUICK)
    files = [path for path in (tmp_path / "run" / STORE).rglob("*") if path.is_file()]
    assert whole.objects == len(files)
    assert whole.size == sum(path.stat().st_size for path in files)
    assert whole.seconds_se == 0 and not whole.guessed
    assert [each.measured for each in whole.layers] == [5, 5]
    assert whole.units == len(run.plan.units())
    passes = run.summary().set_index("layer")["passes"]
    assert {each.layer: each.passes for each in whole.layers} == pytest.approx(dict(passes))


def test_nothing_changes(demo):
    """Neither the network nor the number of threads."""
    network, images = demo
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    infodiscard.forecast(network, images.take(1), ["bn1"], seconds=0.1, cores=2, **QUICK)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seconds": 0}, "seconds was 0; it must be a number above 0"),
        ({"workers": ()}, r"workers was \(\)"),
        ({"workers": (1, 0)}, "workers was 0; it must be whole numbers above 0"),
        ({"cores": 0}, "cores was 0"),
        ({"efficiency": 1.5}, "efficiency was 1.5; it must be a number above 0 and at most 1"),
        ({"out": "runs/x"}, "out is for measuring; a forecast stores nothing: leave it out"),
        ({"tau": -1}, "tau was -1"),
    ],
)
def test_bad_input_gets_a_sentence(demo, given, says):
    with pytest.raises(InfodiscardError, match=says):
        infodiscard.forecast(*demo, LAYERS, **given)
