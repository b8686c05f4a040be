"""Recipes: what is usual, what is allowed, and when two are the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.training.recipe import Recipe, differing

# What is usual


@pytest.mark.parametrize(
    "network, lr",
    [
        ("resnet20", 0.2),
        ("zoo:resnet20,damage=layer1.1", 0.2),
        ("resnet18,width=0.25", 0.2),
        ("vgg16,width=0.25", 0.1),
        ("alexnet", 0.03),
        ("torchvision:alexnet", 0.01),
        ("torchvision:vgg16", 0.01),
        ("torchvision:resnet18,classes=200", 0.05),
        ("autoencoder20", 4e-3),
    ],
)
def test_each_family_has_its_learning_rate(network: str, lr: float) -> None:
    assert Recipe.usual(network, "cifar10").lr == lr


def test_the_usual_rate_of_sgd_goes_with_the_batch_and_adamws_does_not() -> None:
    assert Recipe.usual("resnet20", "cifar10", batch_size=32).lr == 0.05
    restored = Recipe.usual("autoencoder20", "cifar10", batch_size=32)
    assert (restored.lr, restored.optimizer, restored.weight_decay) == (4e-3, "adamw", 1e-4)
    assert Recipe.usual("mine.py:build", "cifar10", batch_size=32) == Recipe("mine.py:build", "cifar10", batch_size=32)


def test_what_is_given_goes_before_what_is_usual_and_none_is_not_given() -> None:
    plan = Recipe.usual("vgg16", "cifar10", lr=0.5, batch_size=64, epochs=None, teacher=None)
    assert plan == Recipe("vgg16", "cifar10", lr=0.5, batch_size=64)


def test_a_rate_of_another_optimizer_is_not_guessed() -> None:
    with pytest.raises(InfodiscardError, match=r"'resnet20' is for sgd, not for adamw; give lr"):
        Recipe.usual("resnet20", "cifar10", optimizer="adamw")
    with pytest.raises(InfodiscardError, match="is for adamw, not for sgd"):
        Recipe.usual("autoencoder20", "cifar10", optimizer="sgd")
    assert Recipe.usual("resnet20", "cifar10", optimizer="adamw", lr=1e-3).lr == 1e-3
    assert Recipe.usual("autoencoder20", "cifar10", optimizer="adamw").lr == 4e-3


# Names


@pytest.mark.parametrize(
    "network, spec, file_name",
    [
        ("zoo:resnet20", "zoo:resnet20", "resnet20"),
        ("resnet20,damage=layer2.1", "zoo:resnet20,damage=layer2.1", "resnet20"),
        ("vgg16,width=0.25", "zoo:vgg16,width=0.25", "vgg16"),
        ("torchvision:resnet18,classes=5", "torchvision:resnet18,classes=5", "resnet18"),
        ("nets/mine.py:build", "nets/mine.py:build", "build"),
    ],
)
def test_specs_and_names_of_files(network: str, spec: str, file_name: str) -> None:
    plan = Recipe.usual(network, "cifar10")
    assert (plan.spec, plan.file_name) == (spec, file_name)


@pytest.mark.parametrize(
    "teacher, spec",
    [
        (None, None),
        ("demo", "demo"),
        ("runs/a:b/resnet20.safetensors", "runs/a:b/resnet20.safetensors"),
        ("resnet20", "zoo:resnet20"),
        ("vgg16,width=0.5", "zoo:vgg16,width=0.5"),
        ("torchvision:vgg16", "torchvision:vgg16"),
    ],
)
def test_a_teacher_is_named_as_a_network_is(teacher: str | None, spec: str | None) -> None:
    assert Recipe("resnet20", "cifar10", teacher=teacher).teacher_spec == spec


# What is allowed


@pytest.mark.parametrize("what", ["epochs", "batch_size", "lr", "temperature"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_numbers_must_be_above_zero(what: str, value: float) -> None:
    with pytest.raises(InfodiscardError, match=rf"{what} is {value}; give a number above 0"):
        Recipe("resnet20", "cifar10", **{what: value})


@pytest.mark.parametrize(
    "given, message",
    [
        ({"label_smoothing": 1.0}, "label smoothing"),
        ({"label_smoothing": -0.1}, "label smoothing"),
        ({"weight_decay": -1e-4}, "weight decay of 0 or more"),
        ({"teacher_share": 1.1}, "teacher_share is 1.1; give a share from 0 to 1"),
        ({"teacher_share": -0.1}, "from 0 to 1"),
        ({"seed": -1}, "seed is -1; give a whole number of 0 or more"),
        ({"optimizer": "adam"}, "optimizer is 'adam'; give one of 'sgd', 'adamw'"),
        ({"keep": "ones"}, "keep is 'ones'; give one of '', 'zeros', 'shared'"),
        ({"teacher_weights": "w.safetensors"}, r"'w\.safetensors' are the weights of no teacher"),
    ],
)
def test_other_values_have_ranges(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InfodiscardError, match=message):
        Recipe("resnet20", "cifar10", **given)


# Sameness


def about(**changed: Any) -> dict[str, Any]:
    return {**asdict(Recipe("resnet20", "npz:a.npz")), **changed}


def test_recipes_differ_in_what_they_say() -> None:
    assert differing(about(), about()) == ""
    assert differing(about(), about(seed=1, epochs=3)) == "epochs, seed"
    assert differing(about(data="npz:b.npz"), about()) == "data"


@pytest.mark.parametrize("what", ["data", "weights", "teacher"])
def test_files_count_by_what_they_hold_where_both_say_it(what: str) -> None:
    here, there = {what: "here", f"{what}_hash": "1"}, {what: "there", f"{what}_hash": "1"}
    assert differing(about(**here), about(**there)) == ""
    assert differing(about(**here), about(**there | {f"{what}_hash": "2"})) == what
    older = {what: "here"}
    assert differing(about(**older), about(**here)) == "" and differing(about(**older), about(**there)) == what


def test_where_a_teachers_weights_lie_does_not_count() -> None:
    one, other = {"teacher": "resnet20", "teacher_hash": "1"}, {"teacher": "x.safetensors", "teacher_hash": "1"}
    assert differing(about(**one, teacher_weights="w"), about(**other)) == ""


def test_what_an_older_recipe_does_not_name_was_not_used() -> None:
    older = {"network": "resnet20", "data": "npz:a.npz"}
    assert differing(older, about()) == ""
    assert differing(older, about(teacher="demo", keep="zeros")) == "keep, teacher"
    assert differing({}, about()) == "network, data"
