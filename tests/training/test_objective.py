"""What is learnt: the loss of distillation, teachers that are left alone, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from infodiscard import data, zoo
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network, weights_hash
from infodiscard.training.objective import Objective, distillation_loss
from infodiscard.training.recipe import Recipe
from infodiscard.training.train_network import train
from tiny import same_weights, write_tiny, write_weights

STUDENT, TEACHER = "resnet20,width=0.1", "resnet20,width=0.2"


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "teacher.safetensors", f"zoo:{TEACHER}", seed=7)


def logits(seed: int, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The loss


def kl_by_hand(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """T² Σ p log(p / q), a mean over rows, as it is told."""
    rows = []
    for one, other in zip(student, teacher, strict=True):
        q, p = (np.exp(x / temperature) / np.exp(x / temperature).sum() for x in (one, other))
        rows.append(temperature**2 * (p * np.log(p / q)).sum())
    return float(np.mean(rows))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_distillation_loss_equals_its_definition(temperature: float) -> None:
    found = distillation_loss(logits(0), logits(1), temperature).item()
    assert found == pytest.approx(kl_by_hand(logits(0).numpy(), logits(1).numpy(), temperature), rel=1e-12)
    assert distillation_loss(logits(0), logits(0), temperature).item() == pytest.approx(0, abs=1e-14)


def test_gradients_keep_their_scale_as_it_gets_hot() -> None:
    """Hinton et al. (2015), eq. 4: (z − v) / N for logits without a mean; times T² it does not depend on T."""
    student, teacher = (x - x.mean(1, keepdim=True) for x in (logits(0), logits(1)))
    student.requires_grad_()
    distillation_loss(student, teacher, 1e4).backward()
    assert student.grad is not None
    torch.testing.assert_close(student.grad, (student.detach() - teacher) / 4 / 5, rtol=1e-2, atol=1e-4)


def test_the_loss_is_the_mix_that_the_recipe_says(tiny: str, teacher: Path) -> None:
    plan = Recipe(STUDENT, tiny, teacher=TEACHER, teacher_weights=str(teacher), temperature=3, teacher_share=0.7)
    learnt = Objective.of(zoo.load(plan.spec, allow_random=True), data.load(tiny), plan)
    labels = torch.tensor([0, 1, 2, 3, 0])
    found = learnt.loss(torch.zeros(0), logits(1), labels, logits(0)).item()
    hard = -np.log(F.softmax(logits(0), 1).numpy()[range(5), labels]).mean()
    assert found == pytest.approx(0.7 * kl_by_hand(logits(0).numpy(), logits(1).numpy(), 3) + 0.3 * hard, rel=1e-12)


# Training


def test_a_share_of_0_equals_learning_from_labels_to_the_last_bit(tiny: str, teacher: Path, tmp_path: Path) -> None:
    options: dict = {"epochs": 2, "batch_size": 5}
    plain = train(STUDENT, tiny, tmp_path / "plain", **options)
    taught = train(
        STUDENT, tiny, tmp_path / "taught", teacher=TEACHER, teacher_weights=str(teacher), teacher_share=0.0, **options
    )
    assert plain is not None and taught is not None and same_weights(plain.weights, taught.weights)


def test_a_share_of_1_ignores_the_labels(tiny: str, teacher: Path, tmp_path: Path) -> None:
    other = write_tiny(tmp_path, "other.npz", labels=(np.arange(12) + 1) % 3)
    options: dict = {"epochs": 2, "batch_size": 5, "teacher": TEACHER, "teacher_weights": str(teacher)}
    ends = [
        train(STUDENT, spec, tmp_path / str(number), teacher_share=share, **options)
        for number, (spec, share) in enumerate([(tiny, 1.0), (other, 1.0), (tiny, 0.9)])
    ]
    first, second, third = (end.weights for end in ends if end is not None)
    assert same_weights(first, second) and not same_weights(first, third)


def test_a_student_comes_to_answer_as_its_teacher_which_stays_as_it_is(
    tiny: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged on the images as they are; the teacher is neither trained nor saved with the student."""
    kept: list[Network] = []

    def load(*args: object) -> Network:
        kept.append(zoo.load(*args))  # type: ignore[arg-type]
        return kept[-1]

    monkeypatch.setattr("infodiscard.training.objective.load_network", load)
    options: dict = {"teacher": TEACHER, "teacher_weights": str(teacher), "teacher_share": 1.0, "keep_epochs": (0,)}
    end = train(STUDENT, tiny, tmp_path / "out", epochs=24, batch_size=6, lr=0.1, **options)
    assert end is not None and len(kept) == 1
    fresh = zoo.load(f"zoo:{TEACHER}", teacher)
    assert weights_hash(kept[0].module) == weights_hash(fresh.module)
    assert not any(module.training for module in kept[0].module.modules())
    checkpoint = torch.load(tmp_path / "out" / "last.ckpt", weights_only=True)
    assert {key.removeprefix("network.") for key in checkpoint["state_dict"]} == set(load_file(end.weights))

    images = data.load(tiny).images
    with torch.no_grad():
        wanted = fresh.module(fresh.normalise(images))
        start, learnt = (
            distillation_loss(network.module(network.normalise(images)), wanted, 4.0).item()
            for network in map(zoo.load, (str(tmp_path / "out" / "epoch-000.safetensors"), str(end.weights)))
        )
    assert learnt < start / 3


def test_a_trained_file_is_a_teacher_and_may_move(tiny: str, tmp_path: Path) -> None:
    taught = train(TEACHER, tiny, tmp_path / "teacher", epochs=1, batch_size=12)
    assert taught is not None
    options: dict = {"epochs": 2, "batch_size": 12}
    assert train(STUDENT, tiny, tmp_path / "out", stop_after=1, teacher=str(taught.weights), **options) is None
    moved = taught.weights.rename(tmp_path / "moved.safetensors")
    assert train(STUDENT, tiny, tmp_path / "out", teacher=str(moved), **options) is not None
    write_weights(tmp_path / "w.safetensors", f"zoo:{TEACHER}")
    with pytest.raises(InfodiscardError, match=r"another training \(it differs in teacher\)"):
        train(
            STUDENT, tiny, tmp_path / "out", teacher=TEACHER, teacher_weights=str(tmp_path / "w.safetensors"), **options
        )


# What does not fit


def objective(network: str, spec: str, **recipe: object) -> Objective:
    plan = Recipe(network, spec, **recipe)  # type: ignore[arg-type]
    return Objective.of(zoo.load(plan.spec, allow_random=True), data.load(spec), plan)


def test_teachers_that_do_not_fit(tiny: str, tmp_path: Path) -> None:
    few = write_weights(tmp_path / "few.safetensors", f"zoo:{TEACHER},classes=3")
    with pytest.raises(InfodiscardError, match=r"knows 3 classes and 'resnet20,width=0\.1' 10; give a teacher of the"):
        objective(STUDENT, tiny, teacher=f"{TEACHER},classes=3", teacher_weights=str(few))
    large = write_weights(tmp_path / "large.safetensors", f"zoo:{TEACHER}")
    with pytest.raises(InfodiscardError, match="takes inputs of 64×64 pixels, but the images have 32×32"):
        objective(STUDENT, tiny, teacher=f"{TEACHER},size=64", teacher_weights=str(large))
    with pytest.raises(InfodiscardError, match=r"No weights were given for the teacher 'resnet20'.*teacher_weights"):
        objective(STUDENT, tiny, teacher="resnet20")
    with pytest.raises(InfodiscardError, match="restores images and learns from no teacher"):
        objective("autoencoder20,width=0.1", tiny, teacher="demo")


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    many = write_tiny(tmp_path, labels=np.arange(12))
    with pytest.raises(InfodiscardError, match=r"go up to 11, but 'resnet20,width=0\.1' knows 10 classes.*classes=12'"):
        objective(STUDENT, many)
    assert objective(f"{STUDENT},classes=12", many).labels
    with pytest.raises(InfodiscardError, match="go down to -1; give a set with labels from 0"):
        objective(STUDENT, write_tiny(tmp_path, labels=np.arange(12) - 1))
    with pytest.raises(InfodiscardError, match="have no labels"):
        objective(STUDENT, write_tiny(tmp_path, labels=None))
    assert not objective("autoencoder20,width=0.1", write_tiny(tmp_path, labels=None)).labels


def test_what_is_no_classifier(tiny: str) -> None:
    images, plan = data.load(tiny), Recipe("maps", tiny)
    maps = Network(torch.nn.Conv2d(3, 2, 1), "maps", (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(InfodiscardError, match="'maps' gives no logits"):
        Objective.of(maps, images, plan)
    several = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    several.aux_logits = True  # as torchvision's GoogLeNet has it
    with pytest.raises(InfodiscardError, match="'maps' has further outputs while it is trained"):
        Objective.of(Network(several, "maps", (0.5,) * 3, (0.5,) * 3), images, plan)
