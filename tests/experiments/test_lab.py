"""The lab: each network is trained and measured once."""

import dataclasses
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import torch

from data_folder import write_cifar10, write_cub
from infodiscard.api.run import Run
from infodiscard.decoders.recipe import DecoderRecipe
from infodiscard.experiments.datasets import DataFolder
from infodiscard.experiments.findings import layer_means, mean_of
from infodiscard.experiments.lab import Lab
from infodiscard.experiments.presets import QUICK
from infodiscard.experiments.studies import maps, networks

LAYERS = ("features.2", "features.5")


@pytest.fixture
def lab(tmp_path):
    """A lab for the smallest networks."""
    write_cifar10(tmp_path / "data" / "cifar10", 40, 20)
    write_cub(tmp_path / "data" / "CUB_200_2011")
    size = dataclasses.replace(QUICK, samples=32, images=2, decoder=DecoderRecipe(samples=8, epochs=1, width=2))
    return Lab(tmp_path / "out", DataFolder(tmp_path / "data"), size)


def state(folder):
    """Every file with the time that it was written at."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


@pytest.fixture
def idle(monkeypatch):
    """Returns a function after whose call nothing can be trained or measured any more."""

    def refuse(*_args, **_options):
        raise AssertionError("this was done before")

    def stop():
        monkeypatch.setattr("lightning.pytorch.Trainer.fit", refuse)
        monkeypatch.setattr("infodiscard.measurement.engines.work.measured", refuse)

    return stop


@pytest.mark.slow
def test_nothing_is_trained_or_measured_twice(lab, idle):
    def work(lab):
        made = lab.train_plain("alexnet", 1, "narrow", keep_epochs=(0, 1))
        birds = lab.birds("test", 2)
        seen = lab.train_on_birds("alexnet")
        return made, lab.sid(made, LAYERS), lab.ru(made, LAYERS[1:]), seen, lab.sid(seen, LAYERS[:1], birds)

    first = work(lab)
    assert (lab.out / "profile.txt").read_text().strip() == lab.preset.name
    before = state(lab.out)
    idle()
    again = work(Lab(lab.out, lab.data, lab.preset))  # as another process would
    assert state(lab.out) == before
    for one, other in zip(first, again, strict=True):
        if isinstance(one, Run):
            pd.testing.assert_frame_equal(one.to_dataframe(), other.to_dataframe())
        else:
            assert dataclasses.replace(one, network=None) == dataclasses.replace(other, network=None)
            weights = other.network.module.state_dict()
            assert all(torch.equal(value, weights[key]) for key, value in one.network.module.state_dict().items())
    made, sid, ru, seen, birds = first
    assert (made.name, made.seed, seen.name, seen.seed) == ("narrow", 1, "alexnet on birds", 0)
    assert made.weights.parent == lab.out / "networks" / "narrow-seed1" and 0 <= made.accuracy <= 1
    assert {"epoch-000.safetensors", "epoch-001.safetensors"} < {path.name for path in made.weights.parent.iterdir()}
    assert sid.plan.networks == ("narrow",) and sid.plan.samples == ru.plan.samples + sid.plan.samples[1:]
    assert birds.plan.height == 32 and birds.to_dataframe()["concentration"].notna().all()


@pytest.mark.slow
def test_a_run_with_more_layers_serves_for_fewer(lab, idle, monkeypatch):
    made = lab.train_plain("alexnet")
    (lab.out / "runs" / "alexnet-seed0-sid-[features.12]").mkdir(parents=True)  # as a kill leaves it at its start
    both = lab.sid(made, LAYERS)
    with monkeypatch.context() as still:
        still.setattr("infodiscard.measurement.engines.work.measured", None)
        for layer in LAYERS:
            assert lab.sid(made, [layer]).path == both.path
        assert lab.sid(made, LAYERS[::-1]).plan.layers == {"alexnet": LAYERS}
    other = lab.sid(made, [LAYERS[0], "features.12"])
    assert other.path.parent == both.path.parent and other.path != both.path
    mine, theirs = (run.to_dataframe().query("layer == 'features.2'").reset_index(drop=True) for run in (both, other))
    pd.testing.assert_frame_equal(mine, theirs)
    assert lab.sid(made, ["features.12"]).path == other.path
    namesake = dataclasses.replace(made, name="alexnet-seed0")  # whose runs' names begin alike
    assert lab.sid(namesake, LAYERS[:1]).path != both.path


def test_birds_are_spread_over_the_classes_and_have_boxes(lab):
    some = lab.birds("test", 5)
    every = lab.birds("test", None)
    assert some.labels.tolist() == [0, 2, 4, 7, 9] and len(every) == 30 and len(every.classes) == 10
    assert len(set(some.names)) == 5 and set(some.names) < set(every.names)
    for i, name in enumerate(some.names):
        at = every.names.index(name)
        assert torch.equal(some.images[i], every.images[at]) and torch.equal(some.masks[i], every.masks[at])
    # Boxes of 20 × 20 pixels in crops of 30 × 30 about their middle.
    whole = lab.birds("train", 10, None)
    assert whole.images.shape == (10, 3, 30, 30) and whole.labels.tolist() == list(range(10))
    assert (whole.masks.sum((1, 2)) == 400).all() and whole.masks[:, 5:25, 5:25].all()
    assert some.masks.float().mean() == pytest.approx(4 / 9, abs=0.03)
    assert len(lab.birds("test", 99)) == 30 and len(lab.birds("test", 30)) == 30
    one = lab.birds("test", 1)
    assert len(one) == 1 and torch.equal(one.images[0], every.images[0]) and len(one.classes) == 10


def test_given_weights_are_used_where_they_are(lab, monkeypatch):
    assert lab.given("resnet20") is None and networks.given(lab) == []
    folder = lab.data.root / "weights"
    folder.mkdir()
    weights = files("infodiscard").joinpath("demo", "resnet20_cifar10.safetensors").read_bytes()
    (folder / "resnet20_cifar10.safetensors").write_bytes(weights)
    given = lab.given("resnet20")
    assert (given.name, given.seed) == ("resnet20 (given)", None) and given.network.name == given.name
    assert 0 <= given.accuracy <= 1 and round(given.accuracy * 20) == pytest.approx(given.accuracy * 20)
    assert [each.name for each in networks.given(lab)] == [given.name]
    monkeypatch.setattr(Lab, "train", None)
    assert maps.network(lab).name == given.name, "which is better trained than one from here"
    run = lab.sid(given, ["layer1"])
    assert run.plan.networks == (given.name,) and lab.sid(given, ["layer1"]).path == run.path
    assert np.isfinite(mean_of(layer_means(given, run), given.name, None, "sid"))


def test_measured_images_are_the_first_of_the_test_set(lab):
    assert lab.images.names == lab.test_images(2).names == ("test0.png", "test1.png")
    assert lab.images is lab.images and len(lab.test_images(7)) == 7
