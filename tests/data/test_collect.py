"""Collection: arguments and labels from whatever holds them."""

import numpy as np
import torch

from infodiscard.data.coerce import coerce_inputs


def images(n=3, channels=2, height=4, width=5):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_items_with_something_other_than_a_class_have_no_labels():
    assert coerce_inputs([(image, "cat") for image in images()]).labels is None
    assert coerce_inputs([(image, torch.zeros(4)) for image in images()]).labels is None


def test_unusual_arrays_are_taken():
    x = images().numpy()
    frozen = x.copy()
    frozen.flags.writeable = False
    assert np.array_equal(coerce_inputs(frozen).values.numpy(), x)
    assert np.array_equal(coerce_inputs(x[:, ::-1]).values.numpy(), x[:, ::-1])
    assert np.array_equal(coerce_inputs(x.astype(">f4")).values.numpy(), x)
    masks = x[:, 0] > 0.5
    masks.flags.writeable = False
    assert np.array_equal(coerce_inputs(x, masks[:, ::-1]).masks.numpy(), masks[:, ::-1])
