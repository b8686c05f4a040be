"""Coercion: user data becomes one exact form, or one clear sentence."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from infodiscard.data import ImageSet
from infodiscard.data.coerce import coerce_inputs
from infodiscard.errors import InfodiscardError


def images(n=3, channels=2, height=4, width=5):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def with_value(value):
    changed = images()
    changed[1, 0, 2, 2] = value
    return changed


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            images()[0],
            r"shape \(2, 4, 5\); say what they are: kind='tokens' .* or kind='series' .* or give images as n",
        ),
        (images()[:0], r"shape \(0, 2, 4, 5\)"),
        (images()[:, :0], r"shape \(3, 0, 4, 5\)"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), r"are integers \(uint8\); give floats"),
        (np.zeros((2, 3, 4, 4), dtype=np.int64), r"are integers \(int64\)"),
        (np.zeros((2, 3, 4, 4), dtype=object), "an array of object"),
        (np.full((2, 3, 4, 4), "a"), "an array of <U1"),
        (with_value(float("nan")), "Image 1 holds NaN or infinite"),
        (with_value(float("-inf")), "Image 1 holds NaN or infinite"),
        ("folder", "data was a str"),
        ({}, "data was an empty dict"),
        ({"images": [0.5, 0.5]}, "Input 'images' is a list; give a tensor with one row per sample"),
        ({"a": images(), "b": images()}, "The inputs are a, b; say with noise_on which of them"),
        (None, "data was a NoneType"),
        (3, "data was a int"),
        ((image for image in images()), "data was a generator"),
        ([], "holds nothing where an image tensor is needed"),
        ([np.zeros((4, 4, 3), np.uint8)], r"are integers \(uint8\); give floats"),
        ([("a picture", 1)], "holds a str where"),
        ([{"image": "a picture"}], "holds a str where"),
        ([{"a": images()[0]}, {"b": images()[0]}], "do not all hold the same inputs"),
        (torch.tensor(1.0), r"shape \(\); give at least one"),
        ([torch.zeros(3, 4, 4), torch.zeros(3, 4, 5)], "have different shapes"),
        ([torch.zeros(4, 4)], r"shape \(1, 4, 4\)"),
        (TensorDataset(torch.zeros(2, 3, 4, 4, dtype=torch.int32), torch.tensor([0, 1])), r"integers \(int32\)"),
    ],
)
def test_bad_images_are_refused(data, message):
    with pytest.raises(InfodiscardError, match=message):
        coerce_inputs(data)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (torch.zeros(3, 5, 4), r"shape \(3, 5, 4\); for these images give masks of shape \(3, 4, 5\)"),
        (torch.zeros(2, 4, 5), r"shape \(2, 4, 5\)"),
        (torch.zeros(3, 1, 4, 5), r"shape \(3, 1, 4, 5\)"),
        ([[0, 0, 2, 2]] * 2, r"shape \(2, 4\).*boxes of shape \(3, 4\) as x, y, width, height"),
        ([[0, 0, 2]] * 3, r"shape \(3, 3\)"),
        ([[0, 0], [1]], "masks are a list that holds no array of numbers"),
        ("masks.png", "masks are a str that holds no array of numbers"),
    ],
)
def test_bad_masks_are_refused(masks, message):
    with pytest.raises(InfodiscardError, match=message):
        coerce_inputs(images(), masks)


def test_tensors_arrays_lists_and_data_sets_give_the_same():
    x, labels = images(), [4, 0, 2]
    pairs = [(image, label) for image, label in zip(x, labels, strict=True)]
    for data in (x, x.numpy(), list(x), tuple(x), pairs, TensorDataset(x), TensorDataset(x, torch.tensor(labels))):
        found = coerce_inputs(data)
        assert torch.equal(found.values, x) and found.values.dtype == torch.float32
        assert found.names == ("0", "1", "2") and found.masks is None and found.shape == (2, 4, 5)
    assert coerce_inputs(pairs).labels == coerce_inputs(TensorDataset(x, torch.tensor(labels))).labels == (4, 0, 2)
    assert coerce_inputs(x).labels is None and coerce_inputs(TensorDataset(x)).labels is None
    assert coerce_inputs([(image, np.int64(label)) for image, label in pairs]).labels == (4, 0, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_precision_is_at_least_float32(dtype):
    x = images().to(dtype)
    found = coerce_inputs(x).values
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(found, x.to(found.dtype))


def test_images_that_require_a_gradient_are_detached():
    assert not coerce_inputs(images().requires_grad_()).values.requires_grad


def test_an_image_set_brings_its_names_labels_and_masks():
    x, masks = images(), images()[:, 0] > 0.5
    data = ImageSet(x, torch.tensor([1, 0, 1]), masks, ("a", "b", "c"), ("cat", "dog"))
    found = coerce_inputs(data)
    assert (found.names, found.labels, found.classes) == (("a", "b", "c"), (1, 0, 1), ("cat", "dog"))
    assert torch.equal(found.masks, masks) and torch.equal(found.values, x)
    assert torch.equal(coerce_inputs(data, ~masks).masks, ~masks)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_masks_of_any_type_become_bool(dtype):
    masks = images()[:, 1] > 0.5
    found = coerce_inputs(images(), masks.to(dtype)).masks
    assert found.dtype == torch.bool and torch.equal(found, masks)


def test_boxes_become_masks():
    boxes = [[1, 0, 2, 3], [0, 2, 3, 2], [3, 3, 2, 1]]
    expected = torch.zeros(3, 4, 5, dtype=torch.bool)
    for i, (x, y, w, h) in enumerate(boxes):
        for row in range(4):
            for column in range(5):
                expected[i, row, column] = x <= column < x + w and y <= row < y + h
    assert expected.sum((1, 2)).tolist() == [6, 6, 2]
    for given in (boxes, np.array(boxes), torch.tensor(boxes, dtype=torch.float64)):
        assert torch.equal(coerce_inputs(images(), given).masks, expected)
    shifted = torch.tensor(boxes) + torch.tensor([0.3, 0.3, 0, 0])
    assert torch.equal(coerce_inputs(images(), shifted).masks, expected)


@pytest.mark.parametrize("shuffle", [False, True])
def test_loaders_leave_the_random_generators_alone(shuffle):
    """A loader draws a seed even where it does not shuffle."""
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(4, 6)), 2, shuffle=shuffle)
    before = torch.get_rng_state()
    one, two = coerce_inputs(loader), coerce_inputs(loader)
    assert torch.equal(before, torch.get_rng_state()) and torch.equal(one.values, two.values)
