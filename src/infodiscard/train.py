"""Trains a network, with Lightning: a classifier from labels or from a teacher, or an auto-encoder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .batches import Batches, augment
from .data import ImageSet
from .data import load as load_data
from .errors import InfodiscardError
from .network import Network, placed, weights_hash
from .recipe import Recipe, differing
from .training import epoch_seed, load_lightning, make_folder, quiet
from .zoo import load as load_network
from .zoo.autoencoder import AutoEncoder

__all__ = ["Batches", "Recipe", "Trained", "accuracy", "augment", "reconstruction_error", "train"]


@dataclass(frozen=True)
class Trained:
    """The end of a training.

    Attributes:
        weights: the safetensors file, whose metadata hold the recipe and the accuracy; `zoo.load` takes it as a spec.
        accuracy: share of test images classified correctly, 0 … 1; `None` if there were none, or for an auto-encoder.
        mse: mean squared error of an auto-encoder on the test images, in its normalised input space; else `None`.
    """

    weights: Path
    accuracy: float | None = None
    mse: float | None = None


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
    untrained = load_network(plan.spec, plan.weights, allow_random=True, seed=plan.seed)
    folder = make_folder(Path(out))
    images = load_data(data, plan.samples, untrained.input_size, "train", plan.crop)
    if plan.spec.startswith("torchvision:") and "classes=" not in plan.spec and images.classes:
        plan = Recipe.usual(f"{network},classes={len(images.classes)}", data, **recipe)
        untrained = load_network(plan.spec, plan.weights, allow_random=True, seed=plan.seed)
    held_out = _held_out(test_data, plan, test_samples, untrained)
    lesson = Lesson.of(untrained, images, plan)
    pixels = _as_bytes(images)
    task = Task(lesson, untrained, plan, folder, frozenset(keep_epochs), keep_every, _digest(*pixels))
    if (done := task.finished(held_out is not None)) is not None:
        return done
    checkpoint = task.checkpoint()
    last = min(plan.epochs, stop_after or plan.epochs)
    if checkpoint is None and 0 in keep_epochs:
        task.save(task.kept_file(0))
    _fit(lightning, task, pixels, checkpoint, last)
    return _finish(task, held_out) if last == plan.epochs else None


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


def reconstruction_error(network: Network, images: ImageSet, batch_size: int = 256) -> float:
    """Returns an auto-encoder's mean squared error per unit of its normalised input."""
    total = 0.0
    with torch.inference_mode():
        for batch in images.images.split(batch_size):
            inputs = network.normalise(batch)
            total += F.mse_loss(network.module(inputs), inputs).item() * len(batch)
    return total / len(images)


# -- what is learnt --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """What a network learns, and from whom.

    Attributes:
        loss: takes normalised inputs, the teacher's logits (or `None`), labels and the network's output to the loss.
        teacher: the network to learn from; `None` for none. Not a submodule of what is trained.
        labels: whether the images' labels are used.
    """

    loss: Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor], torch.Tensor]
    teacher: Network | None
    labels: bool

    @classmethod
    def of(cls, network: Network, images: ImageSet, plan: Recipe) -> Lesson:
        """Returns what the recipe says.

        Raises:
            InfodiscardError: the images' labels or the teacher do not fit the network.
        """
        if isinstance(network.module, AutoEncoder):
            if plan.teacher is not None:
                raise InfodiscardError(f"'{plan.network}' restores images and learns from no teacher; leave it out.")
            return cls(lambda inputs, _, labels, output: F.mse_loss(output, inputs), None, labels=False)
        example = network.normalise(images.images[:1])
        classes = _classes(network, example)
        _check_labels(images, classes, plan.network)
        teacher = _teacher(plan, images, classes)

        def loss(
            _: torch.Tensor, soft: torch.Tensor | None, labels: torch.Tensor, logits: torch.Tensor
        ) -> torch.Tensor:
            hard = F.cross_entropy(logits, labels, label_smoothing=plan.label_smoothing)
            if soft is None:
                return hard
            return plan.teacher_share * distance(logits, soft, plan.temperature) + (1 - plan.teacher_share) * hard

        return cls(loss, teacher, labels=True)


def distance(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Returns T² KL(softmax(teacher / T) ‖ softmax(student / T)), a mean over the batch (Hinton et al. 2015).

    Args:
        student: logits, `batch × classes`.
        teacher: likewise.
        temperature: T.
    """
    soft, hot = F.log_softmax(teacher / temperature, 1), F.log_softmax(student / temperature, 1)
    return temperature**2 * F.kl_div(hot, soft, reduction="batchmean", log_target=True)


def _teacher(plan: Recipe, images: ImageSet, classes: int) -> Network | None:
    if plan.teacher is None:
        return None
    teacher = load_network(plan.teacher, plan.teacher_weights)
    teacher.check_size(images.images.shape[2:])
    known = _classes(teacher, teacher.normalise(images.images[:1]))
    if known != classes:
        raise InfodiscardError(
            f"The teacher '{plan.teacher}' knows {known} classes and '{plan.network}' {classes}; give a teacher of the "
            "same classes."
        )
    return teacher


def _classes(network: Network, example: torch.Tensor) -> int:
    training = network.module.training
    with torch.no_grad():
        output = network.module.eval()(example)
    network.module.train(training)
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise InfodiscardError(f"'{network.name}' gives no logits, `batch × classes`; name a classifier.")
    return output.shape[1]


def _check_labels(images: ImageSet, classes: int, network: str) -> None:
    labels = _labels(images)
    if int(labels.max()) >= classes:
        raise InfodiscardError(
            f"The labels of '{images.source}' go up to {int(labels.max())}, but '{network}' knows {classes} classes; "
            f"give a set with labels below that, or '{network},classes={int(labels.max()) + 1}'."
        )


def _labels(images: ImageSet) -> torch.Tensor:
    if images.labels is None:
        raise InfodiscardError(f"The images of '{images.source}' have no labels; give a set that has them.")
    return images.labels


def _as_bytes(images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the images as uint8, `N × H × W × C`, a quarter of the memory, and the labels (zeros without any)."""
    labels = images.labels if images.labels is not None else torch.zeros(len(images), dtype=torch.int64)
    return images.images.mul(255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous(), labels


def _digest(pixels: torch.Tensor, labels: torch.Tensor) -> str:
    made = hashlib.sha256(str(tuple(pixels.shape)).encode())
    made.update(pixels.numpy().data)
    made.update(labels.numpy().data)
    return made.hexdigest()


def _held_out(spec: str | None, plan: Recipe, samples: int | None, network: Network) -> ImageSet | None:
    """Returns the images to measure accuracy on; read before the training, so that a fault shows early."""
    spec = spec or (plan.data if plan.data.partition(":")[0] in ("cifar10", "cub") else None)
    if spec is None:
        return None
    images = load_data(spec, samples, network.input_size, "test", plan.crop if spec.startswith("cub:") else None)
    if not isinstance(network.module, AutoEncoder):
        _labels(images)
    return images


# -- the training ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """One training: what is learnt by which network, and where its files lie.

    Attributes:
        lesson: what is learnt.
        network: what learns it.
        plan: the recipe.
        folder: of the checkpoint and the weights.
        keep_epochs: whose weights are kept.
        keep_every: likewise, every so many; 0 for none.
        data_hash: of the images and labels.
    """

    lesson: Lesson
    network: Network
    plan: Recipe
    folder: Path
    keep_epochs: frozenset[int]
    keep_every: int
    data_hash: str

    @property
    def weights(self) -> Path:
        """The file that they go into in the end."""
        return self.folder / f"{self.plan.file_name}.safetensors"

    @cached_property
    def about(self) -> dict[str, Any]:
        """The recipe, and the hashes of what it names by files only."""
        about = {**asdict(self.plan), "data_hash": self.data_hash}
        if self.plan.weights is not None:
            # Read from the file: the network's own change while it is trained.
            about["weights_hash"] = weights_hash(load_network(self.plan.spec, self.plan.weights).module)
        if self.lesson.teacher is not None:
            about["teacher_hash"] = weights_hash(self.lesson.teacher.module)
        return about

    def kept(self, epoch: int) -> bool:
        """Whether the weights after this epoch are kept."""
        return epoch in self.keep_epochs or bool(self.keep_every and epoch % self.keep_every == 0)

    def kept_file(self, epoch: int) -> Path:
        """The file of the weights after an epoch."""
        return self.folder / f"epoch-{epoch:03}.safetensors"

    def checkpoint(self) -> Path | None:
        """Returns the checkpoint to go on from, if there is one.

        Raises:
            InfodiscardError: it is broken, or another training's.
        """
        path = self.folder / "last.ckpt"
        if not path.exists():
            return None
        try:
            # Reading it without unpickling first means that only plain tensors and numbers get as far as Lightning.
            found = torch.load(path, map_location="cpu", weights_only=True)["recipe"]
        except Exception as error:
            raise InfodiscardError(
                f"'{path}' is not a whole checkpoint of a training; delete it or choose another folder."
            ) from error
        self._check_same(path, "checkpoint", found)
        return path

    def finished(self, tested: bool) -> Trained | None:
        """Returns the end of this training if it was reached before.

        Args:
            tested: whether it must have been tested.

        Raises:
            InfodiscardError: the weights there are another training's.
        """
        from safetensors import SafetensorError, safe_open

        if not self.weights.exists():
            return None
        try:
            with safe_open(self.weights, "pt") as file:
                metadata = file.metadata() or {}
            found = json.loads(metadata["recipe"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None  # it is written anew
        self._check_same(self.weights, "weights", found if isinstance(found, dict) else {})
        lost = [epoch for epoch in sorted(self.keep_epochs) if not self.kept_file(epoch).exists()]
        if lost:
            raise InfodiscardError(
                f"The training in '{self.folder}' is finished, but the weights of epoch {lost[0]} were not kept; "
                "choose another folder to train it again."
            )
        results = {name: float(metadata[f"test_{name}"]) for name in ("accuracy", "mse") if f"test_{name}" in metadata}
        return Trained(self.weights, **results) if results or not tested else None

    def _check_same(self, path: Path, what: str, found: Mapping[str, Any]) -> None:
        changed = differing(found, self.about)
        if changed:
            raise InfodiscardError(
                f"'{path}' is the {what} of another training (it differs in {changed}); choose another folder, or "
                "delete it to start anew."
            )

    def save(self, path: Path, **results: float) -> None:
        """Writes the weights with the recipe and what was measured of them."""
        from safetensors.torch import save_file

        metadata = {"recipe": json.dumps(self.about)} | {f"test_{name}": f"{x:.4f}" for name, x in results.items()}
        state = {key: value.cpu().contiguous() for key, value in self.network.module.state_dict().items()}
        save_file(state, path, metadata)


def _lightning_task(lightning: Any, task: Task, data: tuple[torch.Tensor, torch.Tensor]) -> Any:
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
            if isinstance(self.network, AutoEncoder) and task.checkpoint() is None:
                self._calibrate(self.network)
            self.hold = _holder(self.network, plan)

        def _calibrate(self, module: AutoEncoder) -> None:
            pixels, _ = next(iter(batches(0)))
            with torch.no_grad():
                inputs = network.normalise(pixels.to(self.device))
                module.decoder.calibrate(
                    module.layer3(module.layer2(module.layer1(module.relu(module.bn1(module.conv1(inputs))))))
                )

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
    from .compression import hold

    return hold(module, plan.keep)


def _fit(
    lightning: Any, task: Task, data: tuple[torch.Tensor, torch.Tensor], checkpoint: Path | None, last: int
) -> None:
    """Trains up to the end of epoch `last`, leaving nothing but `last.ckpt` in the folder."""
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
        module = _lightning_task(lightning, task, data)
        module.train()
        trainer.fit(module, ckpt_path=checkpoint)


def _finish(task: Task, held_out: ImageSet | None) -> Trained:
    """Measures the accuracy and writes the weights."""
    network = task.network
    network.module.to("cpu").to(memory_format=torch.contiguous_format).eval()
    results: dict[str, float] = {}
    if held_out is not None and isinstance(network.module, AutoEncoder):
        results["mse"] = reconstruction_error(network, held_out)
    elif held_out is not None:
        results["accuracy"] = accuracy(network, held_out)
    task.save(task.weights, **results)
    told = {"accuracy": ": test accuracy {:.2%}", "mse": ": test MSE {:.4f} (normalised input units²)"}
    print(f"{task.weights}" + "".join(told[name].format(x) for name, x in results.items()), flush=True)
    return Trained(task.weights, **results)
