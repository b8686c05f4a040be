"""The callback on real, tiny trainings: what it measures and logs, and that the training does not notice."""

import copy
import importlib
import random
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

lightning = pytest.importorskip("lightning.pytorch")

from lightning.pytorch.loggers import CSVLogger, Logger  # noqa: E402

from infodiscard import InfodiscardError, Run, measure  # noqa: E402
from infodiscard.integrations.lightning import MeasureLayers  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*to be a tuple:FutureWarning"),
]
FAST = {"max_passes": 256, "tolerance": 0.5}


class Task(lightning.LightningModule):
    """A small classifier with everything that a measurement could disturb."""

    def __init__(self, rate=0.05):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(256, 3),
        )
        self.model[5].bias.requires_grad_(False)
        self.rate, self.seen = rate, []

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, _):
        self.seen.append([each.training for each in self.modules()])
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.inference = torch.is_inference_mode_enabled()

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.rate, momentum=0.9)


class Pictures(Logger):
    """Notes what it is given; takes images as TensorBoard's does."""

    name, version = "pictures", 0

    def __init__(self):
        super().__init__()
        self.scalars, self.images = [], []

    @property
    def experiment(self):
        return self

    def add_image(self, tag, picture, global_step, dataformats):
        self.images.append((tag, global_step, picture.shape, dataformats))

    def log_metrics(self, metrics, step):
        self.scalars.append((step, metrics))

    def log_hyperparams(self, *_):
        pass


class Tables(Pictures):
    """Takes images as Weights & Biases' does."""

    add_image = None

    def log_image(self, key, images, step):
        self.images.append((key, step, images[0].shape, None))


def images(n=2, seed=0):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def loader():
    return DataLoader(TensorDataset(images(12, 5), torch.arange(12) % 3), batch_size=4)


def trainer(tmp_path, callbacks=(), epochs=3, logger=False, **other):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=logger,
        callbacks=list(callbacks),
        default_root_dir=tmp_path,
        log_every_n_steps=1,
        **quiet,
        **other,
    )


def trained(tmp_path, *callbacks, **options):
    lightning.seed_everything(0, verbose=False)
    task = Task()
    trainer(tmp_path, callbacks, **options).fit(task, loader(), loader())
    return task


def random_states():
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()


def test_the_training_does_not_notice(tmp_path):
    plain, before = trained(tmp_path), random_states()
    callback = MeasureLayers(images(), ["model.1", "model.5"], epochs=[0, 1, 3], **FAST)
    watched = trained(tmp_path, callback)
    assert list(callback.runs) == [0, 1, 3]
    assert random_states() == before
    pairs = zip(plain.state_dict().items(), watched.state_dict().items(), strict=True)
    assert all(name == same and torch.equal(a, b) for (name, a), (same, b) in pairs)
    assert plain.seen == watched.seen and [p.requires_grad for p in watched.parameters()] == [True] * 5 + [False]
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None) and (a.grad is None or torch.equal(a.grad, b.grad))
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in watched.modules())


def test_runs_are_what_measure_says_of_the_weights_then(tmp_path):
    callback = MeasureLayers(images(), "1", epochs=2, network="model", **FAST)
    task = trained(tmp_path, callback, epochs=2)
    (run,) = callback.runs.values()
    assert isinstance(run, Run) and run.plan.networks == ("Sequential",)
    exact = measure(copy.deepcopy(task.model).eval(), images(), ["1"], progress=False, **FAST)
    assert np.array_equal(run.dataset["sid_map"], exact.dataset["sid_map"])
    table = callback.to_dataframe()
    assert list(table["epoch"]) == [2, 2] and list(table.columns[:4]) == ["epoch", "network", "layer", "sample"]


def test_curves_and_maps_go_to_every_logger(tmp_path):
    callback = MeasureLayers(images(), ["1", "4"], network="model", masks=torch.eye(8).expand(2, 8, 8) > 0, **FAST)
    pictures, tables = Pictures(), Tables()
    trained(tmp_path, callback, epochs=2, logger=[CSVLogger(tmp_path, name="csv"), pictures, tables])
    rows = pd.read_csv(next(tmp_path.rglob("metrics.csv"))).dropna(subset=["sid/1"])
    assert list(rows["epoch"]) == [1, 2] and list(rows["step"]) == [3, 6]
    for epoch, value in zip(rows["epoch"], rows["sid/4"], strict=True):
        assert value == pytest.approx(callback.runs[epoch].summary()["sid"][1], abs=1e-5)
    corrected = callback.runs[2].summary()["sid_corrected"][1]
    assert rows["sid_corrected/4"].iloc[1] == pytest.approx(corrected, abs=1e-5) and corrected != rows["sid/4"].iloc[1]
    named = {
        f"{name}{end}/{layer}" for name in ("sid", "concentration") for end in ("", "_corrected") for layer in "14"
    }
    assert named | {"epoch"} == set(pictures.scalars[0][1])
    for logger in (pictures, tables):
        assert [image[:2] for image in logger.images] == [("sid_map", 3), ("sid_map", 6)]
        assert all(shape[2] == 3 and min(shape[:2]) > 50 for _, _, shape, _ in logger.images)


class Series(Task):
    """The same on series, whose maps are lines."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(248, 3))

    def forward(self, x):
        return self.model(x.flatten(2))


def test_maps_that_are_lines(tmp_path):
    series = images().flatten(2)
    masks = torch.arange(64).expand(2, 64) < 20
    callback = MeasureLayers(series, ["0", "3"], network="model", kind="series", masks=masks, **FAST)
    lightning.seed_everything(0, verbose=False)
    pictures = Pictures()
    trainer(tmp_path, [callback], epochs=1, logger=pictures).fit(Series(), loader(), loader())
    (run,) = callback.runs.values()
    assert run.dataset["sid_map"].dims[-1] == "time" and run.dataset["sid_map"].shape == (1, 2, 2, 64)
    assert {"sid/0", "concentration/3"} <= set(pictures.scalars[0][1])
    assert [name for name, *_ in pictures.images] == ["sid_map"]
    with pytest.raises(InfodiscardError, match="kind='series'"):
        MeasureLayers(series, ["0"], network="model")


def test_without_maps(tmp_path):
    pictures = Pictures()
    trained(tmp_path, MeasureLayers(images(), "1", network="model", maps=False, **FAST), epochs=1, logger=pictures)
    assert not pictures.images and len(pictures.scalars) == 1


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="board")
    trained(tmp_path, MeasureLayers(images(), "1", network="model", **FAST), epochs=1, logger=logger)
    events = EventAccumulator(logger.log_dir).Reload()
    assert len(events.Scalars("sid/1")) == 1 and len(events.Images("sid_map")) == 1


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_it_works_under_inference_mode(tmp_path, stage):
    callback, task = MeasureLayers(images(), "model.1", **FAST), Task()
    getattr(trainer(tmp_path, [callback]), stage)(task, loader(), verbose=False)
    assert task.inference and list(callback.runs) == [0]
    exact = measure(task.eval(), images(), ["model.1"], progress=False, **FAST)
    assert np.array_equal(callback.runs[0].dataset["sid_map"], exact.dataset["sid_map"])


def test_runs_on_disk(tmp_path):
    trained(tmp_path, MeasureLayers(images(), "1", epochs=[1], network="model", out=tmp_path / "runs", **FAST))
    assert Run.open(tmp_path / "runs" / "epoch-0001").complete


def test_a_failed_measurement_does_not_end_the_training(tmp_path):
    class Breaks(Task):
        def on_train_epoch_start(self):
            if self.current_epoch == 1:
                self.model[0].weight.data.fill_(torch.nan)

    callback, task = MeasureLayers(images(), "model.0", **FAST), Breaks()
    with pytest.warns(UserWarning, match="Nothing was measured after epoch 2: Layer 'model.0'"):
        trainer(tmp_path, [callback], epochs=2).fit(task, loader(), loader())
    assert list(callback.runs) == [1]
    assert all(each.training for each in task.modules()) and all(p.requires_grad for p in task.model[:5].parameters())


def test_bad_input_is_told_before_the_training(tmp_path):
    def refused(match, layers="model.1", **options):
        task = Task()
        with pytest.raises(InfodiscardError, match=match):
            trainer(tmp_path, [MeasureLayers(images(), layers, **FAST | options)]).fit(task, loader(), loader())
        assert not task.seen

    refused("no layer 'model.9'", layers="model.9")
    refused("No layer of 'Sequential' matches 'conv", layers=["conv*"], network="model")
    refused("Task has no network 'net'; its modules are 'model'", network="net")
    for wrong in (0, -1, [1, -2], [1.5], True):
        refused("epochs was", epochs=wrong)
    with pytest.raises(InfodiscardError, match="shape"):
        MeasureLayers(images()[0], "model.1")
    with pytest.raises(InfodiscardError, match="Nothing was measured yet"):
        MeasureLayers(images(), "model.1").to_dataframe()


def test_without_lightning(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    monkeypatch.delitem(sys.modules, "infodiscard.integrations.lightning")
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[train\]'"):
        importlib.import_module("infodiscard.integrations.lightning")
