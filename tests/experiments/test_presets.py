"""Presets: found by name, and sizes that fit together."""

import pytest

from infodiscard.core.metrics import METRICS
from infodiscard.experiments.presets import CPU, DESK, PAPER, PRESETS, QUICK, find
from infodiscard.experiments.verdicts import FEW
from infodiscard.training.recipe import Recipe
from infodiscard.zoo.spec import Spec
from studying import said


def test_presets_are_found_by_name():
    assert [find(name) for name in ("quick", "cpu", "desk", "paper")] == [QUICK, CPU, DESK, PAPER]
    words = said(find, "papr")
    assert "'papr'" in words and "near it is 'paper'" in words and "quick, cpu, desk, paper" in words


@pytest.mark.parametrize("size", PRESETS.values(), ids=PRESETS)
def test_a_preset_fits_together(size):
    kept = size.kept_epochs
    assert list(kept) == sorted(set(kept)) and kept[0] == 0 and kept[-1] == size.epochs
    assert list(size.depths) == sorted(set(size.depths)) and len(size.depths) >= 2
    assert set(size.autoencoders) <= set(size.depths), "auto-encoders are compared with classifiers of their depth"
    assert list(size.thresholds) == sorted(size.thresholds) and min(size.thresholds) > 0
    assert 1 <= size.ru_images <= size.images and size.schedule[-1] == size.seeds
    assert list(size.schedule) == sorted(set(size.schedule)) and size.level == 0.95
    assert (
        size.sid_passes >= METRICS["sid"].least_passes
        and size.ru_passes >= METRICS["ru"].least_passes
        and size.tolerance > 0
    )
    assert size.test_samples is None or size.attacked <= size.test_samples
    if size is not QUICK:
        assert size.seeds >= FEW and size.images >= FEW, "otherwise nothing can be told"
    for name in ("alexnet", "vgg16", "vgg19", "resnet18", "resnet34"):
        spec = size.spec(name)
        assert Spec.parse(spec).name == name and Spec.parse(spec).number("width", 1) == size.width
        Recipe.usual(spec, "cifar10", epochs=size.plain_epochs, batch_size=size.batch_size, samples=size.samples)
    assert size.cub_library or Spec.parse(f"zoo:vgg16,{size.cub_network},classes=10").number("width", 1) > 0
    epochs = (size.epochs, size.plain_epochs, size.autoencoder_epochs, size.retrain_epochs, size.cub_epochs)
    assert min(epochs) >= 1
