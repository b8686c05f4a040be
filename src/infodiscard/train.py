"""Trains a network of the zoo, with Lightning, as the carried demo network was."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .data import ImageSet
from .data import load as load_data
from .errors import InfodiscardError
from .network import Network
from .training import epoch_seed, load_lightning, make_folder, quiet
from .zoo import load as load_network


@dataclass(frozen=True)
class Recipe:
    """What fixes a training: the same recipe on the same data gives the same weights.

    Attributes:
        network: a zoo name, such as `resnet20`.
        data: spec of the training images, as `data.load` takes it.
        samples: how many of them to use, from the first; `None` for all.
        epochs: passes over them.
        batch_size: images per step.
        seed: of the initial weights, the order of images and their augmentation.
        lr: peak learning rate of the one-cycle schedule.
        weight_decay: of every parameter.
        label_smoothing: share of the target spread evenly over the classes.
        weights: file of the weights to start from, for a further cycle; `None` for random ones.
        bf16: whether the forward pass runs in bfloat16 (slower on processors without units for it).
    """

    network: str
    data: str
    samples: int | None = None
    epochs: int = 30
    batch_size: int = 128
    seed: int = 0
    lr: float = 0.2
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    weights: str | None = None
    bf16: bool = False

    def __post_init__(self) -> None:
        for what in ("epochs", "batch_size", "lr"):
            if getattr(self, what) <= 0:
                raise InfodiscardError(f"{what} is {getattr(self, what)}; give a number above 0.")
        if not 0 <= self.label_smoothing < 1 or self.weight_decay < 0:
            raise InfodiscardError("Give a label smoothing from 0 to below 1 and a weight decay of 0 or more.")


@dataclass(frozen=True)
class Trained:
    """The end of a training.

    Attributes:
        weights: the safetensors file, whose metadata hold the recipe and the accuracy.
        accuracy: share of test images classified correctly, 0 … 1; `None` if there were none.
    """

    weights: Path
    accuracy: float | None


def train(
    network: str,
    data: str,
    out: str | Path,
    *,
    test_data: str | None = None,
    test_samples: int | None = None,
    keep_every: int = 0,
    stop_after: int | None = None,
    **recipe: Any,
) -> Trained | None:
    """Trains a network and writes `out/<network>.safetensors`.

    SGD with Nesterov momentum 0.9 on a one-cycle learning rate; images are flipped at random and shifted by up to 4
    pixels over zeros, as He et al. (2016) do. After each epoch `out/last.ckpt` is replaced, and a training that was
    interrupted goes on from there to the same weights.

    Args:
        network: a zoo name, such as `resnet20`.
        data: spec of the training images; `cifar10` means its training split.
        out: folder for the checkpoint and the weights; made if missing.
        test_data: spec of the images that accuracy is measured on; if not given, the test split of `cifar10` or `cub`.
        test_samples: how many of the test images to use; `None` for all.
        keep_every: also keep the weights of every so many epochs, as `out/epoch-NNN.safetensors`; 0 keeps none.
        stop_after: end after this many epochs of the plan, to go on another time.
        recipe: the other fields of `Recipe`: samples, epochs, batch_size, seed, lr, weight_decay, and so on.

    Returns:
        The weights and the accuracy, or `None` if `stop_after` ended it before the last epoch.

    Raises:
        InfodiscardError: Lightning is missing, a name or number is not allowed, the data have no labels, or `out` holds
            the checkpoint of another recipe.
    """
    lightning = load_lightning()
    plan = Recipe(network.removeprefix("zoo:"), data, **recipe)
    folder = make_folder(Path(out))
    checkpoint = _checkpoint(folder / "last.ckpt", plan)
    untrained = load_network(f"zoo:{plan.network}", plan.weights, allow_random=True, seed=plan.seed)
    images = _as_bytes(load_data(data, plan.samples, untrained.input_size, "train"))
    held_out = _held_out(test_data, data, test_samples, untrained)
    last = min(plan.epochs, stop_after or plan.epochs)
    task = _task(lightning, untrained, images, plan, folder, keep_every)
    _fit(lightning, task, plan, folder, checkpoint, last)
    if last < plan.epochs:
        return None
    return _finish(untrained, plan, folder, held_out)


def accuracy(network: Network, images: ImageSet, batch_size: int = 256) -> float:
    """Returns the share of images that the network classifies as labelled, 0 … 1.

    Raises:
        InfodiscardError: they have no labels.
    """
    pixels, labels = images.images, _labels(images)
    correct = 0
    with torch.inference_mode():
        for batch, right in zip(pixels.split(batch_size), labels.split(batch_size), strict=True):
            correct += int((network.module(network.normalise(batch)).argmax(1) == right).sum())
    return correct / len(images)


@dataclass(frozen=True)
class Batches:
    """One epoch of augmented batches, made from whole tensors at once.

    Attributes:
        images: uint8, `N × H × W × C`, kept as bytes so that all of CIFAR-10 takes 150 MB.
        labels: int64, `N`.
        batch_size: images per batch; the last may be smaller.
        seed: of the order and the augmentation of this epoch.
    """

    images: torch.Tensor
    labels: torch.Tensor
    batch_size: int
    seed: int

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        for rows in torch.randperm(len(self.images), generator=generator).split(self.batch_size):
            yield augment(self.images[rows], generator), self.labels[rows]


def augment(images: torch.Tensor, generator: torch.Generator, shift: int = 4) -> torch.Tensor:
    """Shifts each image by up to `shift` pixels over zeros and flips half of them, each in its own way.

    Args:
        images: uint8, `N × H × W × C`.
        generator: draws the shifts and flips.
        shift: pixels.

    Returns:
        float32 in [0, 1], `N × C × H × W` in channels-last memory.
    """
    count, height, width, _ = images.shape
    padded = F.pad(images, (0, 0, shift, shift, shift, shift))
    top, left = torch.randint(2 * shift + 1, (2, count, 1), generator=generator)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(flip, columns.flip(1), columns) + left
    rows = torch.arange(height) + top
    samples = torch.arange(count)[:, None, None]
    return padded[samples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float().div_(255)


def _checkpoint(path: Path, plan: Recipe) -> Path | None:
    """Returns the checkpoint to go on from, if there is one."""
    if not path.exists():
        return None
    try:
        # Reading it without unpickling first means that only plain tensors and numbers get as far as Lightning.
        found = torch.load(path, map_location="cpu", weights_only=True)["recipe"]
    except Exception as error:
        raise InfodiscardError(
            f"'{path}' is not a whole checkpoint of a training; delete it or choose another folder."
        ) from error
    if found != asdict(plan):
        changed = ", ".join(key for key, value in asdict(plan).items() if found.get(key) != value)
        raise InfodiscardError(
            f"'{path}' is the checkpoint of another training (it differs in {changed}); choose another folder, or "
            "delete it to start anew."
        )
    return path


def _labels(images: ImageSet) -> torch.Tensor:
    if images.labels is None:
        raise InfodiscardError(f"The images of '{images.source}' have no labels; give a set that has them.")
    return images.labels


def _held_out(spec: str | None, data: str, samples: int | None, network: Network) -> ImageSet | None:
    """Returns the images to measure accuracy on; read before the training, so that a fault shows early."""
    spec = spec or (data if data.partition(":")[0] in ("cifar10", "cub") else None)
    if spec is None:
        return None
    images = load_data(spec, samples, network.input_size, "test")
    _labels(images)
    return images


def _as_bytes(images: ImageSet, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the images as uint8, `N × H × W × C`, a quarter of the memory, and the labels."""
    labels = _labels(images)
    if int(labels.max()) >= classes:
        raise InfodiscardError(
            f"The labels of '{images.source}' go up to {int(labels.max())}, but the zoo's networks know {classes} "
            "classes; give a set with labels below that."
        )
    return images.images.mul(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous(), labels


def _task(
    lightning: Any,
    network: Network,
    data: tuple[torch.Tensor, torch.Tensor],
    plan: Recipe,
    folder: Path,
    keep_every: int,
) -> Any:
    """Returns the Lightning module; its class is made here because Lightning is imported only to train."""

    def batches(epoch: int) -> Batches:
        return Batches(*data, plan.batch_size, epoch_seed(plan.seed, epoch))

    class Task(lightning.pytorch.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.network: nn.Module = network.module.to(memory_format=torch.channels_last)
            self.sums = np.zeros(3)
            self.started = time.monotonic()

        def train_dataloader(self) -> Batches:
            return batches(self.current_epoch)

        def on_train_epoch_start(self) -> None:
            self.sums, self.started = np.zeros(3), time.monotonic()

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
            pixels, labels = batch
            logits = self.network(network.normalise(pixels))
            loss = F.cross_entropy(logits, labels, label_smoothing=plan.label_smoothing)
            right = (logits.detach().argmax(1) == labels).sum().item()
            self.sums += loss.item() * len(labels), right, len(labels)
            return loss

        def on_train_epoch_end(self) -> None:
            epoch, (loss, right, count) = self.current_epoch + 1, self.sums
            progress = f"loss {loss / count:.4f}, training accuracy {right / count:.2%}"
            print(f"epoch {epoch}/{plan.epochs}: {progress}, {time.monotonic() - self.started:.0f} s", flush=True)
            if keep_every and epoch % keep_every == 0:
                _save(network.module, folder / f"epoch-{epoch:03}.safetensors", plan, None)

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["recipe"] = asdict(plan)

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = torch.optim.SGD(
                self.parameters(), lr=plan.lr, momentum=0.9, weight_decay=plan.weight_decay, nesterov=True
            )
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, plan.lr, total_steps=len(batches(0)) * plan.epochs, cycle_momentum=False
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    return Task()


def _fit(lightning: Any, task: Any, plan: Recipe, folder: Path, checkpoint: Path | None, last: int) -> None:
    """Trains up to the end of epoch `last`, leaving nothing but `last.ckpt` in the folder."""
    keep = lightning.pytorch.callbacks.ModelCheckpoint(
        dirpath=folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    with quiet():
        trainer = lightning.pytorch.Trainer(
            accelerator="auto",
            devices=1,
            precision="bf16-mixed" if plan.bf16 else "32-true",
            max_epochs=last,
            callbacks=[keep],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            reload_dataloaders_every_n_epochs=1,
            default_root_dir=folder,
        )
        task.train()
        trainer.fit(task, ckpt_path=checkpoint)


def _finish(network: Network, plan: Recipe, folder: Path, held_out: ImageSet | None) -> Trained:
    """Measures the accuracy and writes the weights."""
    network.module.to("cpu").to(memory_format=torch.contiguous_format).eval()
    share = None if held_out is None else accuracy(network, held_out)
    path = folder / f"{plan.network}.safetensors"
    _save(network.module, path, plan, share)
    print(f"{path}" + ("" if share is None else f": test accuracy {share:.2%}"), flush=True)
    return Trained(path, share)


def _save(module: nn.Module, path: Path, plan: Recipe, share: float | None) -> None:
    from safetensors.torch import save_file

    metadata = {"recipe": json.dumps(asdict(plan))} | ({} if share is None else {"test_accuracy": f"{share:.4f}"})
    save_file({key: value.cpu().contiguous() for key, value in module.state_dict().items()}, path, metadata)
