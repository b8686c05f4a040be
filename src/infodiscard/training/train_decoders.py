"""Trains decoders for the layers of a network, with Lightning, several of them in one pass over the images."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..data import ImageSet
from ..data import load as load_data
from ..decoders import cache as decoders
from ..decoders.cache import TrainedDecoder
from ..errors import InfodiscardError
from ..networks.addresses import choose_layers
from ..networks.features import LayerFeatures
from ..networks.network import Network, placed, weights_hash
from ..networks.preserve import preserved
from ..networks.probe import list_layers
from .decoder_progress import Course, DecoderRecipe, rate
from .runtime import epoch_seed, load_lightning, make_folder, quiet

CALIBRATION = 512  # training images that the features' statistics are taken from


def train_decoders(
    network: Network,
    data: str | ImageSet,
    layers: Sequence[str] = (),
    folder: str | Path | None = None,
    *,
    test_data: str | ImageSet | None = None,
    test_samples: int | None = None,
    stop_after: int | None = None,
    **recipe: Any,
) -> dict[str, TrainedDecoder]:
    """Trains a decoder for each layer and writes it into the cache; one that is there already is not trained again.

    Each decoder minimises the mean squared error of the network's normalised input, with AdamW. The layers share the
    passes over the images and nothing else: each has its own optimiser, checkpoint and end, and the weights that it
    would have alone. After each epoch the checkpoints are replaced, and a training that was interrupted goes on from
    there to the same weights.

    Args:
        network: with a known normalisation; left as it was.
        data: the training images, or their spec; `cifar10` means its training split.
        layers: names or patterns; the network's usual layers if none are given.
        folder: the cache; the user's own if not given (`decoders.default_folder`).
        test_data: images to measure the quality on; if not given, the test split of `cifar10` or `cub`, and otherwise
            the validation split.
        test_samples: how many of the test images to use; `None` for all.
        stop_after: end after this many epochs of the plan, to go on another time.
        recipe: the fields of `DecoderRecipe`: samples, epochs, batch_size, seed, lr, width, and so on.

    Returns:
        The decoders by layer; without those that `stop_after` ended early.

    Raises:
        InfodiscardError: Lightning is missing, a layer or number is not allowed, the images do not fit the network, a
            file cannot be written, or a training diverged (the other layers are finished first).
    """
    lightning = load_lightning()
    plan = DecoderRecipe(**recipe)
    place = make_folder(Path(folder).expanduser() if folder else decoders.default_folder())
    split = _Split.of(_images(data, plan.samples, network, "train"), plan)
    shapes = _shapes(network, split, layers)
    about = _about(network, split, plan)
    courses = [Course.of(layer, shape, split.shape, plan, place, about) for layer, shape in shapes.items()]
    found = {course.layer: decoders.load(course.file) for course in courses if course.file.exists()}
    for decoder in found.values():
        print(f"{_told(decoder)}; it was there already", flush=True)
    left = [course for course in courses if course.layer not in found]
    if left:
        held_out, words = _held_out(test_data, data, test_samples, network, split)
        _fit(lightning, left, network, split, plan, min(plan.epochs, stop_after or plan.epochs))
        done = [course for course in left if course.ended(plan)]
        found |= _finish(done, network, held_out, plan, about | {"held_out": words})
    _report_diverged(left, plan)
    return {layer: found[layer] for layer in shapes if layer in found}


# -- the images ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Split:
    """The images of a training, as bytes, and which of them are held out.

    Attributes:
        pixels: uint8, `N × C × H × W` in channels-last memory: a quarter of the memory that floats take.
        training: indices, in random order.
        validation: indices of the others.
        source: the spec that they were loaded from.
    """

    pixels: torch.Tensor
    training: torch.Tensor
    validation: torch.Tensor
    source: str

    @classmethod
    def of(cls, images: ImageSet, plan: DecoderRecipe) -> _Split:
        if len(images) < 2:
            raise InfodiscardError(
                f"'{images.source}' holds {len(images)} image; a decoder needs 2 or more, one of them to hold out."
            )
        pixels = images.images.mul(255).round_().to(torch.uint8).contiguous(memory_format=torch.channels_last)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(plan.seed))
        held_out = min(len(images) - 1, max(1, round(plan.validation_share * len(images))))
        return cls(pixels, order[held_out:], order[:held_out], images.source or "images")

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return tuple(self.pixels.shape[1:])

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Returns some images as float32 in [0, 1]."""
        return self.pixels[rows].float().div_(255)

    def digest(self) -> str:
        """SHA-256 of the images."""
        made = hashlib.sha256(str(tuple(self.pixels.shape)).encode())
        made.update(self.pixels.permute(0, 2, 3, 1).contiguous().numpy().data)
        return made.hexdigest()


@dataclass(frozen=True)
class _Batches:
    """One pass over some images, in the order of a seed, or as they come if that is `None`."""

    split: _Split
    rows: torch.Tensor
    size: int
    seed: int | None = None

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def __iter__(self) -> Iterator[torch.Tensor]:
        order = torch.arange(len(self.rows))
        if self.seed is not None:
            order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(self.seed))
        for part in order.split(self.size):
            yield self.split.take(self.rows[part])


def _images(data: str | ImageSet, samples: int | None, network: Network, split: str) -> ImageSet:
    """Returns images of the size that the network takes."""
    if isinstance(data, str):
        return load_data(data, samples, network.input_size, split)
    network.check_size(data.images.shape[2:])
    return data if samples is None else data.take(samples)


def _held_out(
    given: str | ImageSet | None, data: str | ImageSet, samples: int | None, network: Network, split: _Split
) -> tuple[torch.Tensor, str]:
    """Returns the images to measure the quality on, as floats in [0, 1], and what to call them."""
    if given is None and isinstance(data, str) and data.partition(":")[0] in ("cifar10", "cub"):
        given = data
    if given is None:
        return split.take(split.validation), f"{_many(len(split.validation))} held out of '{split.source}'"
    images = _images(given, samples, network, "test")
    if images.images.shape[1:] != split.shape:
        raise InfodiscardError(
            f"The test images have shape {tuple(images.images.shape[1:])} but the training images {split.shape}; give "
            "images of one size."
        )
    return images.images, f"{_many(len(images))} of '{images.source or 'images'}'"


def _many(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"


# -- the features ----------------------------------------------------------------------------------------------------


def _shapes(network: Network, split: _Split, layers: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Returns the shape of the feature of each layer, in execution order."""
    example = _cast(network.normalise(split.take(split.training[:1])), network.module)
    known = list_layers(network.module, example)
    addresses = choose_layers(known, layers, network.default_layers, network.name)
    with preserved(network.module) as module:
        features = LayerFeatures(module, addresses)(example)
    return {address: tuple(features[address].shape[1:]) for address in addresses}


def _cast(inputs: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Takes inputs to the device and the precision of the network."""
    tensor = next((p for p in module.parameters() if p.is_floating_point()), inputs)
    return inputs.to(tensor.device, tensor.dtype)


# -- the training ----------------------------------------------------------------------------------------------------


def _about(network: Network, split: _Split, plan: DecoderRecipe) -> dict[str, Any]:
    """Returns all that the decoders depend on, but for their layers."""
    return {
        "weights_hash": weights_hash(network.module),
        "mean": list(network.mean or ()),
        "std": list(network.std or ()),
        "data_hash": split.digest(),
        "recipe": asdict(plan),
    }


def _fit(
    lightning: Any, courses: Sequence[Course], network: Network, split: _Split, plan: DecoderRecipe, last: int
) -> None:
    """Trains up to the end of epoch `last`; a course whose checkpoint is further on joins when the others get there."""
    courses = [course for course in courses if not course.ended(plan)]
    first = min((course.epoch for course in courses), default=plan.epochs)
    if first >= last:
        return
    task = _task(lightning, courses, network, split, plan, first)
    with quiet(), preserved(network.module):
        trainer = lightning.pytorch.Trainer(
            accelerator="auto",
            devices=1,
            precision="bf16-mixed" if plan.bf16 else "32-true",
            max_epochs=last - first,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
        )
        trainer.fit(task)


def _task(
    lightning: Any, courses: Sequence[Course], network: Network, split: _Split, plan: DecoderRecipe, first: int
) -> Any:
    """Returns the Lightning module; its class is made here because Lightning is imported only to train."""

    class Task(lightning.pytorch.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.decoders = nn.ModuleList(course.decoder for course in courses)
            self.epoch = first
            self.started = time.monotonic()
            self.running: list[Course] = []
            self.sums: dict[str, float] = {}

        def configure_optimizers(self) -> list[Any]:
            # The decoders are on their device by now, and nothing else of Lightning's needs to be restored.
            self.features = _Features(network, placed(network.module, self.device)[0])
            pixels = split.take(split.training[:CALIBRATION]).to(self.device)
            features, _ = self.features(pixels, courses)
            for course in courses:
                course.start(plan, features[course.layer])
            return [course.optimizer for course in courses]

        def _active(self) -> list[Course]:
            return [each for each in courses if each.epoch == self.epoch and not each.trouble and not each.ended(plan)]

        def train_dataloader(self) -> _Batches:
            return _Batches(split, split.training, plan.batch_size, epoch_seed(plan.seed, first + self.current_epoch))

        def val_dataloader(self) -> _Batches:
            return _Batches(split, split.validation, plan.batch_size)

        def on_train_epoch_start(self) -> None:
            self.started, self.running = time.monotonic(), self._active()
            for course in self.running:
                course.sums = [0.0, 0.0]

        def training_step(self, pixels: torch.Tensor, index: int) -> None:
            active = self._active()
            if not active:
                return
            features, inputs = self.features(pixels, active)
            steps = len(self.train_dataloader())
            now = rate(self.epoch * steps + index, plan.epochs * steps, plan.lr)
            for course in active:
                course.step(features[course.layer], inputs, now)

        def on_validation_epoch_start(self) -> None:
            self.sums = {course.layer: 0.0 for course in self._active()}

        def validation_step(self, pixels: torch.Tensor, index: int) -> None:
            active = self._active()
            if not active:
                return
            features, inputs = self.features(pixels, active)
            for course in active:
                made = course.decoder(features[course.layer])
                self.sums[course.layer] += F.mse_loss(made, inputs).item() * len(inputs) / len(split.validation)

        def on_train_epoch_end(self) -> None:
            for course in self._active():
                course.finish_epoch(self.sums[course.layer])
            self.epoch += 1
            told = ", ".join(
                f"{each.layer} {'diverged' if each.trouble else f'{each.loss:.4f} ({each.validation:.4f})'}"
                for each in self.running
            )
            taken = time.monotonic() - self.started
            print(f"epoch {self.epoch}/{plan.epochs}: MSE (validation) {told}; {taken:.0f} s", flush=True)
            self.trainer.should_stop = all(course.trouble or course.ended(plan) for course in courses)

    return Task()


@dataclass(frozen=True)
class _Features:
    """Computes the features of layers; no `nn.Module` itself, so that Lightning leaves the network alone."""

    network: Network
    module: nn.Module

    def __call__(self, pixels: torch.Tensor, courses: Sequence[Course]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Returns the features of images in [0, 1] by layer, and the inputs that they were computed from."""
        inputs = self.network.normalise(pixels)
        features_of = LayerFeatures(self.module, [course.layer for course in courses])
        with torch.autocast(inputs.device.type, enabled=False):
            return features_of(_cast(inputs, self.module)), inputs


# -- the end ---------------------------------------------------------------------------------------------------------


def _finish(
    courses: Sequence[Course],
    network: Network,
    held_out: torch.Tensor,
    plan: DecoderRecipe,
    about: Mapping[str, Any],
) -> dict[str, TrainedDecoder]:
    """Measures the quality of the decoders, writes them and takes their checkpoints away."""
    for course in courses:
        course.decoder.to("cpu").to(memory_format=torch.contiguous_format).eval()
        course.decoder.load_state_dict(course.best_state)
        if plan.half:
            decoders.halve(course.decoder)
    found = {}
    measured = quality(network, {course.layer: course.decoder for course in courses}, held_out)
    for course in courses:
        details = {**about, "layer": course.layer, "quality": measured[course.layer]}
        found[course.layer] = decoders.save(course.decoder, course.file, details)
        course.checkpoint.unlink(missing_ok=True)
        print(_told(found[course.layer]), flush=True)
    return found


def quality(
    network: Network, modules: Mapping[str, nn.Module], images: torch.Tensor, batch_size: int = 128
) -> dict[str, dict[str, float]]:
    """Returns how well decoders reconstruct images, by layer.

    Args:
        network: whose layers they decode.
        modules: the decoders by layer, on any device.
        images: float32, `N × C × H × W`, in [0, 1].
        batch_size: images at once.

    Returns:
        For each layer `mse`, in the normalised input space; and, of the reconstruction taken back to [0, 1] and
        clipped there, `psnr` (dB) and `ssim` (Wang et al. 2004, Gaussian window of 11 pixels), means over images.
        `ssim` is left out where images are no larger than its window.
    """
    sums: dict[str, dict[str, float]] = {layer: {} for layer in modules}
    if not modules:
        return sums
    with preserved(network.module) as module, torch.no_grad():
        features_of = LayerFeatures(module, list(modules))
        for batch in images.split(batch_size):
            inputs = network.normalise(batch)
            for layer, feature in features_of(_cast(inputs, module)).items():
                made = modules[layer](feature.to(next(modules[layer].parameters()).device)).cpu()
                for name, values in _likeness(network, made, inputs, batch).items():
                    sums[layer][name] = sums[layer].get(name, 0.0) + values.double().sum().item() / len(images)
    return sums


def _likeness(
    network: Network, made: torch.Tensor, inputs: torch.Tensor, images: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Returns the measures of each reconstruction."""
    mean, std = torch.tensor(network.mean).view(-1, 1, 1), torch.tensor(network.std).view(-1, 1, 1)
    shown = (made * std + mean).clamp(0, 1)
    error = (shown - images).square().mean((1, 2, 3)).clamp(min=1e-10)
    values = {"mse": (made - inputs).square().mean((1, 2, 3)), "psnr": -10 * error.log10()}
    if min(images.shape[2:]) > 11:
        from torchmetrics.functional.image import structural_similarity_index_measure as ssim

        values["ssim"] = ssim(shown, images, data_range=1.0, reduction="none")  # type: ignore[assignment]
    return values


def _told(decoder: TrainedDecoder) -> str:
    values = decoder.quality
    likeness = f", SSIM {values['ssim']:.3f}" if "ssim" in values else ""
    return f"{decoder.layer}: MSE {values['mse']:.4f}, PSNR {values['psnr']:.2f} dB{likeness}, {decoder.path}"


def _report_diverged(courses: Sequence[Course], plan: DecoderRecipe) -> None:
    for course in courses:
        if course.trouble:
            kept = f"'{course.checkpoint}' keeps it as it was after epoch {course.epoch}"
            raise InfodiscardError(
                f"The training of the decoder for '{course.layer}' diverged ({course.trouble}) and was stopped; "
                f"{kept if course.epoch else 'no epoch of it was finished'}. Give a smaller learning rate, such as "
                f"{plan.lr / 4:g}."
            )
