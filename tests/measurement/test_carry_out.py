"""A measurement that ends before it is finished goes on where it was, and says beforehand what it will take."""

import pytest
import torch

import infodiscard
from infodiscard import data, zoo
from infodiscard.measurement import progress
from infodiscard.results.places import UNFINISHED

LAYERS, PASSES = ["layer1", "layer3.1"], {"max_passes": 200, "block": 2}


@pytest.fixture(scope="module")
def demo():
    return zoo.load("demo"), data.load("demo").take(3)


def test_an_interrupted_search_goes_on_to_the_same_values(demo, tmp_path, monkeypatch):
    """Every look at the time is the last one: each call takes one step of the search."""
    monkeypatch.setattr(progress, "KEPT", 0.0)
    whole = infodiscard.measure(*demo, LAYERS, progress=False, **PASSES)
    calls, kept = 0, 0
    while calls < 200:
        run = infodiscard.measure(*demo, LAYERS, out=tmp_path / "run", progress=False, budget=1e-9, **PASSES)
        calls, kept = calls + 1, kept + (tmp_path / "run" / UNFINISHED).exists()
        if run.complete:
            break
    assert run.complete and calls > 5 and kept > 3 and not (tmp_path / "run" / UNFINISHED).exists()
    for name in ("sid", "sid_corrected", "sigma", "passes", "feature_distance"):
        assert (run.dataset[name].values == whole.dataset[name].values).all(), name


def test_the_callback_is_called_when_all_layers_of_some_samples_are_finished(demo):
    seen = []
    infodiscard.measure(
        *demo,
        LAYERS,
        progress=False,
        callback=lambda run: seen.append(len(run.to_dataframe())),
        max_passes=128,
        block=1,
    )
    assert seen == [2, 4, 6]


def test_what_it_takes_is_said_beforehand_if_that_is_long(demo, capsys):
    run = infodiscard.measure(*demo, ["layer1"], budget=1e-9, max_passes=128)
    assert "This will take" not in capsys.readouterr().err and not run.complete
    big = torch.rand(40, 3, 64, 64)
    infodiscard.measure(demo[0].module, big, ["layer1", "linear"], budget=1e-9, tolerance=1e-4)
    said = capsys.readouterr().err
    assert "This will take" in said and "'linear' takes" in said and "the same command goes on" in said


@pytest.mark.parametrize("budget", [0, -3.0])
def test_a_budget_is_above_0(demo, budget):
    with pytest.raises(infodiscard.InfodiscardError, match=r"budget was .* seconds above 0"):
        infodiscard.measure(*demo, LAYERS, budget=budget)
