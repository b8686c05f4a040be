"""How well a network stands noise and attacks, to be set beside what it discards.

The paper expects features with a high SID to be robust to both (section 3.3), and does not measure it. Perturbations
are in units of images in [0, 1], before normalisation, so that they mean the same for every network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..data import ImageSet
from ..errors import InfodiscardError
from ..networks.network import Network, placed
from ..networks.outputs import structure
from ..networks.preserve import preserved
from ..networks.state import generators_kept
from ..solver.sample_noise import SampleNoise
from .statistics import Correlation, rank_correlation

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Correlation", "attacked", "rank_correlation", "robustness", "under_attack", "under_noise"]


def under_noise(
    network: Network, images: ImageSet, std: float, draws: int = 4, seed: int = 0, batch_size: int = 256
) -> np.ndarray:
    """Returns whether each image is classified as labelled with Gaussian noise on it.

    The noise is added before normalisation, and the sum is not clipped to [0, 1], so that it is as strong in dark and
    bright places as elsewhere. An image's noise depends on its content, the seed and the number of the draw alone:
    every network and every strength meets the same, whatever the batch.

    Args:
        network: in eval mode; it is left as it was.
        images: with labels.
        std: standard deviation of the noise, in units of images in [0, 1].
        draws: noises for each image.
        seed: of the noise.
        batch_size: images per forward pass.

    Returns:
        bool, `n × draws`.

    Raises:
        InfodiscardError: a number is not allowed; the images have no labels, or not the size or channels that the
            network takes; its normalisation is unknown; or it is in training mode or gives no logits of
            two classes or more.
    """
    _check_number("std", std, 0)
    _check_number("draws", draws, 1)
    rows = []
    with _classifying(network) as logits, torch.no_grad():
        for batch, labels in _batches(network, images, batch_size):
            noise, every = SampleNoise(batch, seed, "robustness"), list(range(len(batch)))
            # One draw at a time, so that the first ones do not depend on how many follow.
            noisy = (batch + std * noise.draw(every, 1)[:, 0] for _ in range(draws))
            rows.append(torch.stack([logits(each).argmax(1) == labels for each in noisy], 1))
    return torch.cat(rows).numpy()


def attacked(
    network: Network,
    images: ImageSet,
    epsilon: float = 8 / 255,
    steps: int = 10,
    step_size: float | None = None,
    batch_size: int = 256,
) -> torch.Tensor:
    """Returns images as an attacker would leave them, by L∞ projected gradient descent (PGD; Madry et al. 2018).

    Every step follows the sign of the gradient of the label's cross-entropy, within `epsilon` of the image and within
    [0, 1]. It starts at the image itself and not, as Madry et al. do, at a random point near it, so that nothing is
    random. The steps are those of the Adversarial Robustness Toolbox.

    Args:
        network: in eval mode; it is left as it was.
        images: with labels.
        epsilon: the largest change of a value, in units of images in [0, 1].
        steps: gradient steps.
        step_size: change of a value by one step, in the same units; `None` for a quarter of `epsilon`.
        batch_size: images per pass.

    Returns:
        float32, `n × C × H × W`.

    Raises:
        InfodiscardError: as for `under_noise`; or the toolbox is missing, or a label is none of the network's classes.
    """
    size = epsilon / 4 if step_size is None else step_size
    _check_number("epsilon", epsilon, 0)
    _check_number("steps", steps, 1)
    _check_number("step_size", size, 0)
    batches = list(_batches(network, images, batch_size))
    if epsilon == 0 or size == 0:
        return images.images.clone()
    with _classifying(network) as logits, generators_kept():
        attack, one_hot = _pgd(logits, images, eps=epsilon, eps_step=size, max_iter=steps, batch_size=batch_size)
        made = [torch.from_numpy(attack.generate(batch.numpy(), one_hot[labels])) for batch, labels in batches]
    # What is added to an image may be rounded to just outside.
    return torch.cat(made).clamp(0, 1)


def under_attack(
    network: Network,
    images: ImageSet,
    epsilon: float = 8 / 255,
    steps: int = 10,
    step_size: float | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """Returns whether each image is classified as labelled both as it is and under attack.

    The image itself counts because it is within `epsilon`, too. Args, and errors raised, are those of `attacked`.

    Returns:
        bool, `n`.
    """
    made = replace(images, images=attacked(network, images, epsilon, steps, step_size, batch_size))
    return _right(network, images, batch_size) & _right(network, made, batch_size)


def robustness(
    network: Network,
    images: ImageSet,
    noise: Sequence[float] = (0.05, 0.1),
    epsilons: Sequence[float] = (0.25 / 255, 0.5 / 255, 1 / 255),
    draws: int = 4,
    steps: int = 10,
    seed: int = 0,
    batch_size: int = 256,
) -> pd.DataFrame:
    """Returns the accuracy without a perturbation, with noise and under attack.

    Args:
        network, images, draws, seed, batch_size: as for `under_noise`.
        noise: standard deviations.
        epsilons: of attacks, small by default: at 2/255 hardly an image is still classified correctly by a network that
            was not trained to stand it. Where there are none, the toolbox is not needed.
        steps: of each attack, a quarter of its epsilon long.

    Returns:
        A row per perturbation: `kind` ("clean", "noise" or "pgd"); `strength` (0, a standard deviation or an epsilon);
        `accuracy`, 0 … 1, and `se`, its standard error over images (n − 1; an image's draws are averaged first); `n`,
        the images; `kept`, the share of the images classified correctly without a perturbation that stay so, and
        `kept_se`. What cannot be said is NaN.

    Raises:
        InfodiscardError: as for `under_noise` and `under_attack`.
    """
    import pandas as pd

    clean = _right(network, images, batch_size)
    found = [("clean", 0.0, clean)]
    for std in noise:
        found.append(("noise", std, under_noise(network, images, std, draws, seed, batch_size).mean(1)))
    for epsilon in epsilons:
        found.append(("pgd", epsilon, under_attack(network, images, epsilon, steps, None, batch_size)))
    rows = []
    for kind, strength, right in found:
        (accuracy, se), (kept, kept_se) = _mean_and_error(right), _mean_and_error(right[clean])
        rows.append((kind, float(strength), accuracy, se, len(right), kept, kept_se))
    return pd.DataFrame(rows, columns=["kind", "strength", "accuracy", "se", "n", "kept", "kept_se"])


@contextmanager
def _classifying(network: Network) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Yields the function from images in [0, 1] to logits, both on the CPU wherever the network is."""
    with preserved(network.module) as model:
        _, home = placed(model, None)

        def logits(images: torch.Tensor) -> torch.Tensor:
            output = model(network.normalise(images.to(home)))
            if not isinstance(output, torch.Tensor) or output.ndim != 2 or output.shape[1] < 2:
                raise InfodiscardError(
                    f"The output of '{network.name}' is {structure(output)}; give a classifier, whose output is "
                    "samples × classes, two or more."
                )
            return output.cpu().float()

        yield logits


def _batches(network: Network, images: ImageSet, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields images and labels, after a look at whether they are there and fit."""
    _check_number("batch_size", batch_size, 1)
    network.check_size(images.images.shape[-2:])
    yield from zip(images.images.split(batch_size), images.known_labels().split(batch_size), strict=True)


def _right(network: Network, images: ImageSet, batch_size: int) -> np.ndarray:
    """Returns whether each image is classified as labelled: bool, `n`."""
    with _classifying(network) as logits, torch.no_grad():
        right = [logits(batch).argmax(1) == labels for batch, labels in _batches(network, images, batch_size)]
    return torch.cat(right).numpy()


class _Opaque(nn.Module):
    """A function in the guise of a module.

    The toolbox switches a module to evaluation, moves it and clears its gradients; through this it cannot reach the
    network of the user.
    """

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._function(images)


def _advantage(logits: torch.Tensor, one_hot: torch.Tensor) -> torch.Tensor:
    """Returns the sum over samples of a = log Σ_{j≠c} exp y_j − y_c, of which log(1 + exp a) is the cross-entropy.

    Its gradient has the same sign, but that of the cross-entropy is rounded to zero where a network is sure of itself,
    and the attack would then not move, which looks like robustness.
    """
    others = logits.masked_fill(one_hot > 0, -torch.inf).logsumexp(1)
    return (others - (logits * one_hot).sum(1)).sum()


def _pgd(logits: Callable[[torch.Tensor], torch.Tensor], images: ImageSet, **settings: Any) -> tuple[Any, np.ndarray]:
    """Returns the toolbox's attack and the one-hot vectors of the classes, `classes × classes`."""
    try:
        from art.attacks.evasion import ProjectedGradientDescent
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise InfodiscardError(
            "Attacks need the Adversarial Robustness Toolbox; install it with pip install 'infodiscard[studies]'."
        ) from error
    with torch.no_grad():
        classes = logits(images.images[:1]).shape[1]
    labels = images.labels
    if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InfodiscardError(
            f"The labels of '{images.source}' go from {int(labels.min())} to {int(labels.max())}, but the network has "
            f"{classes} classes; give images with labels from 0 to {classes - 1}."
        )
    classifier = PyTorchClassifier(
        _Opaque(logits),
        _advantage,
        input_shape=tuple(images.images.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    return ProjectedGradientDescent(classifier, verbose=False, **settings), np.eye(classes, dtype=np.float32)


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Returns the mean and its standard error, NaN where there are too few values."""
    count = len(values)
    mean = float(np.mean(values)) if count else float("nan")
    return mean, float(np.std(values, ddof=1) / count**0.5) if count > 1 else float("nan")


def _check_number(what: str, value: float, least: float) -> None:
    """Raises InfodiscardError if a number is less than it may be, or none."""
    if not least <= value < float("inf"):
        raise InfodiscardError(f"{what} is {value}; give a number of {least} or more.")
