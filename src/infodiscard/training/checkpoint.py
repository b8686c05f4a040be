"""The training of one network: what defines it, where its files are, and how far it has come."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..core.files import read_safetensors_header
from ..data import ImageSet
from ..errors import InfodiscardError
from ..networks.network import Network, weights_hash
from ..zoo import load as load_network
from ..zoo.weights import save_weights
from .batches import as_bytes
from .objective import Objective
from .recipe import Recipe, differing


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        weights: the safetensors file, whose metadata hold the recipe and the accuracy; `zoo.load` takes it as a spec.
        accuracy: share of test images classified correctly, 0 … 1; `None` if there were none, or for an auto-encoder.
        mse: mean squared error of an auto-encoder on the test images, in its normalised input space; else `None`.
    """

    weights: Path
    accuracy: float | None = None
    mse: float | None = None


@dataclass(frozen=True)
class NetworkTraining:
    """The training of one network: what it learns, and where its files are.

    Attributes:
        recipe: hyperparameters and data.
        network: what learns.
        objective: what it learns.
        record: the recipe and hashes, as `recipe_record` returns them.
        folder: of the checkpoint and the weights.
        held_out: the images that the result is evaluated on; `None` for none.
        keep_epochs: whose weights are kept; 0 is the start.
        keep_every: the weights of every this many epochs are kept, too; 0 for none.
    """

    recipe: Recipe
    network: Network
    objective: Objective
    record: dict[str, Any]
    folder: Path
    held_out: ImageSet | None
    keep_epochs: frozenset[int]
    keep_every: int

    @property
    def weights(self) -> Path:
        """The file of the final weights."""
        return self.folder / f"{self.recipe.file_name}.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The file that an interrupted training continues from, if there is one."""
        return self.folder / "last.ckpt"

    @cached_property
    def test_hash(self) -> str | None:
        """Hash of the images that the result is evaluated on."""
        return None if self.held_out is None else digest(*as_bytes(self.held_out))

    def keeps(self, epoch: int) -> bool:
        """Whether the weights after this epoch are kept."""
        return epoch in self.keep_epochs or bool(epoch and self.keep_every and epoch % self.keep_every == 0)

    def epoch_file(self, epoch: int) -> Path:
        """The file of the weights after an epoch."""
        return self.folder / f"epoch-{epoch:03}.safetensors"

    def epochs_done(self) -> int | None:
        """Returns how many epochs the checkpoint has completed; `None` if there is none.

        Raises:
            InfodiscardError: it is broken, another training's, or weights to be kept were not.
        """
        if not self.checkpoint.exists():
            return None
        try:
            # Reading it without unpickling first means that only plain tensors and numbers reach Lightning.
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            record, epochs = state["recipe"], state["epoch"] + 1
        except Exception as error:
            raise InfodiscardError(
                f"'{self.checkpoint}' is not a whole checkpoint of a training; delete it or choose another folder."
            ) from error
        self._check_same(self.checkpoint, "checkpoint", record)
        self._check_kept(epochs)
        return epochs

    def finished(self) -> Trained | None:
        """Returns the result of this training if it was completed and evaluated on these images before.

        Raises:
            InfodiscardError: the weights there are not this training's, or weights to be kept were not.
        """
        if not self.weights.exists():
            return None
        try:
            metadata = read_safetensors_header(self.weights)
            record = json.loads(metadata["recipe"])
        except (OSError, KeyError, ValueError) as error:
            raise InfodiscardError(
                f"'{self.weights}' is not the weights file of a training; move it or choose another folder."
            ) from error
        self._check_same(self.weights, "weights", record if isinstance(record, dict) else {})
        self._check_kept(self.recipe.epochs)
        if self.held_out is None:
            return Trained(self.weights)
        results = {name: float(metadata[f"test_{name}"]) for name in ("accuracy", "mse") if f"test_{name}" in metadata}
        # Older files do not say which images they were evaluated on.
        same = metadata.get("test_hash", self.test_hash) == self.test_hash
        return Trained(self.weights, **results) if results and same else None

    def save(self, path: Path, **results: float) -> None:
        """Writes the weights with the recipe and the results of their evaluation."""
        metadata = {"recipe": json.dumps(self.record)} | {f"test_{name}": repr(x) for name, x in results.items()}
        if results and self.test_hash is not None:
            metadata["test_hash"] = self.test_hash
        save_weights(self.network.module, path, metadata)

    def _check_same(self, path: Path, what: str, record: Mapping[str, Any]) -> None:
        changed = differing(record, self.record)
        if changed:
            raise InfodiscardError(
                f"'{path}' is the {what} of another training (it differs in {changed}); choose another folder, or "
                "delete it to start again."
            )

    def _check_kept(self, done: int) -> None:
        lost = [epoch for epoch in range(done + 1) if self.keeps(epoch) and not self.epoch_file(epoch).exists()]
        if lost:
            raise InfodiscardError(
                f"The training in '{self.folder}' is past epoch {lost[0]}, whose weights were not kept; choose another "
                "folder to train it again."
            )


def recipe_record(recipe: Recipe, objective: Objective, data_hash: str) -> dict[str, Any]:
    """Returns the recipe, and hashes of the contents of the files that it names.

    Args:
        recipe: of the training.
        objective: what the recipe says is learnt.
        data_hash: of the images and labels.
    """
    record = {**asdict(recipe), "data_hash": data_hash}
    if recipe.weights is not None:
        record["weights_hash"] = weights_hash(load_network(recipe.spec, recipe.weights).module)
    if objective.teacher is not None:
        record["teacher_hash"] = weights_hash(objective.teacher.module)
    return record


def digest(pixels: torch.Tensor, labels: torch.Tensor) -> str:
    """SHA-256 of images (uint8, `N × H × W × C`) and their labels (int64, `N`)."""
    sha = hashlib.sha256(str(tuple(pixels.shape)).encode())
    sha.update(pixels.numpy().data)
    sha.update(labels.numpy().data)
    return sha.hexdigest()
