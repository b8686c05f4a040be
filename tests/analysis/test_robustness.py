"""Accuracy under noise and attack, on networks whose answer is known and on the carried one."""

import builtins
import copy
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from infodiscard import zoo
from infodiscard.analysis.robustness import (
    _advantage,
    attacked,
    robustness,
    under_attack,
    under_noise,
)
from infodiscard.data import ImageSet, load
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def linear(size=4, scale=1.0, seed=3):
    """Two classes, told apart by a plane through the middle of the cube of images; its logits and its normal."""
    weight = (uniform(2, 3 * size * size, seed=seed) - 0.5) * scale
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 2)).eval()
    normal = ((weight[1] - weight[0]).view(3, size, size) / torch.tensor(STD)[:, None, None]).detach()
    middle = (0.5 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        module[1].weight.copy_(weight)
        module[1].bias.copy_(-weight.view(2, 3, -1).sum(2) @ middle)
    return Network(module, "linear", MEAN, STD), normal


def made(count=16, size=4, seed=5):
    """Images in [0.1, 0.9], labelled as `linear` does."""
    network, normal = linear(size)
    images = 0.1 + 0.8 * uniform(count, 3, size, size, seed=seed)
    labels = ((images - 0.5) * normal).sum((1, 2, 3)) > 0
    return network, normal, ImageSet(images, labels.long(), source="made")


@pytest.fixture(scope="module")
def demo():
    return zoo.load("demo")


@pytest.fixture(scope="module")
def pictures():
    return load("demo")


# Noise


def test_noise_wrongs_as_many_as_the_plane_is_near():
    """The logits' difference has the standard deviation std · |normal|, so the share of right ones is known."""
    network, normal, images = made(count=8)
    distance = (((images.images - 0.5) * normal).sum((1, 2, 3)) / normal.norm()).abs().numpy()
    right = under_noise(network, images, 0.3, draws=2000)
    expected = norm.cdf(distance / 0.3)
    assert right.shape == (8, 2000) and right.dtype == bool
    assert (np.abs(right.mean(1) - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000) + 1e-3).all()


def test_noise_depends_on_the_sample_alone(demo, pictures):
    right = under_noise(demo, pictures, 0.2, draws=5)
    assert 0.1 < right.mean() < 0.9 and not np.array_equal(right, under_noise(demo, pictures, 0.2, draws=5, seed=1))
    np.testing.assert_array_equal(under_noise(demo, pictures, 0.2, draws=5, batch_size=5), right)
    np.testing.assert_array_equal(under_noise(demo, pictures, 0.2, draws=2), right[:, :2])
    order = torch.arange(11, -1, -1)
    turned = ImageSet(pictures.images[order], pictures.labels[order])
    np.testing.assert_array_equal(under_noise(demo, turned, 0.2, draws=5), right[::-1])


def test_no_noise_is_clean(demo, pictures):
    assert under_noise(demo, pictures, 0, draws=1).all()


# Attack


@pytest.mark.parametrize("scale", [0.01, 1, 1000])
def test_attack_on_a_plane_is_the_closed_form(scale):
    """x ± ε sign(normal), however sure the network: at 1000 the cross-entropy's gradient is rounded to zero."""
    _, normal, images = made()
    network, _ = linear(scale=scale)
    away = torch.where(images.labels == 1, -1.0, 1.0)[:, None, None, None]
    result = attacked(network, images, epsilon=0.05, steps=10)
    torch.testing.assert_close(result, images.images + away * 0.05 * normal.sign())


def test_whether_the_attack_succeeds_on_a_plane_is_known():
    network, normal, images = made(count=64)
    margin = ((images.images - 0.5) * normal).sum((1, 2, 3)).abs() - 0.02 * normal.abs().sum()
    right = under_attack(network, images, epsilon=0.02)
    assert 0.1 < right.mean() < 0.9 and right.dtype == bool
    np.testing.assert_array_equal(right, (margin > 0).numpy())


def test_attack_stays_within_epsilon_and_the_range_of_images(demo, pictures):
    result = attacked(demo, pictures, epsilon=0.1, steps=5)
    assert result.min() == 0 and result.max() == 1
    assert (result - pictures.images).abs().max() <= 0.1 + 1e-6


def test_attack_on_a_trained_network(demo, pictures):
    clean = under_attack(demo, pictures, epsilon=0)
    right = [under_attack(demo, pictures, epsilon=k / 255) for k in (1, 8)]
    assert clean.all() and right[0].sum() < 12 and not right[1].any()
    np.testing.assert_array_equal(under_attack(demo, pictures, epsilon=1 / 255, batch_size=5), right[0])


def test_the_direction_is_that_of_the_cross_entropy():
    """log(1 + exp a) is the cross-entropy, in its value and in the sign of its gradient."""
    logits = (8 * uniform(5, 4) - 4).double().requires_grad_()
    labels = torch.tensor([0, 3, 1, 1, 2])
    advantages = torch.stack([_advantage(y[None], torch.eye(4)[c][None]) for y, c in zip(logits, labels, strict=True)])
    entropies = nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(nn.functional.softplus(advantages), entropies)
    signs = [torch.autograd.grad(each.sum(), logits)[0].sign() for each in (advantages, entropies)]
    assert torch.equal(*signs)


def test_what_is_wrong_already_is_not_right_under_attack(demo, pictures):
    wrong = replace(pictures, labels=(pictures.labels + 1) % 10)
    assert not under_attack(demo, wrong, epsilon=1 / 255, steps=2).any()


# What both have in common


def test_nothing_is_left_behind(demo, pictures):
    """Not in the network, though the toolbox calls eval, to and zero_grad, nor in any random generator."""
    module = copy.deepcopy(demo.module)
    network, images = replace(demo, module=module), replace(pictures.take(2), images=pictures.images[:2].clone())
    module.linear.weight.grad = torch.ones_like(module.linear.weight)
    module.conv1.weight.requires_grad_(False)
    module.relu.train()
    state, pixels = copy.deepcopy(module.state_dict()), images.images.clone()
    generators = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    with torch.inference_mode():
        robustness(network, images, noise=(0.1,), epsilons=(0.01,), steps=2)
    assert random.getstate() == generators[0] and np.array_equal(np.random.get_state()[1], generators[1])
    assert torch.equal(torch.get_rng_state(), generators[2]) and torch.equal(images.images, pixels)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert torch.equal(module.linear.weight.grad, torch.ones_like(module.linear.weight))
    assert [name for name, p in module.named_parameters() if not p.requires_grad] == ["conv1.weight"]
    assert all(p.grad is None for name, p in module.named_parameters() if name != "linear.weight")
    assert [name for name, each in module.named_modules() if each.training] == ["relu"]
    assert not any(each._forward_hooks or each._backward_hooks for each in module.modules())


@pytest.mark.parametrize("judge", [lambda n, i, **k: under_noise(n, i, 0.1, **k), under_attack])
def test_what_cannot_be_judged_is_refused(judge):
    network, _, images = made()
    with pytest.raises(InfodiscardError, match="'made' have no labels"):
        judge(network, replace(images, labels=None))
    with pytest.raises(InfodiscardError, match="normalisation of network 'linear' is not known"):
        judge(replace(network, mean=None), images)
    with pytest.raises(InfodiscardError, match="takes inputs of 8×8 pixels"):
        judge(replace(network, input_size=(8, 8)), images)
    with pytest.raises(InfodiscardError, match="batch_size is 0; give a number of 1 or more"):
        judge(network, images, batch_size=0)
    with pytest.raises(InfodiscardError, match="give a classifier"):
        judge(replace(network, module=nn.Conv2d(3, 2, 1).eval()), images)
    with pytest.raises(InfodiscardError, match=r", 1\); give a classifier"):
        judge(replace(network, module=nn.Sequential(nn.Conv2d(3, 1, 4), nn.Flatten()).eval()), images)
    with pytest.raises(InfodiscardError, match="training mode"):
        judge(replace(network, module=nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())), images)


def test_numbers_out_of_range_are_refused():
    network, _, images = made()
    for wrong in ({"std": -0.1}, {"std": math.nan}, {"std": 0.1, "draws": 0}):
        with pytest.raises(InfodiscardError, match=r"give a number of [01] or more"):
            under_noise(network, images, **wrong)
    for wrong in ({"epsilon": -1}, {"steps": 0}, {"step_size": -0.1}):
        with pytest.raises(InfodiscardError, match=r"give a number of [01] or more"):
            under_attack(network, images, **wrong)
    with pytest.raises(InfodiscardError, match="go from 0 to 2, but the network has 2 classes"):
        under_attack(network, replace(images, labels=torch.arange(16) % 3))


def test_without_the_toolbox_it_says_what_to_install(monkeypatch, demo, pictures):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("art."):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[studies\]'"):
        under_attack(demo, pictures)
    assert len(robustness(demo, pictures, epsilons=())) == 3


# The table


def test_robustness_sums_up_what_was_found(demo, pictures):
    """Two of the twelve are labelled wrongly, so that 'kept' is a share of ten."""
    labels = pictures.labels.clone()
    labels[:2] = 9
    images = replace(pictures, labels=labels)
    table = robustness(demo, images, noise=(0.1,), epsilons=(0, 1 / 255), draws=3, seed=4).set_index("kind")
    assert list(table.columns) == ["strength", "accuracy", "se", "n", "kept", "kept_se"] and (table["n"] == 12).all()
    assert table["strength"].tolist() == [0, 0.1, 0, 1 / 255]
    clean, noise, still, attack = (row for _, row in table.iterrows())
    # The binomial error, with n − 1.
    assert clean["accuracy"] == pytest.approx(10 / 12) and clean["se"] == pytest.approx((10 / 12 * 2 / 12 / 11) ** 0.5)
    assert clean["kept"] == 1 and clean["kept_se"] == 0 and still.drop("strength").equals(clean.drop("strength"))
    right = under_noise(demo, images, 0.1, draws=3, seed=4).mean(1)
    assert noise["accuracy"] == right.mean() and noise["se"] == pytest.approx(right.std(ddof=1) / 12**0.5)
    assert noise["kept"] == right[2:].mean() and noise["kept_se"] == pytest.approx(right[2:].std(ddof=1) / 10**0.5)
    right = under_attack(demo, images, 1 / 255)
    assert attack["accuracy"] == right.mean() and attack["kept"] == right[2:].mean() < 1


def test_what_cannot_be_said_is_nan(demo, pictures):
    wrong = replace(pictures.take(1), labels=(pictures.labels[:1] + 1) % 10)
    row = robustness(demo, wrong, noise=(), epsilons=()).iloc[0]
    assert row["accuracy"] == 0 and row[["se", "kept", "kept_se"]].isna().all()
