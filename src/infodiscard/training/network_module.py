"""The Lightning module that trains a network. Imported only to train, as Lightning is optional and slow to import."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from ..networks.network import placed
from ..zoo.autoencoder import AutoEncoder
from .batches import Batches
from .checkpoint import NetworkTraining
from .pruning import hold
from .recipe import Recipe
from .runtime import TRAINER, epoch_seed, quiet


class NetworkModule(LightningModule):
    """One network while it is trained.

    Args:
        task: what is trained, and how.
        pixels: training images, uint8, `N × H × W × C`.
        labels: int64, `N`.
        fresh: whether it starts from its initial weights instead of a checkpoint.
    """

    def __init__(self, task: NetworkTraining, pixels: torch.Tensor, labels: torch.Tensor, fresh: bool) -> None:
        super().__init__()
        self.task, self.pixels, self.labels, self.fresh = task, pixels, labels, fresh
        self.network: nn.Module = task.network.module.to(memory_format=torch.channels_last)
        self.sums = np.zeros(3)  # loss × images, images classified right, and images, within an epoch
        self.started = time.monotonic()

    def on_fit_start(self) -> None:
        teacher, keep = self.task.objective.teacher, self.task.recipe.keep
        # A list, because a module as an attribute would be registered, trained and saved.
        self.teachers = [placed(teacher.module, self.device)[0]] if teacher is not None else []
        if self.fresh:
            self._start()
        self.hold = hold(self.network, keep) if keep else None

    def _start(self) -> None:
        if isinstance(self.network, AutoEncoder):
            pixels, _ = next(iter(self._batches(0)))
            with torch.no_grad():
                features = self.network.encode(self.task.network.normalise(pixels.to(self.device)))
                self.network.decoder.calibrate(features)
        if self.task.keeps(0):
            self.task.save(self.task.epoch_file(0))

    def _batches(self, epoch: int) -> Batches:
        recipe = self.task.recipe
        return Batches(self.pixels, self.labels, recipe.batch_size, epoch_seed(recipe.seed, epoch))

    def train_dataloader(self) -> Batches:
        return self._batches(self.current_epoch)

    def on_train_epoch_start(self) -> None:
        self.sums, self.started = np.zeros(3), time.monotonic()
        seed = epoch_seed(self.task.recipe.seed, self.current_epoch)
        torch.manual_seed(seed)  # dropout draws from the global generator

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        """Returns the loss of a batch: images in [0, 1], `batch × C × H × W`, and labels, `batch`."""
        pixels, labels = batch
        inputs = self.task.network.normalise(pixels)
        output = self.network(inputs)
        loss = self.task.objective.loss(inputs, self._soft_targets(pixels), labels, output)
        right = (output.detach().argmax(1) == labels).sum().item() if self.task.objective.labels else 0
        self.sums += loss.item() * len(labels), right, len(labels)
        return loss

    def _soft_targets(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """Returns the teacher's logits, `batch × classes`, if there is one."""
        teacher = self.task.objective.teacher
        if teacher is None:
            return None
        with torch.no_grad():
            return self.teachers[0](teacher.normalise(pixels))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.hold is not None:
            self.hold()

    def on_train_epoch_end(self) -> None:
        epoch, (loss, right, count) = self.current_epoch + 1, self.sums
        progress = f"loss {loss / count:.4f}"
        if self.task.objective.labels:
            progress += f", training accuracy {right / count:.2%}"
        seconds = time.monotonic() - self.started
        print(f"epoch {epoch}/{self.task.recipe.epochs}: {progress}, {seconds:.0f} s", flush=True)
        if self.task.keeps(epoch):
            self.task.save(self.task.epoch_file(epoch))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["recipe"] = self.task.record

    def configure_optimizers(self) -> Any:
        recipe = self.task.recipe
        optimizer = _optimizer(self.parameters(), recipe)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.lr, total_steps=len(self._batches(0)) * recipe.epochs, cycle_momentum=False
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(parameters, recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True)


def fit(task: NetworkTraining, pixels: torch.Tensor, labels: torch.Tensor, fresh: bool, last: int) -> None:
    """Trains up to the end of an epoch, from the start or from the checkpoint, and leaves one new checkpoint.

    Args:
        task: what to train.
        pixels: training images, uint8, `N × H × W × C`.
        labels: int64, `N`.
        fresh: whether there is no checkpoint.
        last: number of epochs after which to end.
    """
    checkpoints = ModelCheckpoint(
        dirpath=task.folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    with quiet(), torch.random.fork_rng():
        trainer = Trainer(
            **TRAINER,
            precision="bf16-mixed" if task.recipe.bf16 else "32-true",
            max_epochs=last,
            callbacks=[checkpoints],
            default_root_dir=task.folder,
        )
        module = NetworkModule(task, pixels, labels, fresh)
        module.train()
        trainer.fit(module, ckpt_path=None if fresh else task.checkpoint)
