"""Training objectives: a classifier's labels, a teacher's answers, or an auto-encoder's input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ..data import ImageSet
from ..errors import InfodiscardError
from ..networks.network import Network
from ..zoo import load as load_network
from ..zoo.autoencoder import AutoEncoder
from .recipe import Recipe


@dataclass(frozen=True)
class Objective:
    """What a network learns, and from whom.

    Attributes:
        loss: of normalised inputs (`batch × C × H × W`), the teacher's logits (`batch × classes`, or `None`), labels
            (`batch`) and the network's output (logits, or a reconstruction of the inputs).
        teacher: the network to learn from, in eval mode; `None` for none. Not a submodule of what is trained.
        labels: whether the images' labels are used.
    """

    loss: Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor], torch.Tensor]
    teacher: Network | None
    labels: bool

    @classmethod
    def of(cls, network: Network, images: ImageSet, recipe: Recipe) -> Objective:
        """Returns the objective that a recipe describes.

        Raises:
            InfodiscardError: the images' labels or the teacher do not fit the network.
        """
        if isinstance(network.module, AutoEncoder):
            if recipe.teacher is not None:
                raise InfodiscardError(f"'{recipe.network}' restores images and learns from no teacher; leave it out.")
            return cls(lambda inputs, _, labels, output: F.mse_loss(output, inputs), None, labels=False)
        classes = _classes(network, images)
        _check_labels(images, classes, recipe.network)
        teacher = _teacher(recipe, images, classes)

        def loss(
            _: torch.Tensor, soft: torch.Tensor | None, labels: torch.Tensor, logits: torch.Tensor
        ) -> torch.Tensor:
            hard = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            if soft is None:
                return hard
            distilled = distillation_loss(logits, soft, recipe.temperature)
            return recipe.teacher_share * distilled + (1 - recipe.teacher_share) * hard

        return cls(loss, teacher, labels=True)


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Returns T² KL(softmax(teacher / T) ‖ softmax(student / T)), a mean over the batch (Hinton et al. 2015).

    Args:
        student: logits, `batch × classes`.
        teacher: logits, `batch × classes`.
        temperature: T.
    """
    soft, hot = F.log_softmax(teacher / temperature, 1), F.log_softmax(student / temperature, 1)
    return temperature**2 * F.kl_div(hot, soft, reduction="batchmean", log_target=True)


def _teacher(recipe: Recipe, images: ImageSet, classes: int) -> Network | None:
    if recipe.teacher_spec is None:
        return None
    if recipe.teacher_weights is None and recipe.teacher_spec.startswith(("zoo:", "torchvision:", "timm:")):
        raise InfodiscardError(
            f"No weights were given for the teacher '{recipe.teacher}'; give them as teacher_weights, or name a "
            ".safetensors file that was trained here as the teacher."
        )
    teacher = load_network(recipe.teacher_spec, recipe.teacher_weights)
    teacher.check_size(images.images.shape[2:])
    known = _classes(teacher, images)
    if known != classes:
        raise InfodiscardError(
            f"The teacher '{recipe.teacher}' knows {known} classes and '{recipe.network}' {classes}; give a teacher of "
            "the same classes."
        )
    return teacher


def _classes(network: Network, images: ImageSet) -> int:
    """Returns the number of logits of a network in eval mode."""
    with torch.no_grad():
        output = network.module(network.normalise(images.images[:1]))
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise InfodiscardError(f"'{network.name}' gives no logits, `batch × classes`; name a classifier.")
    if getattr(network.module, "aux_logits", False):
        raise InfodiscardError(
            f"'{network.name}' has further outputs while it is trained, which no loss is known for; name another."
        )
    return output.shape[1]


def _check_labels(images: ImageSet, classes: int, network: str) -> None:
    labels = images.known_labels()
    if int(labels.min()) < 0:
        raise InfodiscardError(
            f"The labels of '{images.source}' go down to {int(labels.min())}; give a set with labels from 0."
        )
    if int(labels.max()) >= classes:
        raise InfodiscardError(
            f"The labels of '{images.source}' go up to {int(labels.max())}, but '{network}' knows {classes} classes; "
            f"give a set with labels below that, or '{network},classes={int(labels.max()) + 1}'."
        )
