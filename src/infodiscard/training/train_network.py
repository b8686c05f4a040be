"""Training of a network: a classifier from labels or from a teacher, or an auto-encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..data import load as load_data
from ..errors import InfodiscardError
from ..zoo import load as load_network
from ..zoo.weights import load_weights
from .batches import as_bytes
from .checkpoint import NetworkTraining, Trained, digest, recipe_record
from .evaluate import evaluate, load_held_out
from .objective import Objective
from .recipe import Recipe
from .runtime import make_folder, require_lightning


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
        test_data: spec of the images that accuracy is measured on; by default the test split of `cifar10` or `cub`.
        test_samples: how many of the test images to use; `None` for all.
        keep_every: also keep the weights of every this many epochs, as `out/epoch-NNN.safetensors`; 0 keeps none.
        keep_epochs: also keep the weights of these epochs; 0 is the start.
        stop_after: end after this many of the epochs, to be continued by another call.
        recipe: the other fields of `Recipe`: samples, epochs, batch_size, seed, lr, teacher, and so on; a field that is
            missing or `None` has the network's usual value.

    Returns:
        The weights and the accuracy, or `None` if `stop_after` ended it before the last epoch.

    Raises:
        InfodiscardError: Lightning is missing, a name or number is not allowed, the data have no labels, the teacher
            knows other classes, or `out` holds the checkpoint or the weights of another recipe.
    """
    require_lightning()
    plan = Recipe.usual(network, data, **recipe)
    _check(plan, keep_epochs, keep_every, stop_after)
    new_head = plan.spec.startswith("torchvision:") and "classes=" not in plan.spec
    untrained = load_network(plan.spec, None if new_head else plan.weights, allow_random=True, seed=plan.seed)
    images = load_data(data, plan.samples, untrained.input_size, "train", plan.crop)
    if new_head:
        named = f"{network},classes={len(images.classes)}" if images.classes else network
        plan = Recipe.usual(named, data, **recipe)
        untrained = load_network(plan.spec, plan.weights, allow_random=True, seed=plan.seed)
    test = load_held_out(test_data, plan, test_samples, untrained)
    objective = Objective.of(untrained, images, plan)
    pixels, labels = as_bytes(images)
    del images  # which takes four times the memory
    record = recipe_record(plan, objective, digest(pixels, labels))
    folder = make_folder(Path(out))  # once all is checked
    task = NetworkTraining(plan, untrained, objective, record, folder, test, frozenset(keep_epochs), keep_every)
    if (done := task.finished()) is not None:
        return _report(done)
    if task.weights.exists():  # trained, but not evaluated on these images
        load_weights(untrained.module, task.weights)
        return _finish(task)
    reached, last = task.epochs_done(), min(plan.epochs, stop_after or plan.epochs)
    if reached is None or reached <= last:
        from .network_module import fit  # Lightning, which is optional and takes seconds

        fit(task, pixels, labels, reached is None, last)
    return _finish(task) if last == plan.epochs else None


def _check(recipe: Recipe, keep_epochs: Sequence[int], keep_every: int, stop_after: int | None) -> None:
    """Checks the arguments that are no part of the recipe."""
    outside = [epoch for epoch in keep_epochs if not 0 <= epoch <= recipe.epochs]
    if outside:
        raise InfodiscardError(f"There is no epoch {outside[0]} to keep; give epochs from 0 to {recipe.epochs}.")
    if keep_every < 0 or (stop_after is not None and stop_after < 1):
        raise InfodiscardError("Give keep_every of 0 or more, and stop_after of 1 or more.")
    if recipe.keep and recipe.weights is None:
        raise InfodiscardError(f"keep is '{recipe.keep}', but there are no weights to keep any of; give weights, too.")


def _finish(task: NetworkTraining) -> Trained:
    """Evaluates the network on the held-out images and writes the weights."""
    task.network.module.to("cpu").to(memory_format=torch.contiguous_format).eval()
    results = evaluate(task.network, task.held_out)
    task.save(task.weights, **results)
    return _report(Trained(task.weights, **results))


def _report(trained: Trained) -> Trained:
    """Prints the result of a training and returns it."""
    results = "" if trained.accuracy is None else f": test accuracy {trained.accuracy:.2%}"
    results += "" if trained.mse is None else f": test MSE {trained.mse:.4f} (normalised input units²)"
    print(f"{trained.weights}{results}", flush=True)
    return trained
