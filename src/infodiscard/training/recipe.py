"""The recipe of a network's training: data, hyperparameters and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..errors import InfodiscardError

OPTIMIZERS = ("sgd", "adamw")
KEEPS = ("", "zeros", "shared")

# Peak learning rates for 128 images a step. AlexNet and torchvision's VGG have no batch normalisation for higher ones.
USUAL: dict[str, dict[str, Any]] = {
    "alexnet": {"lr": 0.03},
    "vgg": {"lr": 0.1},
    "resnet": {"lr": 0.2},
    "autoencoder": {"lr": 4e-3, "optimizer": "adamw", "weight_decay": 1e-4},
    "torchvision:alexnet": {"lr": 0.01},
    "torchvision:vgg": {"lr": 0.01},
    "torchvision:": {"lr": 0.05},
}


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes a training: the same recipe on the same data and machine gives the same weights.

    Attributes:
        network: a spec, such as `resnet20` (of the zoo), `vgg16,width=0.25` or `torchvision:vgg16,classes=200`.
        data: spec of the training images, as `data.load` takes it.
        samples: how many of them to use, from the first; `None` for all.
        crop: for `cub`, the part to keep, in times of the bird's box.
        epochs: passes over them.
        batch_size: images per step.
        seed: of the initial weights, the order of images and their augmentation.
        optimizer: `sgd`, with Nesterov momentum 0.9, or `adamw`.
        lr: peak learning rate of the one-cycle schedule.
        weight_decay: of every parameter.
        label_smoothing: share of the target spread evenly over the classes.
        weights: file of the weights to start from; `None` for random ones.
        keep: what of those weights stays: `zeros`, those that are 0 (pruned ones); `shared`, also the equality of those
            that are equal (see `infodiscard.training.pruning.hold`).
        teacher: spec of a network to learn from, or the file of one that was trained here; `None` for none.
        teacher_weights: the teacher's weights, where its spec does not bring them.
        temperature: T that soft targets are computed at.
        teacher_share: w of the loss w T² KL(teacher ‖ student) + (1 − w) cross-entropy (Hinton et al. 2015, section 2).
        bf16: whether the forward pass runs in bfloat16 (slower on processors without units for it).
    """

    network: str
    data: str
    samples: int | None = None
    crop: float | None = None
    epochs: int = 30
    batch_size: int = 128
    seed: int = 0
    optimizer: str = "sgd"
    lr: float = 0.2
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    weights: str | None = None
    keep: str = ""
    teacher: str | None = None
    teacher_weights: str | None = None
    temperature: float = 4.0
    teacher_share: float = 0.9
    bf16: bool = False

    def __post_init__(self) -> None:
        for what in ("epochs", "batch_size", "lr", "temperature"):
            if not getattr(self, what) > 0:
                raise InfodiscardError(f"{what} is {getattr(self, what)}; give a number above 0.")
        if not 0 <= self.label_smoothing < 1 or self.weight_decay < 0:
            raise InfodiscardError("Give a label smoothing from 0 to below 1 and a weight decay of 0 or more.")
        if not 0 <= self.teacher_share <= 1:
            raise InfodiscardError(f"teacher_share is {self.teacher_share}; give a share from 0 to 1.")
        if self.seed < 0:
            raise InfodiscardError(f"seed is {self.seed}; give a whole number of 0 or more.")
        if self.teacher is None and self.teacher_weights is not None:
            raise InfodiscardError(f"'{self.teacher_weights}' are the weights of no teacher; name the teacher, too.")
        for what, allowed in (("optimizer", OPTIMIZERS), ("keep", KEEPS)):
            if getattr(self, what) not in allowed:
                raise InfodiscardError(
                    f"{what} is '{getattr(self, what)}'; give one of {', '.join(map(repr, allowed))}."
                )

    @classmethod
    def usual(cls, network: str, data: str, **given: Any) -> Self:
        """Returns the usual recipe for a network, with the fields that are given (and not `None`) in its place.

        The usual learning rate of SGD is proportional to the images in a step.

        Raises:
            InfodiscardError: a value is not allowed, or there is no usual learning rate for the optimizer given.
        """
        network = network.removeprefix("zoo:")
        usual = dict(USUAL.get(max((name for name in USUAL if network.startswith(name)), key=len, default=""), {}))
        chosen = {name: value for name, value in given.items() if value is not None}
        optimizer = usual.get("optimizer", "sgd")
        if optimizer == "sgd" and usual:
            usual["lr"] *= chosen.get("batch_size", 128) / 128
        recipe = cls(network, data, **(usual | chosen))
        if recipe.optimizer != optimizer and "lr" not in chosen:
            raise InfodiscardError(
                f"The usual learning rate of '{network}' is for {optimizer}, not for {recipe.optimizer}; give lr, too."
            )
        return recipe

    @property
    def spec(self) -> str:
        """The network's spec with its kind, as `zoo.load` takes it."""
        return self.network if self.network.partition(",")[0].count(":") else f"zoo:{self.network}"

    @property
    def teacher_spec(self) -> str | None:
        """The teacher's spec with its kind; `None` if there is no teacher."""
        if self.teacher is None or self.teacher == "demo" or self.teacher.endswith(".safetensors"):
            return self.teacher
        return self.teacher if self.teacher.partition(",")[0].count(":") else f"zoo:{self.teacher}"

    @property
    def file_name(self) -> str:
        """Name of the weights file, without its extension: the architecture's."""
        return self.spec.partition(",")[0].rpartition(":")[2].replace("/", "-")


NAMED_BY_HASH = {"data": "data_hash", "weights": "weights_hash", "teacher": "teacher_hash"}


def differing(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Names the fields that two recipes differ in; empty if they are equal.

    Files are compared by their contents where both recipes hold the hash, wherever they are. A field that an older
    recipe lacks is taken as not used.
    """
    usual = {name: item.default for name, item in Recipe.__dataclass_fields__.items()}
    hashed = {name: key for name, key in NAMED_BY_HASH.items() if recorded.get(key) and wanted.get(key)}

    def value(recipe: Mapping[str, Any], name: str) -> Any:
        return recipe.get(hashed.get(name, name), usual.get(name))

    names = [name for name in {**recorded, **wanted} if name not in (*NAMED_BY_HASH.values(), "teacher_weights")]
    return ", ".join(name for name in names if value(recorded, name) != value(wanted, name))
