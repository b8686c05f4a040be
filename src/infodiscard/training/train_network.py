"""Trains a network, with Lightning: a classifier from labels or from a teacher, or an auto-encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..data import ImageSet
from ..data import load as load_data
from ..errors import InfodiscardError
from ..networks.network import Network, placed
from ..zoo import load as load_network
from ..zoo.autoencoder import AutoEncoder
from ..zoo.weights import load_weights
from .batches import Batches, as_bytes, augment
from .checkpoint import Task, Trained, described, digest
from .objective import Lesson
from .pruning import hold
from .recipe import Recipe
from .runtime import epoch_seed, load_lightning, make_folder, quiet

__all__ = ["Batches", "Recipe", "Trained", "accuracy", "augment", "held_out", "reconstruction_error", "train"]


def train(
    network: str,
    data: str,
    out: str | Path,
    *,
    test_data: str | None = None,
    test_samples: int | None = None,
    keep_every: int = 0,
    keep_epochs: Sequence[int] = (),
    stop_after: int | None = None,
    **recipe: Any,
) -> Trained | None:
    """Trains a network and writes `out/<network>.safetensors`.

    One-cycle learning rate; images are flipped at random and shifted by up to an eighth of their size over zeros (4
    pixels of 32, as He et al. 2016 do). After each epoch `out/last.ckpt` is replaced, and a training that was
    interrupted goes on from there to the same weights; a finished one is not repeated.

    Args:
        network: the spec of a network of the zoo or of torchvision, such as `resnet20` or `torchvision:resnet18`; one
            of torchvision's gets as many logits as the data have classes.
        data: spec of the training images; `cifar10` means its training split.
        out: folder for the checkpoint and the weights; made if missing.
        test_data: spec of the images that accuracy is measured on; if not given, the test split of `cifar10` or `cub`.
        test_samples: how many of the test images to use; `None` for all.
        keep_every: also keep the weights of every so many epochs, as `out/epoch-NNN.safetensors`; 0 keeps none.
        keep_epochs: epochs whose weights are kept likewise; 0 is the start.
        stop_after: end after this many epochs of the plan, to go on another time.
        recipe: the other fields of `Recipe`: samples, epochs, batch_size, seed, lr, teacher, and so on; what is not
            given, or `None`, is what is usual for the network.

    Returns:
        The weights and the accuracy, or `None` if `stop_after` ended it before the last epoch.

    Raises:
        InfodiscardError: Lightning is missing, a name or number is not allowed, the data have no labels, the teacher
            knows other classes, or `out` holds the checkpoint or the weights of another recipe.
    """
    lightning = load_lightning()
    plan = Recipe.usual(network, data, **recipe)
    _check(plan, keep_epochs, keep_every, stop_after)
    new_head = plan.spec.startswith("torchvision:") and "classes=" not in plan.spec
    untrained = load_network(plan.spec, None if new_head else plan.weights, allow_random=True, seed=plan.seed)
    folder = make_folder(Path(out))
    images = load_data(data, plan.samples, untrained.input_size, "train", plan.crop)
    if new_head:
        named = f"{network},classes={len(images.classes)}" if images.classes else network
        plan = Recipe.usual(named, data, **recipe)
        untrained = load_network(plan.spec, plan.weights, allow_random=True, seed=plan.seed)
    test = held_out(test_data, plan, test_samples, untrained)
    lesson = Lesson.of(untrained, images, plan)
    pixels = as_bytes(images)
    del images  # which takes four times the memory
    about = described(plan, lesson, digest(*pixels))
    task = Task(plan, untrained, lesson, about, folder, test, frozenset(keep_epochs), keep_every)
    if (done := task.finished()) is not None:
        return _told(done)
    if task.weights.exists():  # trained, but not measured on these images
        load_weights(untrained.module, task.weights)
        return _finish(task)
    reached, last = task.reached(), min(plan.epochs, stop_after or plan.epochs)
    if reached is None or reached <= last:
        _fit(lightning, task, pixels, reached is None, last)
    return _finish(task) if last == plan.epochs else None


def accuracy(network: Network, images: ImageSet, batch_size: int = 256) -> float:
    """Returns the share of images that the network classifies as labelled, 0 … 1.

    Raises:
        InfodiscardError: they have no labels.
    """
    pixels, labels = images.images, images.known_labels()
    correct = 0
    with torch.inference_mode():
        for batch, right in zip(pixels.split(batch_size), labels.split(batch_size), strict=True):
            correct += int((network.module(network.normalise(batch)).argmax(1) == right).sum())
    return correct / len(images)


def reconstruction_error(network: Network, images: ImageSet, batch_size: int = 256) -> float:
    """Returns an auto-encoder's mean squared error per unit of its normalised input."""
    total = 0.0
    with torch.inference_mode():
        for batch in images.images.split(batch_size):
            inputs = network.normalise(batch)
            total += F.mse_loss(network.module(inputs), inputs).item() * len(batch)
    return total / len(images)


def held_out(spec: str | None, plan: Recipe, samples: int | None, network: Network) -> ImageSet | None:
    """Returns the images to measure a trained network on; read before the training, so that a fault shows early.

    Args:
        spec: of the images; `None` for the test split of the recipe's data, where that has one.
        plan: the recipe.
        samples: how many; `None` for all.
        network: what is trained.

    Raises:
        InfodiscardError: they cannot be loaded, or a classifier is to be measured on images without labels.
    """
    spec = spec or (plan.data if plan.data.partition(":")[0] in ("cifar10", "cub") else None)
    if spec is None:
        return None
    images = load_data(spec, samples, network.input_size, "test", plan.crop if spec.startswith("cub:") else None)
    if not isinstance(network.module, AutoEncoder):
        images.known_labels()
    return images


def _check(plan: Recipe, keep_epochs: Sequence[int], keep_every: int, stop_after: int | None) -> None:
    """Checks what the recipe does not."""
    outside = [epoch for epoch in keep_epochs if not 0 <= epoch <= plan.epochs]
    if outside:
        raise InfodiscardError(f"There is no epoch {outside[0]} to keep; give epochs from 0 to {plan.epochs}.")
    if keep_every < 0 or (stop_after is not None and stop_after < 1):
        raise InfodiscardError("Give keep_every of 0 or more, and stop_after of 1 or more.")
    if plan.keep and plan.weights is None:
        raise InfodiscardError(f"keep is '{plan.keep}', but there are no weights to keep any of; give weights, too.")


def _lightning_task(lightning: Any, task: Task, data: tuple[torch.Tensor, torch.Tensor], fresh: bool) -> Any:
    """Returns the Lightning module; its class is made here because Lightning is imported only to train."""
    network, plan, lesson = task.network, task.plan, task.lesson

    def batches(epoch: int) -> Batches:
        return Batches(*data, plan.batch_size, epoch_seed(plan.seed, epoch))

    class Module(lightning.pytorch.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.network: nn.Module = network.module.to(memory_format=torch.channels_last)
            self.sums = np.zeros(3)
            self.started = time.monotonic()

        def on_fit_start(self) -> None:
            # A list, because a module as an attribute would be registered, trained and saved.
            self.teachers = [placed(lesson.teacher.module, self.device)[0]] if lesson.teacher is not None else []
            if fresh:
                self._start()
            self.hold = _holder(self.network, plan)

        def _start(self) -> None:
            if isinstance(self.network, AutoEncoder):
                pixels, _ = next(iter(batches(0)))
                with torch.no_grad():
                    features = self.network.encode(network.normalise(pixels.to(self.device)))
                    self.network.decoder.calibrate(features)
            if task.kept(0):
                task.save(task.kept_file(0))

        def train_dataloader(self) -> Batches:
            return batches(self.current_epoch)

        def on_train_epoch_start(self) -> None:
            self.sums, self.started = np.zeros(3), time.monotonic()
            torch.manual_seed(epoch_seed(plan.seed, self.current_epoch))  # dropout draws from the global generator

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
            pixels, labels = batch
            inputs = network.normalise(pixels)
            output = self.network(inputs)
            loss = lesson.loss(inputs, self._soft(pixels), labels, output)
            right = (output.detach().argmax(1) == labels).sum().item() if lesson.labels else 0
            self.sums += loss.item() * len(labels), right, len(labels)
            return loss

        def _soft(self, pixels: torch.Tensor) -> torch.Tensor | None:
            if lesson.teacher is None:
                return None
            with torch.no_grad():
                return self.teachers[0](lesson.teacher.normalise(pixels))

        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            self.hold()

        def on_train_epoch_end(self) -> None:
            epoch, (loss, right, count) = self.current_epoch + 1, self.sums
            progress = f"loss {loss / count:.4f}" + (
                f", training accuracy {right / count:.2%}" if lesson.labels else ""
            )
            print(f"epoch {epoch}/{plan.epochs}: {progress}, {time.monotonic() - self.started:.0f} s", flush=True)
            if task.kept(epoch):
                task.save(task.kept_file(epoch))

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["recipe"] = task.about

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = _optimizer(self.parameters(), plan)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, plan.lr, total_steps=len(batches(0)) * plan.epochs, cycle_momentum=False
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    return Module()


def _optimizer(parameters: Any, plan: Recipe) -> torch.optim.Optimizer:
    if plan.optimizer == "adamw":
        return torch.optim.AdamW(parameters, plan.lr, weight_decay=plan.weight_decay)
    return torch.optim.SGD(parameters, plan.lr, momentum=0.9, weight_decay=plan.weight_decay, nesterov=True)


def _holder(module: nn.Module, plan: Recipe) -> Callable[[], None]:
    """Returns what edits the gradients so that pruned or shared weights stay so."""
    if not plan.keep:
        return lambda: None
    return hold(module, plan.keep)


def _fit(lightning: Any, task: Task, data: tuple[torch.Tensor, torch.Tensor], fresh: bool, last: int) -> None:
    """Trains up to the end of epoch `last`, from the start or from the checkpoint, which alone is left in the folder.

    Args:
        lightning: the library.
        task: what to train.
        data: the images and labels, as `as_bytes` gives them.
        fresh: whether there is no checkpoint.
        last: number of epochs after which to end.
    """
    keep = lightning.pytorch.callbacks.ModelCheckpoint(
        dirpath=task.folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    with quiet(), torch.random.fork_rng():
        trainer = lightning.pytorch.Trainer(
            accelerator="auto",
            devices=1,
            precision="bf16-mixed" if task.plan.bf16 else "32-true",
            max_epochs=last,
            callbacks=[keep],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            reload_dataloaders_every_n_epochs=1,
            default_root_dir=task.folder,
        )
        module = _lightning_task(lightning, task, data, fresh)
        module.train()
        trainer.fit(module, ckpt_path=None if fresh else task.checkpoint)


def _finish(task: Task) -> Trained:
    """Measures the network on the held-out images and writes the weights."""
    network = task.network
    network.module.to("cpu").to(memory_format=torch.contiguous_format).eval()
    results: dict[str, float] = {}
    if task.held_out is not None and isinstance(network.module, AutoEncoder):
        results["mse"] = reconstruction_error(network, task.held_out)
    elif task.held_out is not None:
        results["accuracy"] = accuracy(network, task.held_out)
    task.save(task.weights, **results)
    return _told(Trained(task.weights, **results))


def _told(trained: Trained) -> Trained:
    """Prints the end of a training."""
    results = "" if trained.accuracy is None else f": test accuracy {trained.accuracy:.2%}"
    results += "" if trained.mse is None else f": test MSE {trained.mse:.4f} (normalised input units²)"
    print(f"{trained.weights}{results}", flush=True)
    return trained
