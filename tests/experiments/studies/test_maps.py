"""Regions of an image: edges, textures and flat colours."""

import numpy as np
import pytest
import torch

from infodiscard import data
from infodiscard.experiments.studies import maps


def patches(texture):
    """A grey image with a straight step above, and below noise or checks, and a flat patch of one colour."""
    image = torch.full((3, 48, 48), 0.5)
    image[:, 4:20, 12:20], image[:, 4:20, 20:28] = 0.1, 0.9
    y, x = torch.meshgrid(torch.arange(14), torch.arange(14), indexing="ij")
    noise = torch.rand(14, 14, generator=torch.Generator().manual_seed(0)).round()
    image[:, 28:42, 4:18] = noise if texture == "noise" else ((y // 2 + x // 2) % 2).float()
    image[:, 28:46, 34:46] = torch.tensor([0.9, 0.1, 0.2])[:, None, None]
    return image


@pytest.mark.parametrize("texture", ["noise", "checks"])
def test_regions_of_an_image_are_what_they_are_called(texture):
    masks = maps.region(patches(texture))
    assert list(masks) == ["edges", "textures", "colours"]
    assert all(mask.dtype == bool and mask.shape == (48, 48) for mask in masks.values())
    assert np.sum(list(masks.values()), axis=0).max() == 1, "no pixel is of two kinds"
    step, patch, red = (slice(8, 16), slice(19, 21)), (slice(30, 40), slice(6, 16)), (slice(32, 42), slice(38, 42))
    assert masks["edges"][step].all() and masks["colours"][red].all()
    assert masks["textures"][patch].mean() > 0.8
    grey = (slice(23, 25), slice(0, 48))
    assert not any(mask[grey].any() for mask in masks.values())


@pytest.mark.parametrize("turned", [False, True])
def test_a_step_alone_is_an_edge(turned):
    image = torch.zeros(3, 32, 32)
    image[..., 16:] = 1
    masks = maps.region(image.transpose(1, 2) if turned else image)
    edges = masks["edges"].T if turned else masks["edges"]
    assert edges[:, 15:17].all() and not edges[:, :12].any() and not edges[:, 20:].any()
    assert not masks["textures"].any() and not masks["colours"].any()


def test_a_flat_image_has_neither_edges_nor_textures():
    masks = maps.region(torch.full((3, 16, 16), 0.3))
    assert not any(mask.any() for mask in masks.values())


@pytest.mark.parametrize("seed", range(3))
def test_kinds_share_a_natural_image_as_the_notes_say(seed):
    images = data.load("demo").images
    masks = maps.region(images[seed])
    pixels = images[0, 0].numel()
    assert masks["edges"].sum() + masks["textures"].sum() == pixels // 4
    assert masks["edges"].sum() == masks["textures"].sum()
    assert 0 < masks["colours"].sum() <= pixels / 2
