"""The Lightning module that trains decoders. Imported only to train, as Lightning is optional and slow to import."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.nn import functional as F

from ..decoders.recipe import DecoderRecipe
from ..networks.network import Network, placed
from ..networks.preserve import preserved
from .decoder_progress import DecoderTraining, rate
from .feature_extractor import FeatureExtractor
from .image_split import ImageSplit, SplitBatches
from .runtime import TRAINER, epoch_seed, quiet

CALIBRATION = 512  # training images that the features' statistics are computed from


class DecoderModule(LightningModule):
    """The decoders of several layers while they are trained, each with its own optimiser.

    Args:
        trainings: of the decoders; those that have completed more epochs than others wait for them.
        network: whose layers they decode.
        split: the images.
        recipe: of all the trainings.
        first: epochs that the furthest behind has completed.
    """

    def __init__(
        self,
        trainings: Sequence[DecoderTraining],
        network: Network,
        split: ImageSplit,
        recipe: DecoderRecipe,
        first: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.trainings, self.source, self.split, self.recipe = list(trainings), network, split, recipe
        self.decoders = nn.ModuleList(each.decoder for each in trainings)
        self.first = self.epoch = first
        self.started = time.monotonic()
        self.running: list[DecoderTraining] = []
        self.sums: dict[str, float] = {}

    def configure_optimizers(self) -> Any:
        # The decoders are on their device by now, and Lightning has nothing else to restore.
        self.extract = FeatureExtractor(self.source, placed(self.source.module, self.device)[0])
        pixels = self.split.take(self.split.training[:CALIBRATION]).to(self.device)
        features, _ = self.extract(pixels, [each.layer for each in self.trainings])
        for each in self.trainings:
            each.start(features[each.layer])
        return [each.optimizer for each in self.trainings]

    def _active(self) -> list[DecoderTraining]:
        return [each for each in self.trainings if each.epoch == self.epoch and not each.trouble and not each.ended()]

    def train_dataloader(self) -> SplitBatches:
        seed = epoch_seed(self.recipe.seed, self.first + self.current_epoch)
        return SplitBatches(self.split, self.split.training, self.recipe.batch_size, seed)

    def val_dataloader(self) -> SplitBatches:
        return SplitBatches(self.split, self.split.validation, self.recipe.batch_size)

    def on_train_epoch_start(self) -> None:
        self.started, self.running = time.monotonic(), self._active()
        for each in self.running:
            each.sums = [0.0, 0.0]

    def training_step(self, pixels: torch.Tensor, index: int) -> None:
        """Takes a step of each decoder, on images in [0, 1], `batch × C × H × W`."""
        active = self._active()
        if not active:
            return
        features, inputs = self.extract(pixels, [each.layer for each in active])
        steps = len(self.train_dataloader())
        lr = rate(self.epoch * steps + index, self.recipe.epochs * steps, self.recipe.lr)
        for each in active:
            each.step(features[each.layer], inputs, lr)

    def on_validation_epoch_start(self) -> None:
        self.sums = {each.layer: 0.0 for each in self._active()}

    def validation_step(self, pixels: torch.Tensor, index: int) -> None:
        """Adds the losses of held-out images in [0, 1], `batch × C × H × W`."""
        active = self._active()
        if not active:
            return
        features, inputs = self.extract(pixels, [each.layer for each in active])
        for each in active:
            loss = F.mse_loss(each.decoder(features[each.layer]), inputs).item()
            self.sums[each.layer] += loss * len(inputs) / len(self.split.validation)

    def on_train_epoch_end(self) -> None:
        for each in self._active():
            each.finish_epoch(self.sums[each.layer])
        self.epoch += 1
        losses = ", ".join(
            f"{each.layer} {'diverged' if each.trouble else f'{each.loss:.4f} ({each.validation:.4f})'}"
            for each in self.running
        )
        seconds = time.monotonic() - self.started
        print(f"epoch {self.epoch}/{self.recipe.epochs}: MSE (validation) {losses}; {seconds:.0f} s", flush=True)
        self.trainer.should_stop = all(each.trouble or each.ended() for each in self.trainings)


def fit(
    trainings: Sequence[DecoderTraining], network: Network, split: ImageSplit, recipe: DecoderRecipe, last: int
) -> None:
    """Trains up to the end of an epoch; a decoder whose checkpoint is further on joins when the others get there.

    Args:
        trainings: of the decoders.
        network: whose layers they decode.
        split: the images.
        recipe: of all the trainings.
        last: number of epochs after which to end.
    """
    trainings = [each for each in trainings if not each.ended()]
    first = min((each.epoch for each in trainings), default=recipe.epochs)
    if first >= last:
        return
    module = DecoderModule(trainings, network, split, recipe, first)
    with quiet(), preserved(network.module):
        trainer = Trainer(
            **TRAINER,
            precision="bf16-mixed" if recipe.bf16 else "32-true",
            max_epochs=last - first,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module)
