"""Deep Compression of a trained network: pruning, retraining, weight sharing, and what a file of it would take.

After Han, Mao & Dally, "Deep Compression" (ICLR 2016), for conv and linear weights; biases and norm layers are neither
pruned nor shared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import pandas as pd

from ..core.files import read_safetensors_header
from ..errors import InfodiscardError
from ..networks.network import Network, weights_hash
from ..zoo import load as load_network
from ..zoo.weights import save_weights
from .compressed_size import size_report
from .evaluate import evaluate, load_held_out
from .pruning import prune
from .recipe import Recipe, differing
from .runtime import make_folder
from .train_network import train
from .weight_sharing import BITS, bits_by_tensor, share

Accuracies = dict[str, float | None]


@dataclass(frozen=True)
class CompressionRecipe(Recipe):
    """The recipe of the retraining, and what fixes the rest of a compression.

    Attributes:
        threshold: of `prune`, in standard deviations.
        bits: of `share`; `None` for those of Han et al.
        share_epochs: passes over the images to train the shared values, 0 for none.
        share_lr: peak learning rate of these. As a value's gradient is the sum over all its weights, it has to be
            smaller than usual by about the number of weights per value.
    """

    threshold: float = 1.0
    bits: int | Mapping[str, int] | None = None
    share_epochs: int = 0
    share_lr: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.share_epochs < 0 or not self.share_lr > 0:
            raise InfodiscardError("Give share_epochs of 0 or more and a share_lr above 0.")

    @classmethod
    def usual(cls, network: str, data: str, **given: Any) -> Self:
        """Returns the usual recipe: `lr` is a tenth of the usual one if not given, as Han et al. (2015) retrain."""
        recipe = super().usual(network, data, keep="zeros", **given)
        return recipe if given.get("lr") is not None else replace(recipe, lr=recipe.lr / 10)


@dataclass(frozen=True)
class Compressed:
    """The result of a compression.

    Attributes:
        weights: the safetensors file, whose metadata hold the recipe and the accuracies.
        accuracy: share of test images classified correctly, 0 … 1, by stage: `original`, `pruned`, `retrained`,
            `shared`, and `tuned` if the shared values were trained; `None` each if there were no test
            images, or for an auto-encoder.
        report: the table of `size_report`.
        recipe: everything that fixed the weights: the recipe of the retraining, `threshold`, `bits` and so on.
    """

    weights: Path
    accuracy: Accuracies
    report: pd.DataFrame
    recipe: dict[str, Any]


def compress(
    network: str,
    data: str,
    threshold: float,
    out: str | Path,
    *,
    weights: str | Path,
    test_data: str | None = None,
    test_samples: int | None = None,
    **recipe: Any,
) -> Compressed:
    """Prunes a trained network, retrains what is left, shares weights, and writes `out/compressed.safetensors`.

    The same call continues one that was interrupted, and trains nothing again if all is there.

    Args:
        network: its spec with options, such as `zoo:vgg16,width=0.25`.
        data: spec of the training images, as `train` takes it.
        threshold: of `prune`, in standard deviations.
        out: folder for the weights of each stage; made if missing.
        weights: file of the trained weights.
        test_data: spec of the images that accuracy is measured on; by default the test split of `cifar10` or `cub`.
        test_samples: how many of the test images to use; `None` for all.
        recipe: the other fields of `CompressionRecipe`: `bits`, `share_epochs` and `share_lr`, and those of `Recipe`
            for the retraining, such as `epochs`.

    Raises:
        InfodiscardError: whatever `prune`, `share` and `train` refuse, or `out` holds the files of another compression.
    """
    plan = CompressionRecipe.usual(network, data, threshold=threshold, **recipe)
    original = load_network(plan.spec, weights)
    record = asdict(plan) | {
        "weights": str(weights),
        "weights_hash": weights_hash(original.module),
        "bits": bits_by_tensor(original.module, BITS if plan.bits is None else plan.bits),
        "test_data": test_data,
        "test_samples": test_samples,
    }
    stages = _Stages(plan, original, record, make_folder(Path(out)))
    accuracies = stages.final()
    report = size_report(load_network(plan.spec, stages.file("compressed")).module)
    return Compressed(stages.file("compressed"), accuracies, report, record)


@dataclass(frozen=True)
class _Stages:
    """The stages of one compression, each of which is done once and makes the stages that it needs.

    Attributes:
        recipe: of the compression.
        original: the trained network; pruned in place.
        record: everything that fixes the weights, for the metadata of the files.
        folder: of the files.
    """

    recipe: CompressionRecipe
    original: Network
    record: dict[str, Any]
    folder: Path

    def file(self, stage: str) -> Path:
        """The weights of a stage; where the shared values are not trained, `compressed` are the shared ones."""
        name = "compressed" if stage == "shared" and not self.recipe.share_epochs else stage
        return self.folder / f"{name}.safetensors"

    def final(self) -> Accuracies:
        return self.tuned() if self.recipe.share_epochs else self.shared()

    def pruned(self) -> Accuracies:
        def make() -> tuple[Network, Accuracies]:
            before = self._accuracy(self.original)
            prune(self.original.module, self.recipe.threshold)
            return self.original, {"original": before, "pruned": self._accuracy(self.original)}

        return self._done_once("pruned", make)

    def shared(self) -> Accuracies:
        def make() -> tuple[Network, Accuracies]:
            earlier = self.pruned()
            retrained, accuracy = self._train("pruned")
            share(retrained.module, self.record["bits"])
            return retrained, earlier | {"retrained": accuracy, "shared": self._accuracy(retrained)}

        return self._done_once("shared", make)

    def tuned(self) -> Accuracies:
        def make() -> tuple[Network, Accuracies]:
            earlier = self.shared()
            epochs, lr = self.recipe.share_epochs, self.recipe.share_lr
            tuned, accuracy = self._train("shared", keep="shared", epochs=epochs, lr=lr)
            return tuned, earlier | {"tuned": accuracy}

        return self._done_once("compressed", make)

    def _accuracy(self, network: Network) -> float | None:
        images = load_held_out(self.record["test_data"], self.recipe, self.record["test_samples"], network)
        return evaluate(network, images).get("accuracy")

    def _train(self, start: str, **changed: Any) -> tuple[Network, float | None]:
        """Trains on from the weights of a stage; returns the network and its accuracy."""
        own = {field.name: getattr(self.recipe, field.name) for field in fields(Recipe)}
        recipe = own | {"weights": str(self.file(start))} | changed
        trained = train(
            out=self.folder / f"train-{recipe['keep']}",
            test_data=self.record["test_data"],
            test_samples=self.record["test_samples"],
            **recipe,
        )
        assert trained is not None  # as it is only with `stop_after`
        return load_network(self.recipe.spec, trained.weights), trained.accuracy

    def _done_once(self, stage: str, make: Callable[[], tuple[Network, Accuracies]]) -> Accuracies:
        """Writes the network that `make` returns, unless the stage's file is there already; returns its accuracies."""
        path = self.file(stage)
        if path.exists():
            return self._recorded(path)
        network, accuracies = make()
        metadata = {"recipe": json.dumps(self.record), "accuracy": json.dumps(accuracies)}
        save_weights(network.module, path, metadata)
        return accuracies

    def _recorded(self, path: Path) -> Accuracies:
        """Returns the accuracies that a stage's file holds.

        Raises:
            InfodiscardError: it is no such file, or one of another compression.
        """
        try:
            metadata = read_safetensors_header(path)
            record, accuracies = json.loads(metadata["recipe"]), json.loads(metadata["accuracy"])
        except (OSError, KeyError, ValueError) as error:
            raise InfodiscardError(
                f"'{path}' is not a file of a compression; move it or choose another folder."
            ) from error
        changed = differing(record, self.record)
        if changed:
            raise InfodiscardError(
                f"'{path}' is of another compression (it differs in {changed}); choose another folder, or delete this "
                "one to start again."
            )
        return accuracies
