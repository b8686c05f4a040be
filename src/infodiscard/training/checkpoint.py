"""One training: what defines it, where its files lie, and how far it has come."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..data import ImageSet
from ..errors import InfodiscardError
from ..networks.network import Network, weights_hash
from ..zoo import load as load_network
from .batches import as_bytes
from .objective import Lesson
from .recipe import Recipe, differing


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


@dataclass(frozen=True)
class Task:
    """One training: what is learnt by which network, and where its files lie.

    Attributes:
        plan: the recipe.
        network: what learns.
        lesson: what it learns.
        about: the recipe and hashes, as `described` gives them.
        folder: of the checkpoint and the weights.
        held_out: the images that the end is measured on; `None` for none.
        keep_epochs: whose weights are kept; 0 is the start.
        keep_every: likewise, every so many; 0 for none.
    """

    plan: Recipe
    network: Network
    lesson: Lesson
    about: dict[str, Any]
    folder: Path
    held_out: ImageSet | None
    keep_epochs: frozenset[int]
    keep_every: int

    @property
    def weights(self) -> Path:
        """The file that they go into in the end."""
        return self.folder / f"{self.plan.file_name}.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The file to go on from, if there is one."""
        return self.folder / "last.ckpt"

    @cached_property
    def test_hash(self) -> str | None:
        """Of the images that the end is measured on."""
        return None if self.held_out is None else digest(*as_bytes(self.held_out))

    def kept(self, epoch: int) -> bool:
        """Whether the weights after this epoch are kept."""
        return epoch in self.keep_epochs or bool(epoch and self.keep_every and epoch % self.keep_every == 0)

    def kept_file(self, epoch: int) -> Path:
        """The file of the weights after an epoch."""
        return self.folder / f"epoch-{epoch:03}.safetensors"

    def reached(self) -> int | None:
        """Returns how many epochs the checkpoint has behind it; `None` if there is none.

        Raises:
            InfodiscardError: it is broken, another training's, or weights to be kept were not.
        """
        if not self.checkpoint.exists():
            return None
        try:
            # Reading it without unpickling first means that only plain tensors and numbers get as far as Lightning.
            found = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            recipe, epochs = found["recipe"], found["epoch"] + 1
        except Exception as error:
            raise InfodiscardError(
                f"'{self.checkpoint}' is not a whole checkpoint of a training; delete it or choose another folder."
            ) from error
        self._check_same(self.checkpoint, "checkpoint", recipe)
        self._check_kept(epochs)
        return epochs

    def finished(self) -> Trained | None:
        """Returns the end of this training if it was reached and measured on these images before.

        Raises:
            InfodiscardError: the weights there are not this training's, or weights to be kept were not.
        """
        from safetensors import SafetensorError, safe_open

        if not self.weights.exists():
            return None
        try:
            with safe_open(self.weights, "pt") as file:
                metadata = file.metadata()
            found = json.loads(metadata["recipe"])
        except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
            raise InfodiscardError(
                f"'{self.weights}' is not the weights file of a training; move it or choose another folder."
            ) from error
        self._check_same(self.weights, "weights", found if isinstance(found, dict) else {})
        self._check_kept(self.plan.epochs)
        if self.held_out is None:
            return Trained(self.weights)
        results = {name: float(metadata[f"test_{name}"]) for name in ("accuracy", "mse") if f"test_{name}" in metadata}
        # Files that do not say which images these were of are older than the question.
        same = metadata.get("test_hash", self.test_hash) == self.test_hash
        return Trained(self.weights, **results) if results and same else None

    def save(self, path: Path, **results: float) -> None:
        """Writes the weights with the recipe and what was measured of them."""
        from safetensors.torch import save_file

        metadata = {"recipe": json.dumps(self.about)} | {f"test_{name}": repr(x) for name, x in results.items()}
        if results and self.test_hash is not None:
            metadata["test_hash"] = self.test_hash
        state = {key: value.cpu().contiguous() for key, value in self.network.module.state_dict().items()}
        unfinished = path.with_suffix(".part")
        save_file(state, unfinished, metadata)
        os.replace(unfinished, path)

    def _check_same(self, path: Path, what: str, found: Mapping[str, Any]) -> None:
        changed = differing(found, self.about)
        if changed:
            raise InfodiscardError(
                f"'{path}' is the {what} of another training (it differs in {changed}); choose another folder, or "
                "delete it to start anew."
            )

    def _check_kept(self, reached: int) -> None:
        lost = [epoch for epoch in range(reached + 1) if self.kept(epoch) and not self.kept_file(epoch).exists()]
        if lost:
            raise InfodiscardError(
                f"The training in '{self.folder}' is past epoch {lost[0]}, whose weights were not kept; choose another "
                "folder to train it again."
            )


def described(plan: Recipe, lesson: Lesson, data_hash: str) -> dict[str, Any]:
    """Returns the recipe, and the hashes of what it names by files only.

    Args:
        plan: the recipe.
        lesson: what it says is learnt.
        data_hash: of the images and labels.
    """
    about = {**asdict(plan), "data_hash": data_hash}
    if plan.weights is not None:
        about["weights_hash"] = weights_hash(load_network(plan.spec, plan.weights).module)
    if lesson.teacher is not None:
        about["teacher_hash"] = weights_hash(lesson.teacher.module)
    return about


def digest(pixels: torch.Tensor, labels: torch.Tensor) -> str:
    """SHA-256 of images (uint8, `N × H × W × C`) and their labels (int64, `N`)."""
    made = hashlib.sha256(str(tuple(pixels.shape)).encode())
    made.update(pixels.numpy().data)
    made.update(labels.numpy().data)
    return made.hexdigest()
